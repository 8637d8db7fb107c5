"""The arms of the experiment, rows of the paper's tables and of our own, treated alike on each set of sentences.

All arms on one set have its features, sizes, minibatches and updates. Each keeps the weights of its lowest validation
error, of what it answers with: its network; exact decoding or descent where it has no network. Games also share rates,
optimisers, lambda and the entropy's weight; fine-tuning is a part of the margin's updates, not more of them. With k I
steps an update has k times the work for the networks. Those of ``LONGER`` alone have ``TIMES`` the updates, and look at
validation sentences ``TIMES`` as seldom; those of ``LIGHT`` alone have lambda 1 where the others have more.

>>> rows, arms, n_given = part("toy", ("stacked", "network-of-chain"), "smoke", {"n_epochs": 2})
>>> [arm.name for arm in arms], n_given
(['toy/crf', 'toy/tag-lm', 'toy/stacked', 'toy/network-of-chain'], 2)
>>> arms[-1].starts_from, [is_measured(arm) for arm in arms]
('toy/crf', [True, False, True, True])
>>> base = {name: recipe.PRESETS["smoke"] for name, recipe in RECIPES.items()}
>>> [arm.config.cross_entropy_a for arm in arms_of("toy", ("stacked", "perceptron-no-ce"), base, {})]
[1.0, 0.0]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ebm_course.experiments.configs import changed
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.shared import Fit
from ebm_course.recipes.structured import bilstm, crf, inference_network, spen_gradient, tag_language_model

WORDS = {
    "bilstm": "BiLSTM, each token alone",
    "crf": "CRF, exact likelihood",
    "spen-gradient": "SPEN, descent for inference",
    "margin-truncated-no-ce": "margin, truncated, no cross-entropy",
    "margin-no-ce": "margin, no truncation, no cross-entropy",
    "margin-truncated": "margin, truncated, cross-entropy",
    "margin": "margin, no truncation, cross-entropy",
    "margin-entropy": "margin, no truncation, no cross-entropy, annealed entropy",
    "perceptron-no-ce": "perceptron, no cross-entropy",
    "perceptron": "perceptron, cross-entropy",
    "separated": "compound, separated",
    "shared": "compound, shared",
    "stacked": "compound, stacked, cross-entropy on A and F",
    "stacked-ce-a": "compound, stacked, cross-entropy on A alone",
    "stacked-ce-f": "compound, stacked, cross-entropy on F alone, annealed entropy",
    "k-1": "compound, stacked, annealed entropy, 1 I step an update",
    "k-5": "compound, stacked, annealed entropy, 5 I steps an update",
    "k-20": "compound, stacked, annealed entropy, 20 I steps an update",
    "ge-a": "compound, stacked, forward tag language model",
    "ge-b": "compound, stacked, both tag language models",
    "ge-c": "compound, stacked, both tag language models, with and without words",
    "margin-truncated-no-ce-longer": "margin, truncated, no cross-entropy, twelve times the updates",
    "margin-no-ce-longer": "margin, no truncation, no cross-entropy, twelve times the updates",
    "margin-entropy-longer": "margin, no cross-entropy, annealed entropy, twelve times the updates",
    "separated-lambda-1": "compound, separated, lambda 1",
    "shared-lambda-1": "compound, shared, lambda 1",
    "stacked-lambda-1": "compound, stacked, lambda 1",
    "tag-lm": "language model of tags",
    "network-of-chain": "network fitted without tags to the CRF's energy",
    "network-of-global": "network fitted without tags to the CRF's energy and a tag language model",
}
SOURCES = {"network-of-chain": ("crf",), "network-of-global": ("crf", "tag-lm")}
"""Arms that are given nets of other arms of their run."""

GIVEN = ("crf", "tag-lm")
"""Arms whose nets others are given; every set has them, but those of which no arm is given any."""

TABLE_1 = ("margin-truncated-no-ce", "margin-no-ce", "margin-truncated", "margin", "perceptron-no-ce", "perceptron")
JOINT = ("separated", "shared", "stacked")
REFERENCES = ("bilstm", "crf", "spen-gradient")
OURS = ("margin-entropy", "stacked-ce-a", "stacked-ce-f", "k-1", "k-5", "network-of-chain")
GLOBAL = ("ge-a", "ge-b", "ge-c")
LONGER = ("margin-truncated-no-ce-longer", "margin-no-ce-longer", "margin-entropy-longer")
LIGHT = ("separated-lambda-1", "shared-lambda-1", "stacked-lambda-1")
TIMES = 12
"""How many times the updates of all others those of ``LONGER`` have."""

ENTROPY = 2.0
"""Weight of the networks' entropy at the start, nats; it falls to 0 at 80 % of the updates."""
FINE_TUNED = 0.2
"""Share of the margin's epochs in which A is fine-tuned from F."""

RECIPES = {
    "bilstm": bilstm,
    "crf": crf,
    "spen-gradient": spen_gradient,
    "tag-lm": tag_language_model,
    "game": inference_network,
}


def arms_of(
    data: str,
    rows: tuple[str, ...],
    base: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    without_ce: Mapping[str, Any] | None = None,
) -> tuple[Variant, ...]:
    """A row for each arm on one set of sentences.

    Args:
        data: its name, which begins those of the rows.
        rows: names of ``WORDS``.
        base: name in ``RECIPES`` -> configuration to start from.
        changes: made in every arm that has such a field.
        without_ce: more of them, in games in which no network has a cross-entropy.
    """
    return tuple(_arm(data, name, base, changes, without_ce or {}) for name in rows)


Part = tuple[tuple[str, ...], tuple[Variant, ...], int]


def part(
    data: str,
    rows: tuple[str, ...],
    preset: str,
    changes: Mapping[str, Any],
    given: tuple[str, ...] = GIVEN,
    **rest: Any,
) -> Part:
    """Rows of one set, their arms after those whose nets others are given, and how many these are.

    Args:
        preset: of the recipes.
        given: none where no row is given a net. Sources are part of what every stage depends on, rows are not.
    """
    base = {name: recipe.PRESETS[preset] for name, recipe in RECIPES.items()}
    return rows, arms_of(data, tuple(dict.fromkeys((*given, *rows))), base, changes, **rest), len(given)


def _arm(
    data: str, name: str, base: Mapping[str, Any], changes: Mapping[str, Any], without_ce: Mapping[str, Any]
) -> Variant:
    kind = name if name in RECIPES else "game"
    fit: Fit = RECIPES[kind].fit
    config = changed(base[kind], changes)
    if kind == "game":
        config = replace(config, **game_of(name.removesuffix("-longer"), config.n_epochs))
        if config.cross_entropy_a == config.cross_entropy_f == 0:
            config = replace(config, **without_ce)
    if name in LONGER:
        counts = ("n_epochs", "fine_tune_epochs", "validate_every")
        config = replace(config, **{field: TIMES * getattr(config, field) for field in counts})
    source = " ".join(f"{data}/{one}" for one in SOURCES.get(name, ()))
    return Variant(f"{data}/{name}", WORDS[name], config, fit, starts_from=source)


def game_of(name: str, n_epochs: int) -> dict[str, Any]:
    """What an arm changes in the game.

    >>> game_of("stacked", 10), game_of("ge-a", 10)
    ({'parametrisation': 'stacked'}, {'parametrisation': 'stacked', 'global_terms': 'a'})
    >>> game_of("shared-lambda-1", 10)
    {'parametrisation': 'shared', 'perceptron_weight': 1.0}
    >>> margin = game_of("margin", 10)
    >>> margin["n_epochs"] + margin["fine_tune_epochs"]
    10
    """
    no_ce = {"cross_entropy_a": 0.0, "cross_entropy_f": 0.0}
    if name.startswith("margin"):
        tuned = max(1, round(FINE_TUNED * n_epochs))
        found: dict[str, Any] = inference_network.MARGIN | {"n_epochs": n_epochs - tuned, "fine_tune_epochs": tuned}
        found["truncate"] = "truncated" in name
    elif name.startswith(("perceptron", "network-of")):
        found = {"loss": "perceptron", "parametrisation": "single"}
    else:
        kind = name.removesuffix("-lambda-1")
        found = {"parametrisation": kind if kind in JOINT else "stacked"}
    if name in LIGHT:
        found["perceptron_weight"] = 1.0
    if name.startswith(("k-", "network-of")) or name.endswith(("no-ce", "entropy")):
        found |= no_ce
    if name.startswith(("k-", "network-of", "margin-entropy")):
        found["entropy_weight"] = ENTROPY
    if name.startswith("k-"):
        found["n_inference_steps"] = int(name.removeprefix("k-"))
    if name.startswith("network-of"):
        found["trains"] = "nothing"
    if name.startswith("ge-"):
        found["global_terms"] = name.removeprefix("ge-")
    if name == "stacked-ce-a":
        found["cross_entropy_f"] = 0.0
    if name == "stacked-ce-f":
        found |= {"cross_entropy_a": 0.0, "entropy_weight": ENTROPY}
    return found


def is_measured(variant: Variant) -> bool:
    """Whether an arm tags sentences; a language model of tags is there for others."""
    return not variant.name.endswith("/tag-lm")
