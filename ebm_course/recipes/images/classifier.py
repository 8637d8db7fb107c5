r"""A classifier of images, by cross-entropy: the first of four recipes, each one change away from the next.

.. math:: \min_\theta \; -\tfrac{1}{N} \sum_n \log p_\theta(y_n \mid x_n)

Source: the settings by default are those of JEM++, Yang and Ji (2021), without its energy term.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_steps=4, validate_every=2)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [row["step"] for row in fitted.rows if "valid_nll" in row], fitted.module(torch.zeros(2, 1, 8, 8)).shape
([2, 4], torch.Size([2, 10]))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Step, Task
from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.wide_resnet import WideResNet
from ebm_course.recipes.images.parts import Learner, adam, classification, data_of, labels, sgd, train
from ebm_course.recipes.images.passes import PRECISIONS
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.runtime import Run
from ebm_course.tasks.images import cifar10, digits

WRN_28_10 = partial(WideResNet, depth=28, widen=10, norm="batch")


@dataclass(frozen=True)
class Config:
    """What is trained, on what, and how. The defaults are those of Yang and Ji (2021), JEM++, on CIFAR-10."""

    task: Callable[..., Task] = cifar10  # called with the run's seed
    net: Callable[..., nn.Module] = WRN_28_10  # called with the shape of an image and the number of classes
    batch_size: int = 64
    n_steps: int = 105_450  # 150 epochs of 703 updates
    optimizer: Callable[..., torch.optim.Optimizer] = sgd
    rate: float = 0.1
    weight_decay: float = 4e-4
    warm_up: int = 1_000  # updates with a rising rate
    milestones: tuple[float, ...] = (1 / 3, 2 / 3, 5 / 6)  # epochs 50, 100, 125: shares of all updates
    decay: float = 0.2  # factor on the rate at each
    pad: int = 4  # pixels of the reflected border from which images are cut, 0: none
    flip: bool = True  # left and right, half of the images
    image_noise_std: float = 0.03
    keep_best: bool = False  # the weights of the lowest validation nll, or the last ones
    validate_every: int = 703
    precision: Literal["float32", "bfloat16"] = "float32"  # of convolutions; weights and logits stay float32
    compile: bool = False  # torch.compile of the net's passes; on a CPU it needs a C++ compiler
    channels_last: bool = True  # how images and weights are stored

    def __post_init__(self) -> None:
        check_ranges(
            self,
            counts="batch_size validate_every",
            whole="n_steps warm_up pad",
            positive="decay",
            not_negative="rate weight_decay image_noise_std",
            functions="task net optimizer",
        )
        if not all(0 <= share <= 1 for share in self.milestones):
            raise ValueError(f"milestones: expected shares of all updates, 0 to 1, got {self.milestones}.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}.")


SMALL: dict[str, Any] = {
    "task": digits,
    "net": partial(ConvNet, width=16),
    "n_steps": 500,
    "optimizer": adam,
    "rate": 1e-3,
    "weight_decay": 0.0,
    "warm_up": 0,
    "milestones": (),
    "pad": 0,
    "flip": False,
    "validate_every": 100,
}
"""What the notebook's presets of all four recipes change: digits of 8 x 8 pixels, a small net, Adam."""

TINY: dict[str, Any] = SMALL | {"net": partial(ConvNet, width=4), "batch_size": 16, "n_steps": 6, "validate_every": 3}

FAST: dict[str, Any] = {"precision": "bfloat16", "compile": True}
"""What the papers' presets of all four recipes change for a GPU: a wide residual network takes days otherwise."""

PAPER = Config(**FAST)
NOTEBOOK = Config(**SMALL)
SMOKE = Config(**TINY)
PRESETS = {"paper": PAPER, "notebook": NOTEBOOK, "smoke": SMOKE}


def make_step(learner: Learner) -> Step:
    """theta <- theta - rate grad of the mean -log p(y | x).

    >>> from dataclasses import replace
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> step = make_step(Learner(net, replace(SMOKE, image_noise_std=0.0, rate=0.1)))
    >>> batch = Batch(torch.ones(3, 1, 2, 2), y=torch.tensor([1, 1, 1]))
    >>> losses = [float(step(batch, torch.Generator())["cross_entropy"]) for _ in range(20)]
    >>> losses[-1] < losses[0], net(batch.x).argmax(dim=1)
    (True, tensor([1, 1, 1]))
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        x = learner.augmented(batch, generator)
        logits = learner.logits(clean=x)["clean"]
        return learner.descend(classification(logits, learner.run.share(labels(batch))))

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train ``config.net`` as a classifier; rows as in :func:`~ebm_course.recipes.images.parts.train`."""
    data = data_of(config, run)
    learner = Learner(config.net(data.shape, data.n_classes).to(run.device), config, run=run)
    return train(config, run, learner, data, make_step(learner), recipe=fit, folder=folder, progress=progress)
