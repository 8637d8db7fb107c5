"""Does an attack before Langevin steps help in some setting? Steps of other lengths and noises, equal gradients.

The grid of ``combining`` has Langevin steps of one length and one noise. Here both vary (``Config.moves``), and a
setting without attack may spend on steps what the attack costs. Contrast, energy, length, noise and number of steps are
chosen alike for either kind on validation images, and the best of each is scored on new samples and held-out images.

>>> from torch import nn
>>> from dataclasses import replace
>>> from ebm_course.experiments.images.config import SMOKE
>>> config = replace(SMOKE, moves=((0.1, 0.0), (1.0, 0.0)))
>>> [(radius, n) for _, radius, _, _, n in settings(config)][:7]  # 4 steps, or 2 of an attack and 2 steps
[(0.0, 1), (0.0, 2), (0.0, 3), (0.0, 4), (0.0, 1), (0.0, 2), (0.0, 3)]
>>> max(gradients(setting, config) for setting in settings(config))
4
>>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
>>> _ = net.load_state_dict({"1.weight": torch.tensor([[1.0] * 4, [-1.0] * 4])})  # logits s, -s of the pixels' sum s
>>> joint, draw = Joint(net), torch.Generator().manual_seed(0)
>>> held_out = 2 * torch.rand(8, 1, 2, 2, generator=draw) - 1
>>> judge = nn.Flatten()  # it sees the pixels
>>> judge.features = nn.Flatten()
>>> begin = Starts(torch.full((8, 1, 2, 2), 0.1), held_out, torch.arange(8) % 2)
>>> rows = search(joint, Reference(judge, held_out, -held_out), begin, config, draw)
>>> len(rows) == 2 * len(settings(config)), best(rows, attacked=True)["radius"]
(True, 0.5)
>>> new = Starts(torch.full((8, 1, 2, 2), 0.2), held_out, torch.arange(8) % 2)
>>> reference = Reference(judge, held_out, -held_out)
>>> list(score_best(joint, best(rows, attacked=True), reference, new, config, draw, chosen_on=begin))
['distance', 'score', 'precision', 'recall', 'nearest']
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ebm_course.energies.joint import Joint
from ebm_course.experiments.images.combining import Setting, samples, scored, setting_of
from ebm_course.experiments.images.quality import Reference
from ebm_course.experiments.images.sampling import Starts

KINDS = {"with-attack": True, "without-attack": False}


def settings(config: Any) -> list[Setting]:
    """From class Gaussians, every radius, contrast, energy and number of steps that costs no more gradients than most.

    Most are those of an attack and ``n_many`` steps. Settings that differ in the number of steps alone follow one
    another.
    """
    most = config.n_attack_steps + config.n_many
    counts = (config.n_few, config.n_few + config.n_attack_steps, config.n_many, most)
    ways = itertools.product(config.grid_radii, config.grid_contrasts, ("class", "all"), sorted(set(counts)))
    found = [Setting("gaussians", *way) for way in ways]
    return [setting for setting in found if gradients(setting, config) <= most]


def gradients(setting: Setting, config: Any) -> int:
    """Gradients of the energy that a sample takes."""
    attack: int = config.n_attack_steps if setting.radius > 0 else 0
    return attack + setting.n_steps


def moving(config: Any, step_size: float, noise_std: float) -> Any:
    """The configuration with other Langevin steps.

    >>> from ebm_course.experiments.images.config import SMOKE
    >>> found = moving(SMOKE, 0.3, 0.1)
    >>> found.step_size, found.noise_std, found.n_many == SMOKE.n_many
    (0.3, 0.1, True)
    """
    return replace(config, step_size=step_size, noise_std=noise_std)


def search(
    joint: Joint, reference: Reference, begin: Starts, config: Any, generator: torch.Generator
) -> list[dict[str, Any]]:
    """A row for each move and setting: ``step_size``, ``noise_std``, the setting's fields, quality of its samples."""
    rows = []
    for step_size, noise_std in config.moves:
        moves, options = {"step_size": step_size, "noise_std": noise_std}, moving(config, step_size, noise_std)
        for setting, x in samples(joint, begin, options, generator, settings(config)):
            rows.append({**moves, **setting._asdict(), **reference.quality(x, nearest=False)})
    return rows


def best(rows: Sequence[dict[str, Any]], *, attacked: bool) -> dict[str, Any]:
    """The row of the smallest distance among those with an attack, or those without.

    >>> rows = [{"radius": radius, "distance": 3 - radius} for radius in (0.0, 0.3, 0.5)]
    >>> best(rows, attacked=True)["radius"], best(rows, attacked=False)["radius"]
    (0.5, 0.0)
    """
    return min((row for row in rows if (row["radius"] > 0) == attacked), key=lambda row: float(row["distance"]))


def score_best(
    joint: Joint,
    row: dict[str, Any],
    reference: Reference,
    begin: Starts,
    config: Any,
    generator: torch.Generator,
    *,
    chosen_on: Starts,
) -> dict[str, float]:
    """The quality of samples from new starts with the setting and the Langevin steps of a row.

    Raises:
        ValueError: a start is one of those the row was chosen on.
    """
    options = moving(config, row["step_size"], row["noise_std"])
    return scored(joint, setting_of(row), reference, begin, options, generator, chosen_on=chosen_on)


def in_words(row: dict[str, Any]) -> str:
    """A row's setting and Langevin steps.

    >>> row = Setting("gaussians", 0.3, 0.8, "all", 50)._asdict() | {"step_size": 0.1, "noise_std": 0.01}
    >>> in_words(row)
    'gaussians/radius-0.3/contrast-0.8/all/steps-50 of 0.1, noise 0.01'
    """
    return f"{setting_of(row).name} of {row['step_size']:g}, noise {row['noise_std']:g}"


def smallest(runs: Sequence[Sequence[dict[str, Any]]]) -> dict[str, list[float]]:
    """The smallest distance of each run for each move and radius, over contrasts, energies and numbers of steps.

    >>> row = {"step_size": 0.1, "noise_std": 0.01, "radius": 0.3}
    >>> smallest([[row | {"distance": 4.0}, row | {"distance": 3.0}], [row | {"distance": 5.0}]])
    {'step-0.1/noise-0.01/radius-0.3': [3.0, 5.0]}
    """
    found: dict[str, list[float]] = {}
    for rows in runs:
        own: dict[str, float] = {}
        for row in rows:
            where = f"step-{row['step_size']:g}/noise-{row['noise_std']:g}/radius-{row['radius']:g}"
            own[where] = min(row["distance"], own.get(where, row["distance"]))
        for where, distance in own.items():
            found.setdefault(where, []).append(distance)
    return found
