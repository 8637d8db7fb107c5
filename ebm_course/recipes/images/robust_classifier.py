r"""Adversarial training: the classifier meets the worst image in a small ball. One change to ``classifier``: attacks.

.. math:: \min_\theta \; \mathbb E \max_{\|x' - x\| \le \epsilon} -\log p_\theta(y \mid x')

The inner maximum is approached by projected gradient descent on log p(y | x').
Source: Madry et al. (2018), Eq. 2.1; radius and steps by default are those of Korst and Asadulaev (2022), Section 4,
read on images in [-1, 1], where 0.1 is 12.75 of 255 shades; what they leave unsaid is marked so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ebm_course.ambient import usual_settings
from ebm_course.core import Batch, Energy, Loss, Step
from ebm_course.energies.joint import Joint
from ebm_course.recipes.images import classifier
from ebm_course.recipes.images.parts import (
    Data,
    Learner,
    classification,
    data_of,
    evaluated,
    in_parts,
    labels,
    train,
)
from ebm_course.recipes.shared import Fitted, check_ranges
from ebm_course.runtime import Run
from ebm_course.samplers.pgd import pgd

NORMS = ("linf", "l2")


@dataclass(frozen=True)
class Config(classifier.Config):
    """The classifier's configuration and that of the attack. Defaults: Korst and Asadulaev (2022)."""

    radius: float = 0.1  # Section 4; on which scale is unsaid
    n_attack_steps: int = 15  # Section 4
    attack_step_size: float | None = None  # unsaid; None: 2.5 radius / n_attack_steps, as Madry's code
    norm: Literal["linf", "l2"] = "linf"  # Section 4
    random_start: bool = True  # unsaid; Madry et al. (2018)
    clean_share: float = 0.0  # unsaid: share of the loss that clean images have

    def __post_init__(self) -> None:
        super().__post_init__()
        check_attack(self)


def check_attack(config: Any) -> None:
    """Refuse an attack one of whose fields is out of its range."""
    check_ranges(
        config,
        whole="n_attack_steps",
        positive="radius",
        positive_or_none="attack_step_size",
        shares="clean_share",
    )
    if config.norm not in NORMS:
        raise ValueError(f"norm: expected one of {', '.join(NORMS)}, got {config.norm!r}.")


SMALL: dict[str, Any] = {"radius": 0.3, "n_attack_steps": 5}
"""What the notebook's presets change in the attack: digits have few shades, and stand more."""

PAPER = Config(**classifier.FAST)
NOTEBOOK = Config(**classifier.SMALL, **SMALL)
SMOKE = Config(**classifier.TINY, radius=0.3, n_attack_steps=2)
PRESETS = {"paper": PAPER, "notebook": NOTEBOOK, "smoke": SMOKE}


def attacked(config: Any, log_likelihood: Energy, x: Tensor, generator: torch.Generator) -> Tensor:
    """The configured attack on images (N, C, H, W), downhill in x -> log p(y | x); pixels end in [-1, 1]."""
    options: dict[str, Any] = {"step_size": config.attack_step_size, "norm": config.norm}
    options |= {"radius": config.radius, "n_steps": config.n_attack_steps, "random_start": config.random_start}
    return pgd(log_likelihood, x.clamp(-1, 1), **options, generator=generator).x


def adversarial(logits: dict[str, Tensor], y: Tensor, *, clean_share: float) -> Loss:
    """(1 - share) the mean of -log p(y | attacked x) + share that of -log p(y | x).

    Args:
        logits: of ``attacked`` images, and of ``clean`` ones if they have a share.

    Returns:
        The loss; terms ``cross_entropy`` and ``accuracy`` of attacked images, those of clean ones with ``clean_``.
    """
    loss = classification(logits["attacked"], y)
    if not clean_share:
        return loss
    clean = classification(logits["clean"], y)
    value = (1 - clean_share) * loss.value + clean_share * clean.value
    return Loss(value, {**loss.terms, **{f"clean_{name}": term for name, term in clean.terms.items()}})


def make_step(learner: Learner) -> Step:
    """One update of the classifier at attacked images; several processes attack their share each."""
    config = learner.config

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        x, y = learner.augmented(batch, generator), labels(batch)
        images = {"attacked": attacked(config, learner.log_likelihood(y), x, generator)}
        if config.clean_share:
            images["clean"] = x
        logits = learner.logits(**images)
        return learner.descend(adversarial(logits, learner.run.share(y), clean_share=config.clean_share))

    return step


def robust_accuracy(learner: Learner, data: Data) -> Callable[[], dict[str, float]]:
    """What measures the accuracy on validation images under the training's own attack, from the same start each time.

    An attack the net was trained against flatters it; ``metrics`` has the harder ones.
    """

    joint = Joint(learner.net)

    def measure() -> dict[str, float]:
        generator, y = learner.run.generator("validation attack"), labels(data.valid)

        def attack(x: Tensor, y: Tensor) -> Tensor:
            return attacked(learner.config, joint.log_likelihood(y), x, generator)

        right = evaluated(learner.net, in_parts(attack, data.valid.x, y)).argmax(dim=1) == y
        return {"robust_accuracy": float(right.float().mean())}

    return measure


@usual_settings()
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train ``config.net`` against the attack; rows as the classifier's, and ``valid_robust_accuracy``."""
    data = data_of(config, run)
    learner = Learner(config.net(data.shape, data.n_classes).to(run.device), config, run=run)
    measure = robust_accuracy(learner, data)
    options: dict[str, Any] = {"also": lambda logits: measure(), "folder": folder, "progress": progress}
    return train(config, run, learner, data, make_step(learner), recipe=fit, **options)
