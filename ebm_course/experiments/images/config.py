"""What is trained, sampled, measured and claimed, declared before the run, at five sizes.

Source: Korst and Asadulaev (2022), Section 4 and Table 1. Departure: small images and nets but in ``paper``, a judge
trained for each data set in the place of Inception, and the fields below for what the paper does not say.

>>> parts = {"digits": small("digits", digits, width=16, n_steps=500, rows=("jem", "robust-jem"))}
>>> config = together(parts, n_runs=2)
>>> [arm.name for arm in config.arms("digits")], config.judge("digits").name
(['digits/jem', 'digits/robust-jem'], 'digits/judge')
>>> judge_of("digits", digits, ConvNet, n_steps=100).config.image_noise_std
0.1
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any

from ebm_course.core import Task
from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.wide_resnet import WideResNet
from ebm_course.experiments.configs import Settings, changed
from ebm_course.experiments.images.arms import arms_of, is_step_10, step_10_arms
from ebm_course.experiments.images.declared import claims
from ebm_course.experiments.variants import Variant
from ebm_course.origin import LATER
from ebm_course.recipes.images import classifier, jem, robust_classifier, robust_jem
from ebm_course.recipes.shared import check_ranges
from ebm_course.results.findings import Claim
from ebm_course.tasks.images import cifar10, digits, mnist

DATA = ("digits", "mnist", "cifar10")
SHARES = {"digits": 1.0, "mnist": 1.0, "cifar10": 0.6}
"""Of the runs of the whole experiment: with five of digits and MNIST come three of CIFAR-10, which cost most."""
STEPS = {"digits": 1.0, "mnist": 0.3, "cifar10": 1.0}
"""Langevin steps on a data set, in training and where nets are sampled, as multiples of ``Config.step_size``. With
steps of 1 JEM on MNIST at 14 x 14 pixels died at updates 500 to 590, back three times or not; with 0.3 it lived through
2,000 updates with both seeds tried."""
N_RUNS = 5
RECIPES = {
    "classifier": classifier,
    "jem": jem,
    "robust_classifier": robust_classifier,
    "robust_jem": robust_jem,
}
TABLE = ("classifier", "jem", "robust-classifier", "robust-jem")
"""Arms of the paper's Table 1, beside the plain classifier; every data set has them."""


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Five runs on digits and MNIST, three on CIFAR-10, and how nets are sampled and measured.

    >>> CPU.runs_of("digits"), CPU.runs_of("cifar10"), CPU.on("mnist").step_size
    (5, 3, 0.3)
    >>> replace(CPU, n_few=50)
    Traceback (most recent call last):
        ...
    ValueError: n_few: expected fewer steps than n_many, got 50 and 50.
    """

    n_runs: int = N_RUNS
    data: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = claims()
    judges: tuple[Variant, ...] = ()  # a classifier for each data set, apart from all arms
    n_images: int = 1_000  # samples, and held-out images they are compared with; all held-out ones where these are less
    radii: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5)  # of attacks on classifiers
    n_attack_steps: int = 20
    step_size: float = 1.0  # of Langevin steps that sample, times STEPS of the data: the same for every net on it
    noise_std: float = 0.01
    n_few: int = 10  # Langevin steps, few
    n_many: int = 50  # and many: the paper's conditional inference
    radius: float = 0.5  # of the attack in combined inference: the paper's, read on [-1, 1]
    contrast: float = 0.8  # after it: the paper gives no number
    n_samples_of_grid: int = 300  # of every setting of combined inference, compared with validation images
    grid_radii: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)  # with 0.5 of [0, 1] as well, which is 1 here
    grid_contrasts: tuple[float, ...] = (1.0, 0.8, 0.5)
    moves: tuple[tuple[float, float], ...] = field(
        default=(), metadata=LATER
    )  # Langevin steps to search: length, noise

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self,
            counts="n_images n_attack_steps n_few n_many n_samples_of_grid",
            positive_finite="step_size",
            not_negative="noise_std radius",
            shares="contrast",
        )
        if not all(0 < length < math.inf and 0 <= noise < math.inf for length, noise in self.moves):
            raise ValueError(f"moves: expected pairs of a length above 0 and a noise of 0 or more, got {self.moves}.")
        lacking = [name for name in self.data if f"{name}/judge" not in {judge.name for judge in self.judges}]
        if lacking:
            there = ", ".join(judge.name.partition("/")[0] for judge in self.judges) or "(none)"
            raise ValueError(f"data: this preset has no nets for {lacking[0]}, expected one of {there}.")
        if self.n_few >= self.n_many:
            raise ValueError(f"n_few: expected fewer steps than n_many, got {self.n_few} and {self.n_many}.")
        for name in ("radii", "grid_radii", "grid_contrasts"):
            values, least = getattr(self, name), 0 if name == "grid_radii" else 1e-9
            if not values or len(set(values)) < len(values) or not all(least <= value < inf for value in values):
                what = "0 or more" if name == "grid_radii" else "above 0"
                raise ValueError(f"{name}: expected finite numbers {what}, each once, got {values}.")
        if list(self.radii) != sorted(self.radii):
            raise ValueError(f"radii: expected rising numbers, got {self.radii}.")
        for name, needed in (("grid_radii", self.radius), ("grid_contrasts", self.contrast)):
            if needed not in getattr(self, name):
                raise ValueError(f"{name}: expected the setting itself, {needed}, among {getattr(self, name)}.")
        if 0.0 not in self.grid_radii or 1.0 not in self.grid_contrasts:
            raise ValueError(
                "the grid has Langevin steps alone in it: expected radius 0 and contrast 1 among its values."
            )

    def runs_of(self, data: str) -> int:
        """Runs on a data set."""
        return max(1, round(self.n_runs * SHARES[data]))

    def on(self, data: str) -> Config:
        """The same with Langevin steps as long as those on one data set are."""
        return replace(self, step_size=self.step_size * STEPS[data])

    def judge(self, data: str) -> Variant:
        """The judge of samples on a data set."""
        return next(judge for judge in self.judges if judge.name == f"{data}/judge")

    def arms(self, data: str) -> tuple[Variant, ...]:
        """The arms on a data set whose samples are measured."""
        return tuple(v for v in self.variants if v.name.startswith(f"{data}/") and not is_step_10(v))

    def lives(self, data: str) -> tuple[Variant, ...]:
        """The arms on a data set that are trained to see how long they live."""
        return tuple(v for v in self.variants if v.name.startswith(f"{data}/") and is_step_10(v))


NOTEBOOK_BASE = {name: recipe.NOTEBOOK for name, recipe in RECIPES.items()}
PAPER_BASE = {name: recipe.PAPER for name, recipe in RECIPES.items()}
SMOKE_BASE = {name: recipe.SMOKE for name, recipe in RECIPES.items()}


def judge_of(data: str, task: Callable[..., Task], net: Callable[..., Any], **changes: Any) -> Variant:
    """A classifier trained with some noise on images, so that small blemishes do not decide."""
    config = changed(classifier.NOTEBOOK, {"task": task, "net": net, "image_noise_std": 0.1, **changes})
    return Variant(f"{data}/judge", f"{data}: the judge of samples", config, classifier.fit)


def small(data: str, task: Callable[..., Task], width: int, n_steps: int, *, rows: tuple[str, ...], **more: Any) -> Any:
    """Arms and judge of a data set with small nets, Adam, and the notebook recipes' chains and attack."""
    changes: Mapping[str, Any] = {
        "task": task,
        "net": partial(ConvNet, width=width, n_features=32),
        "n_steps": n_steps,
        "validate_every": max(1, n_steps // 5),
        **more,
    }
    found = arms_of(data, rows, NOTEBOOK_BASE, changes, ships=data == "digits")
    return found, judge_of(data, task, partial(ConvNet, width=32, n_features=32), n_steps=n_steps, **more)


def together(parts: Mapping[str, Any], *, lives: tuple[Variant, ...] = (), **rest: Any) -> Config:
    """The configuration of these data sets."""
    arms = sum((arms for arms, _ in parts.values()), ())
    return Config(data=tuple(parts), variants=arms + lives, judges=tuple(judge for _, judge in parts.values()), **rest)


MNIST_14, CIFAR_16 = partial(mnist, size=14), partial(cifar10, size=16)
LIVES: Mapping[str, Any] = {
    "task": digits,
    "net": partial(ConvNet, width=16, n_features=32),
    "n_steps": 1_000,
    "validate_every": 1_000,
}
CPU = together(
    {
        "digits": small("digits", digits, 16, 500, rows=(*TABLE, "jem-plus", "robust-jem-adversarial")),
        "mnist": small("mnist", MNIST_14, 16, 2_000, rows=(*TABLE, "robust-jem-adversarial"), step_size=STEPS["mnist"]),
        "cifar10": small("cifar10", CIFAR_16, 32, 3_000, rows=TABLE, flip=True, pad=2, radius=0.1),
    },
    lives=step_10_arms("digits", NOTEBOOK_BASE, LIVES),
    words="images of 8, 14 and 16 pixels a side, for two CPU cores",
)
GPU = together(
    {"cifar10": small("cifar10", cifar10, 64, 3_000, rows=TABLE, flip=True, pad=4, radius=0.1)},
    words="CIFAR-10 as it is, 32 pixels a side, with a net twice as wide, for one GPU and some minutes",
)
NOTEBOOK = together(
    {
        "digits": small("digits", digits, 16, 300, rows=TABLE),
        "mnist": small("mnist", MNIST_14, 16, 300, rows=TABLE, step_size=STEPS["mnist"]),
        "cifar10": small("cifar10", CIFAR_16, 16, 300, rows=TABLE, flip=True, pad=2, radius=0.1),
    },
    lives=step_10_arms("digits", NOTEBOOK_BASE, LIVES),
    n_runs=1,
    n_images=360,
    words="small nets for a few minutes, one run",
)


def _smoke(data: str, task: Callable[..., Task]) -> Any:
    changes = {"task": task, "restarts": 1}
    judge = changed(classifier.SMOKE, {"task": task, "net": partial(ConvNet, width=4, n_features=8)})
    rows = arms_of(data, (*TABLE, "jem-plus", "robust-jem-adversarial"), SMOKE_BASE, changes)
    return rows, Variant(f"{data}/judge", f"{data}: the judge of samples", judge, classifier.fit)


SMOKE = together(
    {"digits": _smoke("digits", digits)},
    lives=step_10_arms("digits", SMOKE_BASE, {}),
    n_runs=2,
    n_images=40,
    n_samples_of_grid=40,
    n_attack_steps=2,
    n_few=1,
    n_many=2,
    radii=(0.1, 0.3),
    grid_radii=(0.0, 0.5),
    grid_contrasts=(1.0, 0.8),
    words="every part on a few digits",
)
_BIG: dict[str, Any] = {"precision": "bfloat16", "compile": True}
_PAPER_JUDGE: dict[str, Any] = {"n_steps": 20_000, "pad": 4, "flip": True, "validate_every": 703, **_BIG}
PAPER = together(
    {
        "digits": small("digits", digits, 32, 2_000, rows=(*TABLE, "jem-plus", "robust-jem-adversarial")),
        "mnist": small(
            "mnist", mnist, 64, 20_000, rows=(*TABLE, "robust-jem-adversarial"), step_size=STEPS["mnist"], **_BIG
        ),
        "cifar10": (
            arms_of("cifar10", (*TABLE, "robust-jem-adversarial"), PAPER_BASE, {"restarts": 10, **_BIG}),
            judge_of("cifar10", cifar10, partial(WideResNet, depth=16, widen=4, norm="batch"), **_PAPER_JUDGE),
        ),
    },
    lives=step_10_arms("digits", NOTEBOOK_BASE, LIVES),
    n_images=10_000,
    n_samples_of_grid=2_000,
    words="CIFAR-10 with WRN-28-10 as in JEM++, for GPUs",
)
PRESETS = {"paper": PAPER, "gpu": GPU, "cpu": CPU, "notebook": NOTEBOOK, "smoke": SMOKE}
