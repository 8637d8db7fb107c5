r"""Adversarial training: the classifier meets the worst image in a small ball. One change to ``classifier``: attacks.

.. math:: \min_\theta \; \mathbb E \max_{\|x' - x\| \le \epsilon} -\log p_\theta(y \mid x')

The inner maximum is approached by projected gradient descent on log p(y | x').
Source: Madry et al. (2018), Eq. 2.1; radius and steps by default are those of Korst and Asadulaev (2022), Section 4,
read on images in [-1, 1], where 0.1 is 12.75 of 255 shades; what they leave unsaid is marked so.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_steps=2, validate_every=2)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [name for name in fitted.rows[-1] if name.endswith("accuracy")]
['accuracy', 'valid_accuracy', 'valid_robust_accuracy']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

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
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
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
    """Refuse an attack one of whose fields is out of its range.

    >>> from dataclasses import replace
    >>> replace(SMOKE, norm="l1")
    Traceback (most recent call last):
    ValueError: norm: expected one of linf, l2, got 'l1'.
    """
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
    """The configured attack on images (N, C, H, W), downhill in x -> log p(y | x); pixels end in [-1, 1].

    >>> x = torch.tensor([0.5, 0.9]).view(1, 1, 1, 2)
    >>> attacked(SMOKE, lambda x: x.flatten(1).sum(dim=1), x, torch.Generator().manual_seed(0))  # its radius is 0.3
    tensor([[[[0.2000, 0.6000]]]])
    """
    options: dict[str, Any] = {"step_size": config.attack_step_size, "norm": config.norm}
    options |= {"radius": config.radius, "n_steps": config.n_attack_steps, "random_start": config.random_start}
    return pgd(log_likelihood, x.clamp(-1, 1), **options, with_energy=False, generator=generator).x


def adversarial(logits: dict[str, Tensor], y: Tensor, *, clean_share: float) -> Loss:
    """(1 - share) the mean of -log p(y | attacked x) + share that of -log p(y | x).

    Args:
        logits: of ``attacked`` images, and of ``clean`` ones if they have a share.

    Returns:
        The loss; terms ``cross_entropy`` and ``accuracy`` of attacked images, those of clean ones with ``clean_``.

    >>> logits = {"attacked": torch.tensor([[0.0, 0.0]]), "clean": torch.tensor([[9.0, -9.0]])}
    >>> loss = adversarial(logits, torch.tensor([0]), clean_share=0.5)
    >>> round(float(loss.value), 3), float(loss.terms["clean_accuracy"])  # half of log 2, and half of almost nothing
    (0.347, 1.0)
    """
    loss = classification(logits["attacked"], y)
    if not clean_share:
        return loss
    clean = classification(logits["clean"], y)
    value = (1 - clean_share) * loss.value + clean_share * clean.value
    return Loss(value, {**loss.terms, **{f"clean_{name}": term for name, term in clean.terms.items()}})


def make_step(learner: Learner) -> Step:
    """One update of the classifier at attacked images; several processes attack their share each.

    >>> from dataclasses import replace
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2))
    >>> _ = net[1].load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})  # the logits are the pixels
    >>> step = make_step(Learner(net, replace(SMOKE, image_noise_std=0.0)))
    >>> log = step(Batch(torch.tensor([[[[0.5, 0.0]]]]), y=torch.tensor([0])), torch.Generator().manual_seed(0))
    >>> round(float(log["cross_entropy"]), 3), float(log["accuracy"])  # at (0.2, 0.3): log(1 + e^0.1)
    (0.744, 0.0)
    """
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

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2))
    >>> _ = net[1].load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})  # the logits are the pixels
    >>> valid = Batch(torch.tensor([[[[0.5, 0.0]]], [[[0.9, 0.0]]]]), y=torch.tensor([0, 0]))
    >>> measure = robust_accuracy(Learner(net, SMOKE), Data(valid, valid, (1, 1, 2), 2, score=None))
    >>> measure()  # a radius of 0.3 changes a difference by 0.6: it turns the first image alone
    {'robust_accuracy': 0.5}
    """

    joint = Joint(learner.net)

    def measure() -> dict[str, float]:
        generator, y = learner.run.generator("validation attack"), labels(data.valid)

        def attack(x: Tensor, y: Tensor) -> Tensor:
            return attacked(learner.config, joint.log_likelihood(y), x, generator)

        right = evaluated(learner.net, in_parts(attack, data.valid.x, y)).argmax(dim=1) == y
        return {"robust_accuracy": float(right.float().mean())}

    return measure


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train ``config.net`` against the attack; rows as the classifier's, and ``valid_robust_accuracy``."""
    data = data_of(config, run)
    learner = Learner(config.net(data.shape, data.n_classes).to(run.device), config, run=run)
    measure = robust_accuracy(learner, data)
    options: dict[str, Any] = {"also": lambda logits: measure(), "folder": folder, "progress": progress}
    return train(config, run, learner, data, make_step(learner), recipe=fit, **options)
