"""The arms of the experiment: the paper's four rows, their controls, and contrast that does not collapse.

All arms on one set have its encoder, texts, minibatches, updates and rates, and all perturbed ones the same passes,
steps and noise; but for ``plain-longer``, which makes as many more updates as FreeLB makes passes, so that it costs
what FreeLB costs. Each keeps the weights of its best validation accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ebm_course.experiments.variants import Variant
from ebm_course.recipes.shared import Fit
from ebm_course.recipes.text import carl, finetune, freelb, rar

WORDS = {
    "plain": "plain training",
    "plain-longer": "plain training, as many passes as FreeLB",
    "noise": "random start alone, no ascent",
    "freelb": "FreeLB",
    "freelb-clean": "FreeLB with a clean pass",
    "carl": "CARL, negatives of the whole bank",
    "carl-light": "CARL, weight 0.1",
    "carl-fresh": "CARL, negatives of the last 16 updates",
    "carl-fresh-light": "CARL, negatives of the last 16 updates, weight 0.1",
    "carl-now": "CARL, negatives of the last 16 updates, momentum 0",
    "carl-now-light": "CARL, negatives of the last 16 updates, momentum 0, weight 0.1",
    "carl-softmax": "CARL, exact softmax over the negatives in the place of noise contrast",
    "rar": "RAR",
}
TABLE = ("plain", "freelb", "carl", "rar")
"""The rows of the paper's Table 2."""
BEYOND = ("carl-now", "carl-now-light", "carl-softmax")
"""Rows of the bank that are where sentences are now, written in the last updates, with nothing of older visits, at
both weights; and a contrast whose normaliser is not frozen. For texts that the small encoder reads; no claim rests on
them."""
JUDGED = ("plain", "plain-longer", "noise", "freelb", "carl", "carl-fresh", "rar")
"""Rows that a declared claim compares, or that it is to be read beside."""
ALL = tuple(WORDS)
ROWS = tuple(name for name in ALL if name not in BEYOND)
FRESHNESS = 16
LIGHT = 0.1
Base = Mapping[str, Any]
"""Name of a recipe -> its configuration."""


def base_of(**changes: Any) -> Base:
    """The four recipes' presets for papers with these changes, each where the recipe has such a field.

    >>> base = base_of(n_steps=100, n_passes=3)
    >>> sorted(base), base["carl"].n_steps, "n_passes" in vars(base["finetune"])
    (['carl', 'finetune', 'freelb', 'rar'], 100, False)
    """
    found = {}
    for recipe in (finetune, freelb, carl, rar):
        name = recipe.__name__.rpartition(".")[2]
        fields = recipe.Config.__dataclass_fields__
        found[name] = replace(recipe.PAPER, **{key: value for key, value in changes.items() if key in fields})
    return found


def arms_of(data: str, rows: Iterable[str], base: Base) -> tuple[Variant, ...]:
    """A row for each arm on one set.

    >>> [longer] = arms_of("toy", ["plain-longer"], base_of(n_steps=100, n_passes=3))
    >>> longer.name, longer.config.n_steps
    ('toy/plain-longer', 300)
    """
    return tuple(_arm(data, name, base) for name in rows)


def _arm(data: str, name: str, base: Base) -> Variant:
    plain, perturbed, contrast = base["finetune"], base["freelb"], base["carl"]
    n = perturbed.n_passes
    longer = {field: n * getattr(plain, field) for field in ("n_steps", "warm_up", "validate_every")}
    made: dict[str, tuple[Any, Fit]] = {
        "plain": (plain, finetune.fit),
        "plain-longer": (replace(plain, **longer), finetune.fit),
        "noise": (replace(perturbed, step_size=0.0), freelb.fit),
        "freelb": (perturbed, freelb.fit),
        "freelb-clean": (replace(perturbed, clean_pass=perturbed.noise_size > 0), freelb.fit),
        "carl": (contrast, carl.fit),
        "carl-light": (replace(contrast, contrast_weight=LIGHT), carl.fit),
        "carl-fresh": (replace(contrast, freshness=FRESHNESS), carl.fit),
        "carl-fresh-light": (replace(contrast, freshness=FRESHNESS, contrast_weight=LIGHT), carl.fit),
        "rar": (base["rar"], rar.fit),
        "carl-now": (replace(contrast, freshness=FRESHNESS, momentum=0.0), carl.fit),
        "carl-now-light": (
            replace(contrast, freshness=FRESHNESS, momentum=0.0, contrast_weight=LIGHT),
            carl.fit,
        ),
        "carl-softmax": (replace(contrast, estimator="softmax"), carl.fit),
    }
    config, fit = made[name]
    return Variant(f"{data}/{name}", WORDS[name], config, fit)


def search_of(
    data: str, base: Base, *, step_sizes: Iterable[float], noise_sizes: Iterable[float]
) -> tuple[Variant, ...]:
    """Table 8 in small: FreeLB with each step and noise, trained in the first run alone.

    >>> [variant.name for variant in search_of("toy", base_of(), step_sizes=[0.1], noise_sizes=[0.0, 0.6])]
    ['toy/search/step-0.1-noise-0', 'toy/search/step-0.1-noise-0.6']
    """
    return tuple(
        Variant(
            f"{data}/search/step-{step:g}-noise-{noise:g}",
            f"FreeLB, step {step:g}, noise {noise:g}",
            replace(base["freelb"], step_size=step, noise_size=noise),
            freelb.fit,
            once=True,
        )
        for step in step_sizes
        for noise in noise_sizes
    )


def is_search(variant: Variant) -> bool:
    """Whether an arm is a setting of the search.

    >>> [arm], base = arms_of("toy", ["freelb"], base_of()), base_of()
    >>> [is_search(one) for one in (arm, *search_of("toy", base, step_sizes=[0.1], noise_sizes=[0.6]))]
    [False, True]
    """
    return "/search/" in variant.name
