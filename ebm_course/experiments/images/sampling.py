"""Samples of a classifier as an energy, drawn alike from every net. It knows energies and samplers, no metric.

Every way begins from the same states, the classes drawn as often as they occur; pixels may leave [-1, 1] on the way, as
in the paper, and are clamped where images are judged.

>>> from torch import nn
>>> from ebm_course.experiments.images.config import SMOKE
>>> generator, y = torch.Generator().manual_seed(0), torch.arange(60) % 2
>>> gaussians = ClassGaussians.fit(2 * torch.rand(60, 1, 2, 2, generator=generator) - 1, y, 2)
>>> begin: Starts = starts(gaussians, 6, generator)
>>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
>>> _ = net.load_state_dict({"1.weight": torch.tensor([[1.0] * 4, [-1.0] * 4])})  # logits s, -s of the pixels' sum s
>>> {name: tuple(x.shape) for name, x in ways(Joint(net), begin, SMOKE, generator)}["combined"]
(6, 1, 2, 2)
>>> moved = attacked(Joint(net), torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]), 0.5, 10, generator)
>>> moved.flatten(1).mean(dim=1).tolist()
[0.5, -0.5]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Energy
from ebm_course.energies.joint import Joint
from ebm_course.recipes.images.parts import in_parts
from ebm_course.samplers.class_gaussians import ClassGaussians
from ebm_course.samplers.combined import combined
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.pgd import pgd


@dataclass(frozen=True)
class Starts:
    """Where chains begin: ``gaussians`` (N, C, H, W) of ``classes`` (N,), and uniform ``noise`` of the same shape."""

    gaussians: Tensor
    noise: Tensor
    classes: Tensor


def starts(gaussians: ClassGaussians, n: int, generator: torch.Generator) -> Starts:
    """n of each."""
    classes = gaussians.draw_labels(n, generator=generator)
    x = gaussians.sample(classes, generator=generator)
    return Starts(x, 2 * torch.rand(x.shape, generator=generator, device=x.device) - 1, classes)


def ways(joint: Joint, begin: Starts, config: Any, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """Every way to sample a net, by name.

    ``short`` and ``long``: Langevin steps on E(x) from class Gaussians, n_few and n_many; ``noise``: n_many from
    uniform noise; ``towards``: the attack towards a class alone; ``combined``: the attack, less contrast, n_many steps
    on the energy of the class.
    """
    moves: dict[str, Any] = {"step_size": config.step_size, "noise_std": config.noise_std, "generator": generator}

    def steps(n: int) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, y: langevin(joint, x, n_steps=n, **moves).x

    def towards(x: Tensor, y: Tensor) -> Tensor:
        return attacked(joint, x, y, config.radius, config.n_attack_steps, generator)

    def all_three(x: Tensor, y: Tensor) -> Tensor:
        options = {"radius": config.radius, "n_pgd_steps": config.n_attack_steps, "contrast": config.contrast}
        attack: Energy = joint.negative_log_likelihood(y)
        return combined(joint.given(y), x, attack=attack, n_steps=config.n_many, **options, **moves).x

    short = in_parts(steps(config.n_few), begin.gaussians, begin.classes)
    yield "short", short
    yield "long", in_parts(steps(config.n_many - config.n_few), short, begin.classes)
    yield "noise", in_parts(steps(config.n_many), begin.noise, begin.classes)
    yield "towards", in_parts(towards, begin.gaussians, begin.classes)
    yield "combined", in_parts(all_three, begin.gaussians, begin.classes)


def attacked(joint: Joint, x: Tensor, y: Tensor, radius: float, n_steps: int, generator: torch.Generator) -> Tensor:
    """Images moved towards their classes, from where they are, as in combined inference."""
    options: dict[str, Any] = {"radius": radius, "n_steps": n_steps, "random_start": False, "generator": generator}
    options["with_energy"] = False
    return pgd(joint.negative_log_likelihood(y), x, **options).x


def first_of_class(classes: Tensor, n_classes: int, *, n: int = 2) -> Tensor:
    """Positions of the first ``n`` rows of each class: all first ones in order of class, then all second ones.

    Of a class with fewer rows its last is taken again, of one without any the first row of all.

    >>> first_of_class(torch.tensor([1, 0, 1, 1, 0]), 2).tolist()
    [1, 0, 4, 2]
    """
    rows = [(classes == k).nonzero()[:, 0].tolist() or [0] for k in range(n_classes)]
    return torch.tensor([own[min(i, len(own) - 1)] for i in range(n) for own in rows], device=classes.device)


def in_bytes(x: Tensor) -> Tensor:
    """Images as bytes, -1 as 0 and 1 as 255; what lies outside is taken for the nearer of them.

    >>> in_bytes(torch.tensor([-3.0, -1.0, 0.0, 1.0])).tolist()
    [0, 0, 128, 255]
    """
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8)
