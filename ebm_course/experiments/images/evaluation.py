"""What is measured of one net as a classifier: right answers, attacks, calibration, foreign images, energy gap.

>>> from dataclasses import replace
>>> from torch import nn
>>> from ebm_course.experiments.images.config import SMOKE
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
>>> _ = net.load_state_dict({"1.weight": torch.tensor([[1.0] * 4, [-1.0] * 4])})  # logits s, -s of the pixels' sum s
>>> joint, means = Joint(net), torch.tensor([0.05, 0.6, -0.05, -0.6])
>>> test = Batch(means.view(-1, 1, 1, 1).expand(-1, 1, 2, 2), (means < 0).long())
>>> found = classified(joint, test, replace(SMOKE, radii=(0.1,), n_attack_steps=20), SINGLE_PROCESS)
>>> found["accuracy"], found["pgd-0.1"]  # the attack reaches the border from 0.05
(1.0, 0.5)
>>> dark, grey = torch.full((4, 1, 2, 2), -1.0), torch.zeros(4, 1, 2, 2)
>>> told_apart(joint, dark, {"grey": grey})["grey"]["logsumexp"]
1.0
>>> round(gap(joint, grey, dark), 3)  # log(e^4 + e^-4) - log 2
3.307
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Batch, Task, energy_grad, frozen
from ebm_course.energies.joint import Joint
from ebm_course.metrics.calibration import expected_calibration_error
from ebm_course.metrics.energy_gap import energy_gap
from ebm_course.metrics.out_of_distribution import familiarity, out_of_distribution
from ebm_course.metrics.robustness import accuracy, robust_accuracy
from ebm_course.recipes.images.parts import ROWS_AT_ONCE, evaluated, in_parts, labels
from ebm_course.runtime import Run
from ebm_course.samplers.pgd import pgd
from ebm_course.tasks.image_sources import has_fashion_mnist, has_svhn
from ebm_course.tasks.images import fashion_mnist, svhn

REAL: dict[str, tuple[str, Callable[[], bool], Callable[..., Task]]] = {
    "mnist": ("fashion-mnist", has_fashion_mnist, fashion_mnist),
    "cifar10": ("svhn", has_svhn, svhn),
}
"""Of a data set, real images of another kind: their name, whether they are there, and the task they are tested in."""


def classified(joint: Joint, test: Batch, config: Any, run: Run) -> dict[str, float]:
    """``accuracy``, ``calibration`` (expected error) and ``pgd-R``, the accuracy under attacks of each radius."""
    y, logits = labels(test), evaluated(joint.classifier, test.x)
    found = {
        "accuracy": accuracy(logits, y),
        "calibration": expected_calibration_error(logits.softmax(dim=1), y),
    }
    for radius in config.radii:
        options: dict[str, Any] = {"radius": radius, "n_steps": config.n_attack_steps}
        attack = partial(_attacked, joint, generator=run.generator(f"attack {radius}"), **options)
        found[f"pgd-{radius:g}"] = robust_accuracy(logits, evaluated(joint.classifier, in_parts(attack, test.x, y)), y)
    return found


def foreign_images(x: Tensor, gaussians: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Images unlike the data (N, C, H, W), by name: from uniform noise to mixes of two images each.

    >>> x, generator = torch.rand(6, 1, 4, 4), torch.Generator().manual_seed(0)
    >>> found = foreign_images(x, torch.zeros_like(x), generator)
    >>> list(found), found["inverted"].equal(-x)
    (['noise', 'inverted', 'shuffled', 'gaussians', 'mixes'], True)
    """
    n, c, h, w = x.shape
    order = torch.rand(n, h * w, generator=generator, device=x.device).argsort(dim=1)
    shuffled = x.flatten(2).gather(2, order[:, None].expand(n, c, h * w)).view(x.shape)
    return {
        "noise": 2 * torch.rand(x.shape, generator=generator, device=x.device) - 1,
        "inverted": -x,
        "shuffled": shuffled,
        "gaussians": gaussians,
        "mixes": (x + x.roll(1, dims=0)) / 2,
    }


def real_foreign(data: str) -> str:
    """The name of the real images that a data set is told from, where the reader's folder has them, else nothing.

    >>> real_foreign("digits"), real_foreign("mnist") in ("", "fashion-mnist")
    ('', True)
    """
    name, is_there, _ = REAL.get(data, ("", lambda: False, fashion_mnist))
    return name if is_there() else ""


def real_foreign_images(data: str, x: Tensor) -> dict[str, Tensor]:
    """These, as many as x (N, C, H, W) at most and of its size, by their name; none where they are not there.

    >>> real_foreign_images("digits", torch.zeros(4, 1, 8, 8))
    {}
    """
    name = real_foreign(data)
    return {name: REAL[data][2](size=x.shape[-1]).test.x[: len(x)].to(x.device)} if name else {}


def told_apart(joint: Joint, inside: Tensor, outside: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """AUROC of held-out data against each set of foreign images by each of three scores."""
    mine = _scores(joint, inside)
    return {name: out_of_distribution(mine, _scores(joint, x)) for name, x in outside.items()}


@torch.no_grad()
def gap(joint: Joint, held_out: Tensor, samples: Tensor) -> float:
    """Mean energy of held-out data minus that of samples, nats."""
    e_data, e_samples = (-evaluated(joint.classifier, x).logsumexp(dim=1) for x in (held_out, samples))
    return energy_gap(e_data, e_samples)


def _attacked(joint: Joint, x: Tensor, y: Tensor, **options: Any) -> Tensor:
    return pgd(joint.log_likelihood(y), x, **options, with_energy=False).x


def _scores(joint: Joint, x: Tensor) -> dict[str, Tensor]:
    with frozen(joint):
        slopes = torch.cat([energy_grad(joint, part)[1] for part in x.split(ROWS_AT_ONCE)])
    return familiarity(evaluated(joint.classifier, x), -slopes)
