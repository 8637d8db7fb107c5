"""Why does combined inference fail or help? Every setting of it on a grid, and the best chosen and scored apart.

Settings are chosen on samples compared with validation images, and what was chosen is scored on new samples compared
with held-out images, against Langevin steps alone, chosen and scored alike.

>>> from torch import nn
>>> from ebm_course.experiments.images.config import SMOKE
>>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
>>> _ = net.load_state_dict({"1.weight": torch.tensor([[1.0] * 4, [-1.0] * 4])})  # logits s, -s of the pixels' sum s
>>> joint, draw = Joint(net), torch.Generator().manual_seed(0)
>>> held_out = 2 * torch.rand(8, 1, 2, 2, generator=draw) - 1
>>> first, second = (Starts(torch.full((8, 1, 2, 2), x), held_out, torch.arange(8) % 2) for x in (0.1, 0.2))
>>> [(_, x)] = samples(joint, first, SMOKE, draw, [Setting("gaussians", 0.5, 1.0, "class", 0)])
>>> round(float(x[0].mean()), 3), round(float(x[1].mean()), 3)  # the attack, towards class 0 and towards class 1
(0.6, -0.4)
>>> round(mean_energy(joint, first.gaussians[:1], torch.tensor([0])), 3)
-0.4
>>> judge = nn.Flatten()  # it sees the pixels
>>> judge.features = nn.Flatten()
>>> reference = Reference(judge, held_out, -held_out)
>>> rows = grid(joint, reference, first, SMOKE, draw)
>>> len(rows) == len(settings(SMOKE)), setting_of(rows[0]).name
(True, 'gaussians/radius-0/contrast-1/class/steps-0')
>>> best = chosen(rows, "combined")
>>> list(scored(joint, best, reference, second, SMOKE, draw, chosen_on=first))
['distance', 'score', 'precision', 'recall', 'nearest']
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebm_course.energies.joint import Joint
from ebm_course.experiments.images.quality import Reference
from ebm_course.experiments.images.sampling import Starts, attacked
from ebm_course.recipes.images.parts import in_parts
from ebm_course.samplers.langevin import langevin


class Setting(NamedTuple):
    """How samples are made: where they begin, how far the attack goes, what is left of the contrast, and what follows.

    ``energy``: that of the steps, ``class`` for E(x, y) of the wanted class and ``all`` for E(x).

    >>> setting = Setting("gaussians", radius=0.5, contrast=0.8, energy="class", n_steps=50)
    >>> setting.name, setting.is_combined, setting.is_alone
    ('gaussians/radius-0.5/contrast-0.8/class/steps-50', True, False)
    """

    start: str
    radius: float
    contrast: float
    energy: str
    n_steps: int

    @property
    def name(self) -> str:
        """As a part of an entry's name."""
        parts = (self.start, f"radius-{self.radius:g}", f"contrast-{self.contrast:g}", self.energy)
        return "/".join((*parts, f"steps-{self.n_steps}"))

    @property
    def is_combined(self) -> bool:
        """Whether there are both an attack and Langevin steps."""
        return self.radius > 0 and self.n_steps > 0

    @property
    def is_alone(self) -> bool:
        """Whether there are Langevin steps and nothing else."""
        return self.radius == 0 and self.contrast == 1 and self.n_steps > 0


def settings(config: Any) -> list[Setting]:
    """The whole grid from class Gaussians on E(x, y); on E(x), and from noise, what tells how these change it.

    Settings that differ in the number of steps alone follow one another: more steps go on from fewer.
    """
    found = []
    for start, energy, contrasts in (
        ("gaussians", "class", config.grid_contrasts),
        ("gaussians", "all", (1.0, config.contrast)),
        ("noise", "class", (config.contrast,)),
    ):
        counts = (0, config.n_few, config.n_many) if energy == "class" else (config.n_few, config.n_many)
        for radius, contrast in itertools.product(config.grid_radii, dict.fromkeys(contrasts)):
            found += [Setting(start, radius, contrast, energy, n) for n in counts]
    return found


def samples(
    joint: Joint, begin: Starts, config: Any, generator: torch.Generator, wanted: Sequence[Setting]
) -> Iterator[tuple[Setting, Tensor]]:
    """Samples of each setting, in order; settings with one start and radius share one attack."""
    attacks: dict[tuple[str, float], Tensor] = {}
    for _, same in itertools.groupby(wanted, key=lambda setting: setting[:-1]):
        group = list(same)
        start, radius, contrast = group[0][:3]
        if (start, radius) not in attacks:
            x0 = begin.gaussians if start == "gaussians" else begin.noise
            attacks[start, radius] = _attacked(joint, x0, begin.classes, radius, config, generator)
        x, done = contrast * attacks[start, radius], 0
        for setting in group:
            x = _stepped(joint, x, begin.classes, setting, setting.n_steps - done, config, generator)
            done = setting.n_steps
            yield setting, x


def grid(
    joint: Joint, reference: Reference, begin: Starts, config: Any, generator: torch.Generator
) -> list[dict[str, Any]]:
    """A row for each setting: its fields, the quality of its samples, and what tells why.

    ``mean_energy``: of E(x, y) at the end; ``moved``: root mean square distance of a pixel from the start; ``outside``:
    share of pixels outside [-1, 1] before they are clamped.
    """
    rows = []
    for setting, x in samples(joint, begin, config, generator, settings(config)):
        x0 = begin.gaussians if setting.start == "gaussians" else begin.noise
        why = {
            "mean_energy": mean_energy(joint, x, begin.classes),
            "moved": float((x - x0).square().mean().sqrt()),
            "outside": float((x.abs() > 1).float().mean()),
        }
        rows.append({**setting._asdict(), **reference.quality(x, nearest=False), **why})
    return rows


def setting_of(row: Mapping[str, Any]) -> Setting:
    """The setting of a row of the grid."""
    return Setting(*(row[field] for field in Setting._fields))


def chosen(rows: Sequence[dict[str, Any]], kind: str) -> Setting:
    """The setting of the smallest distance, among those that are ``combined`` or Langevin steps ``alone``.

    >>> rows = [Setting("gaussians", r, 1.0, "class", 10)._asdict() | {"distance": 3 - r} for r in (0.0, 0.3, 0.5)]
    >>> chosen(rows, "alone").radius, chosen(rows, "combined").radius
    (0.0, 0.5)
    """
    distances = {setting_of(row): row["distance"] for row in rows}
    of_kind = {s: distance for s, distance in distances.items() if getattr(s, f"is_{kind}")}
    return min(of_kind, key=lambda setting: of_kind[setting])


def scored(
    joint: Joint,
    setting: Setting,
    reference: Reference,
    begin: Starts,
    config: Any,
    generator: torch.Generator,
    *,
    chosen_on: Starts,
) -> dict[str, float]:
    """The quality of one setting's samples from new starts.

    Raises:
        ValueError: a start is one of those the setting was chosen on.
    """
    if any((begin.gaussians == start).flatten(1).all(dim=1).any() for start in chosen_on.gaussians):
        raise ValueError("a setting is chosen on other samples than those scored: a start is among both.")
    [(_, x)] = samples(joint, begin, config, generator, [setting])
    return reference.quality(x)


@torch.no_grad()
def mean_energy(joint: Joint, x: Tensor, classes: Tensor) -> float:
    """Mean E(x, y), nats."""
    return float(in_parts(lambda x, y: joint.given(y)(x), x, classes).mean())


def _attacked(
    joint: Joint, x: Tensor, classes: Tensor, radius: float, config: Any, generator: torch.Generator
) -> Tensor:
    return in_parts(lambda x, y: attacked(joint, x, y, radius, config.n_attack_steps, generator), x, classes)


def _stepped(
    joint: Joint, x: Tensor, classes: Tensor, setting: Setting, n: int, config: Any, generator: torch.Generator
) -> Tensor:
    if n == 0:
        return x
    options: dict[str, Any] = {"step_size": config.step_size, "noise_std": config.noise_std, "generator": generator}

    def steps(x: Tensor, y: Tensor) -> Tensor:
        return langevin(joint.given(y) if setting.energy == "class" else joint, x, n_steps=n, **options).x

    return in_parts(steps, x, classes)
