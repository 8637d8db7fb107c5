"""Where the samples of a joint model come from: fresh starts, a buffer of chains that go on, and how these move.

It knows samplers and starts; no net and no loss.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from ebm_course.core import Batch, Energy, Negatives
from ebm_course.recipes.images.parts import Data, labels
from ebm_course.runtime import Run
from ebm_course.samplers.class_gaussians import ClassGaussians
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.pyld import pyld
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.training.batches import Draw


class Sampler(Protocol):
    """A sampler with all its options set.

    >>> sampler: Sampler = partial(langevin, n_steps=2, step_size=0.1, noise_std=0.0)
    >>> sampler(lambda x: x.square().sum(dim=1) / 2, torch.ones(1, 1), generator=torch.Generator()).x  # (1 - 0.1)^2
    tensor([[0.8100]])
    """

    def __call__(self, energy: Energy, x0: Tensor, /, *, generator: torch.Generator) -> Negatives: ...


def langevin_steps(config: Any) -> Sampler:
    """``n_sampler_steps`` plain Langevin steps: JEM.

    >>> from types import SimpleNamespace
    >>> config = SimpleNamespace(n_sampler_steps=2, step_size=0.5, noise_std=0.0, max_grad_value=None, bounds=None)
    >>> sampler = langevin_steps(config)
    >>> sampler(lambda x: x.square().sum(dim=1) / 2, torch.ones(1, 1), generator=torch.Generator()).x  # (1 - 0.5)^2
    tensor([[0.2500]])
    """
    return partial(langevin, n_steps=config.n_sampler_steps, with_energy=False, **_moves(config))


def pyld_steps(config: Any) -> Sampler:
    """``n_sampler_steps`` times ``n_inner_steps`` steps that share a gradient above the first layer: JEM++.

    Raises:
        ValueError: ``noise_std`` is None: these steps sample no law, so that no noise belongs to their length.

    >>> from ebm_course.energies.convnet import ConvNet
    >>> from ebm_course.energies.joint import Joint
    >>> from ebm_course.recipes.images.jem import PAPER
    >>> energy, x0 = Joint(ConvNet((1, 8, 8), 10, width=4)), torch.zeros(5, 1, 8, 8)
    >>> moved = pyld_steps(PAPER)(energy, x0, generator=torch.Generator())
    >>> moved.x.shape, float(moved.x.abs().max()) <= 1  # its bounds
    (torch.Size([5, 1, 8, 8]), True)
    """
    if config.noise_std is None:
        raise ValueError("noise_std: expected a number for pyld_steps, got None. Use 0, or sampler=langevin_steps.")
    steps = {"n_outer": config.n_sampler_steps, "n_inner": config.n_inner_steps}
    return partial(pyld, **steps, with_energy=False, **_moves(config))


def _moves(config: Any) -> dict[str, Any]:
    names = ("step_size", "noise_std", "max_grad_value", "bounds")
    return {name: getattr(config, name) for name in names}


def class_gaussians(train: Batch, n_classes: int) -> Draw:
    """Fresh chains from a Gaussian of each class, classes drawn as often as they occur: the informative start.

    Source: Yang and Ji (2021), Section 4.3.

    >>> x, y = torch.tensor([-0.5, 0.5] * 4).view(8, 1, 1, 1), torch.tensor([0, 1] * 4)
    >>> draw = class_gaussians(Batch(x, y), n_classes=2)  # each class has one image, so its Gaussian is narrow
    >>> (draw(100, torch.Generator().manual_seed(0)) * 10).round().unique().tolist()
    [-5.0, 5.0]
    """
    fitted = ClassGaussians.fit(train.x, labels(train), n_classes)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        x: Tensor = fitted.sample(fitted.draw_labels(n, generator=generator), generator=generator)
        return x

    return draw


def uniform(train: Batch, n_classes: int) -> Draw:
    """Fresh chains from pixels uniform in [-1, 1]: JEM.

    >>> x = uniform(Batch(torch.zeros(8, 1, 2, 2)), n_classes=2)(100, torch.Generator().manual_seed(0))
    >>> x.shape, bool(x.min() < -0.9), bool(x.max() > 0.9), bool(x.abs().max() <= 1)
    (torch.Size([100, 1, 2, 2]), True, True, True)
    """
    shape, like = train.x.shape[1:], train.x

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return 2 * torch.rand(n, *shape, generator=generator, device=like.device, dtype=like.dtype) - 1

    return draw


class Chains:
    """The chains of a run: ``start`` some, move them, ``store`` where they ended.

    Args:
        sampler: moves them.
        fresh: where a chain begins.
        buffer: chains to go on with, at least as many as rows in a batch; None: every chain is fresh.
        restart_probability: of a chain of the buffer, to begin anew.

    >>> train, generator = Batch(torch.zeros(8, 1, 2, 2)), torch.Generator().manual_seed(0)
    >>> buffer = ReplayBuffer(torch.zeros(4, 1, 2, 2))
    >>> chains = Chains(partial(langevin, n_steps=1, step_size=0.1), uniform(train, n_classes=2), buffer=buffer)
    >>> x0, slots = chains.start(3, generator)
    >>> chains.store(slots, x0 + 1)
    >>> buffer.states.sum(dim=(1, 2, 3)).sort().values  # three of the four chains have moved
    tensor([0., 4., 4., 4.])
    """

    def __init__(
        self, sampler: Sampler, fresh: Draw, *, buffer: ReplayBuffer | None = None, restart_probability: float = 0.0
    ):
        self.sampler, self.fresh, self.buffer, self.restart_probability = sampler, fresh, buffer, restart_probability

    @classmethod
    def of(cls, config: Any, data: Data, run: Run) -> Chains:
        """Those of a recipe's configuration."""
        fresh = config.start(data.train, data.n_classes)
        buffer = ReplayBuffer(fresh(config.buffer_size, run.generator("buffer")))
        return cls(config.sampler(config), fresh, buffer=buffer, restart_probability=config.restart_probability)

    def start(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """n states and the slots they belong to."""
        new = self.fresh(n, generator)
        if self.buffer is None:
            return new, None
        options: dict[str, Any] = {"restart_probability": self.restart_probability, "generator": generator}
        return self.buffer.sample(n, fresh=new, **options)

    def store(self, slots: Tensor | None, x: Tensor) -> None:
        """Keep where these chains have ended."""
        if self.buffer is not None and slots is not None:
            self.buffer.push(slots, x)
