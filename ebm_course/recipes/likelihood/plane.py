r"""Maximum likelihood of a net in the plane, by default with Langevin chains that go on in a replay buffer.

The plane is small enough to integrate, so the likelihood that nobody can compute in more dimensions is reported here.
Source: Yin (2023), Eq. 3; Du and Mordatch (2019), replay buffer with restarts. Departure: noise of sqrt(2 step_size),
so that chains sample the model and not a colder one.

>>> from functools import partial
>>> from ebm_course.tasks.toy2d_densities import Spots
>>> spot = partial(Spots, "one", points=((1.0, 0.0),), std=0.5)
>>> config = Config(density=spot, n_train=64, width=4, batch_size=8, n_sampler_steps=1, n_steps=2)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [name for name in fitted.rows[-1] if name.startswith("valid")]
['valid_nll', 'valid_kl', 'valid_evaluations']
>>> fitted.module(torch.zeros(3, 2)).shape
torch.Size([3])
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebm_course.energies.mlp import MLP
from ebm_course.energies.plane import log_z_plane, midpoints
from ebm_course.recipes.likelihood.noise_contrast import Noise
from ebm_course.recipes.likelihood.ways import Space, Way, persistent_chains
from ebm_course.recipes.shared import Fitted, a_recipe, check_memory, check_ranges, origin_of
from ebm_course.runtime import Run
from ebm_course.samplers.langevin import langevin
from ebm_course.tasks.toy2d import toy2d
from ebm_course.tasks.toy2d_densities import Density, two_moons
from ebm_course.training import fit as loop
from ebm_course.training.batches import Batches

SQUARE = 1.5
"""The square on which log Z is integrated has this many times the side of the density's own."""


@dataclass(frozen=True)
class Config:
    """What is trained, on what, and how. The defaults are the notebook's."""

    density: Callable[[], Density] = two_moons
    n_train: int = 10_000
    width: int = 128
    n_layers: int = 3
    confinement: float = 0.2  # a bowl, so that the model is a density on the whole plane
    batch_size: int = 256  # and chains moved in an update
    way: Way = persistent_chains
    buffer_size: int = 512
    restart_probability: float = 0.05  # Du and Mordatch (2019)
    n_sampler_steps: int = 20  # Grathwohl et al. (2020)
    step_size: float = 0.005  # a quarter of the variance across a ridge; at 0.02 the chains, and then the net, diverge
    max_grad_norm: float = 20.0
    l2: float = 0.01  # anchors the level of the energies, which the likelihood leaves free
    n_points: int = 100  # midpoints a side, where the exact gradient integrates
    rate: float = 4e-3  # Adam; falls linearly to a hundredth of it
    n_steps: int = 800
    validate_every: int = 200

    def __post_init__(self) -> None:
        check_ranges(
            self,
            counts="n_train width n_layers batch_size buffer_size n_points validate_every",
            whole="n_sampler_steps n_steps",
            positive="step_size max_grad_norm",
            not_negative="confinement l2 rate",
            shares="restart_probability",
            functions="density way",
        )


PAPER = Config(width=256, buffer_size=10_000, n_sampler_steps=20, rate=1e-3, n_steps=20_000, validate_every=1_000)
"""No paper of the course trains in the plane. Buffer of 10,000, 5 % restarts and 20 steps an update are the setting of
Grathwohl et al. (2020), JEM; it is trained until the likelihood stands still."""

NOTEBOOK = Config()
SMOKE = Config(n_train=300, width=8, batch_size=32, buffer_size=64, n_sampler_steps=2, n_steps=6, validate_every=3)
PRESETS = {"paper": PAPER, "notebook": NOTEBOOK, "smoke": SMOKE}


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train an MLP on draws of a density.

    Returns:
        The energy; rows with ``valid_nll`` of held-out points (nats), ``valid_kl`` from the density, integrated, and
        ``valid_evaluations``, energies of states computed so far.
    """
    check_memory(
        config,
        run,
        n_train=8 * config.n_train,  # two coordinates in float32, as the next
        buffer_size=8 * config.buffer_size,
        n_points=8 * config.n_points**2,
        width=16 * (config.n_layers - 1) * config.width**2,  # weights, gradients and Adam's two means
        n_layers=4_000 * config.n_layers,  # modules, apart from their weights
        batch_size=4 * config.batch_size * config.width * config.n_layers,
    )
    density, task = config.density(), toy2d(config.density(), n_train=config.n_train, seed=run.seed)
    train, valid = task.train.to(run.device), task.valid.to(run.device)
    model = MLP(2, width=config.width, n_layers=config.n_layers, confinement=config.confinement).to(run.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.rate, betas=(0.9, 0.99))
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=config.n_steps)
    extent = SQUARE * density.extent
    moves = {"n_steps": config.n_sampler_steps, "step_size": config.step_size, "max_grad_norm": config.max_grad_norm}
    grid: dict[str, Any] = {"n_points": config.n_points, "device": run.device, "create_graph": True}
    supplied = config.way(
        Space(
            model,
            optimizer,
            scheduler,
            run,
            config.batch_size,
            log_z=functools.partial(log_z_plane, model, extent, **grid),
            n_summed=config.n_points**2,
            sampler=functools.partial(langevin, **moves),  # type: ignore[arg-type]
            sampler_evaluations=config.n_sampler_steps + 1,
            fresh=functools.partial(uniform, extent=density.extent),
            noise=wide_gaussian(train.x),
            n_chains=config.buffer_size,
            restart_probability=config.restart_probability,
            l2=config.l2,
        )
    )

    def validate() -> dict[str, float]:
        done = scheduler.last_epoch * supplied.evaluations
        return {"nll": nll(model, valid.x, density), "kl": kl(model, density, device=run.device), "evaluations": done}

    origin = origin_of(fit, config, run, data={"train": train, "valid": valid})
    rows = loop.fit(
        supplied.step,
        Batches(train, config.batch_size, seed=run.seed),
        n_steps=config.n_steps,
        generator=run.generator("steps"),
        validate=validate,
        validate_every=config.validate_every,
        keep={"model": model, "optimizer": optimizer, "scheduler": scheduler, **supplied.keep},
        folder=folder,
        save_every=config.validate_every if folder is not None else 0,
        origin=origin,
        progress=progress,
        log_every=max(1, config.validate_every // 4),
    )
    return Fitted(model.eval(), rows, origin=origin)


def uniform(n: int, generator: torch.Generator, *, extent: float) -> Tensor:
    """n points of the square [-extent, extent]^2, where chains start anew.

    >>> x = uniform(1_000, torch.Generator().manual_seed(0), extent=3.0)
    >>> x.shape, 2.9 < float(x.abs().max()) <= 3
    (torch.Size([1000, 2]), True)
    """
    return (torch.rand(n, 2, generator=generator, device=generator.device) * 2 - 1) * extent


def wide_gaussian(x: Tensor, *, widening: float = 1.2) -> Noise:
    """Gaussian noise with the mean of points x (M, 2) and their covariance, ``widening`` times as wide.

    >>> noise = wide_gaussian(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), widening=3.0)
    >>> round(float(noise.log_prob(torch.zeros(1, 2))), 3)  # variances 3^2 * 2 / 3 = 6: -log(2 pi 6)
    -3.63
    >>> noise.draw(5, torch.Generator().manual_seed(0)).shape
    torch.Size([5, 2])
    """
    law = torch.distributions.MultivariateNormal(x.mean(dim=0), widening**2 * x.T.cov())

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return law.loc + torch.randn(n, 2, generator=generator, device=x.device) @ law.scale_tril.T

    return Noise(draw, law.log_prob)


@torch.no_grad()
def nll(model: MLP, x: Tensor, density: Density) -> float:
    """Mean -log p(x) of points, nats; log Z is integrated over a square half as large again as the density's.

    >>> from ebm_course.tasks.toy2d_densities import Spots
    >>> model, spot = MLP(2, width=4, n_layers=1, confinement=1.0), Spots("one", points=((0.0, 0.0),), std=1.0)
    >>> _ = model.net[-1].requires_grad_(False).weight.zero_()  # the bowl alone: E = |x|^2 / 2 + const
    >>> round(nll(model, torch.tensor([[0.0, 0.0], [2.0, 0.0]]), spot), 3)  # 1 + log(2 pi)
    2.838
    """
    return float(model(x).mean() + log_z_plane(model, SQUARE * density.extent, device=x.device))


@torch.no_grad()
def kl(model: MLP, density: Density, *, device: torch.device | str = "cpu") -> float:
    """KL(density || model), nats, both integrated on that square.

    >>> from ebm_course.tasks.toy2d_densities import Spots
    >>> model, spot = MLP(2, width=4, n_layers=1, confinement=1.0), Spots("one", points=((0.0, 0.0),), std=1.0)
    >>> _ = model.net[-1].requires_grad_(False).weight.zero_()  # E = |x|^2 / 2 + const: the spot itself
    >>> abs(kl(model, spot)) < 1e-4
    True
    >>> round(kl(model, Spots("moved", points=((2.0, 0.0),), std=1.0)), 2)  # 2^2 / 2
    2.0
    """
    x = midpoints(SQUARE * density.extent, device=device)
    log_p, log_q = (torch.log_softmax(values.double(), dim=0) for values in (density.log_prob(x), -model(x)))
    return float((torch.special.xlogy(log_p.exp(), log_p.exp()) - log_p.exp() * log_q).sum())
