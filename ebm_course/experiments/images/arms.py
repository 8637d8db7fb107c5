"""The arms of the experiment, treated alike: the four recipes, JEM++'s sampler, and what p(x) sees in the fourth.

All arms on one data set have the same net, rows, updates, batch and optimiser, all robust ones the same attack, and all
joint models the same chains but ``jem-plus``.
``step-10`` arms show how a run dies: digits, Langevin steps ten times as long, no way back.

>>> from ebm_course.experiments.images.config import NOTEBOOK_BASE
>>> rows = arms_of("digits", ("jem", "robust-jem"), NOTEBOOK_BASE, {"n_steps": 100}, ships=True)
>>> [(row.name, row.config.n_steps, row.ships_as) for row in rows]
[('digits/jem', 100, 'digits-jem'), ('digits/robust-jem', 100, 'digits-robust-jem')]
>>> lives = step_10_arms("digits", NOTEBOOK_BASE, {})
>>> [(row.name, row.config.step_size) for row in lives]
[('digits/step-10/jem', 10.0), ('digits/step-10/robust-jem', 10.0)]
>>> [is_step_10(row) for row in (*rows, *lives)]
[False, False, True, True]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ebm_course.experiments.configs import changed
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.images import classifier, jem, robust_classifier, robust_jem
from ebm_course.recipes.images.chains import pyld_steps
from ebm_course.recipes.shared import Fit

WORDS = {
    "classifier": "classifier",
    "jem": "JEM",
    "jem-plus": "JEM with JEM++'s inner steps",
    "robust-classifier": "robust classifier",
    "robust-jem": "robust JEM",
    "robust-jem-adversarial": "robust JEM, p(x) sees attacked images",
}
PLUS: dict[str, Any] = {
    "sampler": pyld_steps,
    "n_inner_steps": 5,
    "step_size": 0.2,
    "noise_std": 0.0,
    "max_grad_value": 1.0,
    "bounds": (-1.0, 1.0),
}
"""What JEM++ changes in the chains: Yang and Ji (2021)."""
LONG_STEP = 10.0
RESTARTS = 3
"""Times that a diverged run goes back to its last good state; how often it did is recorded."""


def arms_of(
    data: str, rows: tuple[str, ...], base: Mapping[str, Any], changes: Mapping[str, Any], *, ships: bool = False
) -> tuple[Variant, ...]:
    """A row for each arm on one data set.

    Args:
        data: its name, which begins those of the rows.
        rows: names of ``WORDS``.
        base: recipe's name -> configuration to start from.
        changes: made in every arm that has such a field.
        ships: whether the nets that chapters need may ship.
    """
    made: dict[str, tuple[Any, Fit]] = {
        "classifier": (base["classifier"], classifier.fit),
        "jem": (base["jem"], jem.fit),
        "jem-plus": (replace(base["jem"], **PLUS), jem.fit),
        "robust-classifier": (base["robust_classifier"], robust_classifier.fit),
        "robust-jem": (base["robust_jem"], robust_jem.fit),
        "robust-jem-adversarial": (replace(base["robust_jem"], energy_sees="adversarial"), robust_jem.fit),
    }
    shipped = ("classifier", "jem", "robust-jem") if ships else ()
    found = []
    for name in rows:
        config, fit = made[name]
        config = changed(config, {"restarts": RESTARTS, **changes})
        found.append(
            Variant(f"{data}/{name}", WORDS[name], config, fit, ships_as=f"{data}-{name}" if name in shipped else "")
        )
    return tuple(found)


def step_10_arms(data: str, base: Mapping[str, Any], changes: Mapping[str, Any]) -> tuple[Variant, ...]:
    """JEM and robust JEM with Langevin steps of 10, watched at every update: a run ends where the gap passes 1,000."""
    watch = {**changes, "step_size": LONG_STEP, "watch_every": 1, "restarts": 0}
    made: tuple[tuple[str, Any, Fit], ...] = (
        ("jem", base["jem"], jem.fit),
        ("robust-jem", base["robust_jem"], robust_jem.fit),
    )
    return tuple(
        Variant(f"{data}/step-10/{name}", f"{WORDS[name]}, Langevin step 10", changed(config, watch), fit)
        for name, config, fit in made
    )


def is_step_10(variant: Variant) -> bool:
    """Whether this arm is trained to see how long it lives."""
    return "/step-10/" in variant.name
