"""Why does combined inference fail or help? Every setting of it on a grid, and the best chosen and scored apart.

Settings are chosen on samples compared with validation images, and what was chosen is scored on new samples compared
with held-out images, against Langevin steps alone, chosen and scored alike. The energy is E(x, y) of the wanted class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebm_course.energies.joint import Joint
from ebm_course.experiments.images.quality import Reference
from ebm_course.experiments.images.sampling import Starts, attacked, in_parts
from ebm_course.samplers.langevin import langevin


class Setting(NamedTuple):
    """Where samples begin, how far the attack goes, what is left of the contrast, and Langevin steps after it."""

    start: str
    radius: float
    contrast: float
    n_steps: int

    @property
    def name(self) -> str:
        """As a part of an entry's name."""
        return f"{self.start}/radius-{self.radius:g}/contrast-{self.contrast:g}/steps-{self.n_steps}"

    @property
    def is_combined(self) -> bool:
        """Whether there are both an attack and Langevin steps."""
        return self.radius > 0 and self.n_steps > 0

    @property
    def is_alone(self) -> bool:
        """Whether there are Langevin steps and nothing else."""
        return self.radius == 0 and self.contrast == 1 and self.n_steps > 0


def samples(
    joint: Joint, begin: Starts, config: Any, generator: torch.Generator, *, only: Setting | None = None
) -> Iterator[tuple[Setting, Tensor]]:
    """Samples of every setting of the grid, or of one; from noise with the paper's contrast and none lowered only."""
    counts = (0, config.n_few, config.n_many) if only is None else (only.n_steps,)
    for start, x0 in (("gaussians", begin.gaussians), ("noise", begin.noise)):
        contrasts = config.grid_contrasts if start == "gaussians" else (1.0, config.contrast)
        for radius in config.grid_radii:
            if only is not None and (start, radius) != only[:2]:
                continue
            x1 = _attacked(joint, x0, begin.classes, radius, config, generator)
            for contrast in dict.fromkeys(contrasts):
                if only is not None and contrast != only.contrast:
                    continue
                x, done = contrast * x1, 0
                for n in counts:
                    x, done = _stepped(joint, x, begin.classes, n - done, config, generator), n
                    yield Setting(start, radius, contrast, n), x


def grid(
    joint: Joint, reference: Reference, begin: Starts, config: Any, generator: torch.Generator
) -> list[dict[str, Any]]:
    """A row for each setting: its fields, the quality of its samples, and what tells why.

    ``energy``: mean E(x, y) at the end; ``moved``: root mean square distance of a pixel from the start; ``outside``:
    share of pixels outside [-1, 1] before they are clamped.
    """
    rows = []
    for setting, x in samples(joint, begin, config, generator):
        x0 = begin.gaussians if setting.start == "gaussians" else begin.noise
        why = {
            "energy": mean_energy(joint, x, begin.classes),
            "moved": float((x - x0).square().mean().sqrt()),
            "outside": float((x.abs() > 1).float().mean()),
        }
        rows.append({**setting._asdict(), **reference.quality(x, nearest=False), **why})
    return rows


def chosen(rows: Sequence[dict[str, Any]], kind: str) -> Setting:
    """The setting of the smallest distance, among those that are ``combined`` or Langevin steps ``alone``."""
    settings = {Setting(*(row[field] for field in Setting._fields)): row["distance"] for row in rows}
    of_kind = {s: distance for s, distance in settings.items() if getattr(s, f"is_{kind}")}
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
    if (begin.gaussians[:, None] == chosen_on.gaussians[None]).flatten(2).all(dim=2).any():
        raise ValueError("a setting is chosen on other samples than those scored: a start is among both.")
    [(_, x)] = samples(joint, begin, config, generator, only=setting)
    return reference.quality(x)


@torch.no_grad()
def mean_energy(joint: Joint, x: Tensor, classes: Tensor) -> float:
    """Mean E(x, y), nats."""
    return float(in_parts(lambda x, y: joint.given(y)(x), x, classes).mean())


def _attacked(
    joint: Joint, x: Tensor, classes: Tensor, radius: float, config: Any, generator: torch.Generator
) -> Tensor:
    return in_parts(lambda x, y: attacked(joint, x, y, radius, config.n_attack_steps, generator), x, classes)


def _stepped(joint: Joint, x: Tensor, classes: Tensor, n: int, config: Any, generator: torch.Generator) -> Tensor:
    if n == 0:
        return x
    options: dict[str, Any] = {"step_size": config.step_size, "noise_std": config.noise_std, "generator": generator}
    return in_parts(lambda x, y: langevin(joint.given(y), x, n_steps=n, **options).x, x, classes)
