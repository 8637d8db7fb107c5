"""What is measured of one trained arm: every way to tags it has, on test sentences; A against F on validation ones.

>>> from ebm_course.energies.token_encoder import TokenEncoder
>>> from ebm_course.experiments.structured.config import SMOKE
>>> from ebm_course.tasks.agreement import agreement
>>> made = agreement(n_train=10, n_valid=6, n_test=9)
>>> rows = Rows(made.task.test, made.task.test, made.task.score, made.vocabulary.tags)
>>> encoders = [TokenEncoder((20,), width=4, hidden=3) for _ in range(2)]
>>> nets = InferenceNetworks(encoders[0], n_tags=7, parametrisation="stacked")
>>> game = Game(Spen(encoders[1], n_tags=7), nets)
>>> list(networks(game, rows.test))
['network', 'cost_augmented']
>>> found = answers(game, rows, SMOKE, n_searched=0)
>>> a, f = found["network"]["accuracy"], found["cost_augmented"]["accuracy"]
>>> sorted(found), difference(game, rows) == a - f
(['cost_augmented', 'descent', 'exact', 'gap', 'network'], True)
>>> all(one != other for one, other, n in confusions(game, rows))
True
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ebm_course.core import Batch
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.recipes.structured.decoding import (
    Decoder,
    answered,
    cost_augmented,
    decoded,
    descended,
    headline,
    measured,
)
from ebm_course.recipes.structured.evaluation import evaluation
from ebm_course.recipes.structured.game import Game
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.tasks.tagging import gold_of

MOST_PAIRS = 20


class Rows(NamedTuple):
    """Sentences of a run: those that chose the weights and those that judge them, and how tags are scored."""

    valid: Batch
    test: Batch
    score: Callable[[Tensor, Batch], dict[str, float]]
    tags: tuple[str, ...]


def answers(
    module: nn.Module, rows: Rows, config: Any, *, n_searched: int, beam_width: int = 1
) -> dict[str, dict[str, float]]:
    """Way to tags -> its scores on test sentences.

    Args:
        module: of a recipe that tags.
        rows: of its run.
        config: of the experiment: how chains are descended.
        n_searched: test sentences on which an energy with global terms is searched; with 0 it is not.
        beam_width: of that search.

    Returns:
        ``network``, ``cost_augmented`` and ``exact`` where the module has them, ``descent`` of chains, and of games
        ``gap``. An energy with global terms is searched on the first test sentences alone, so that its ``exact`` has a
        ``searched`` beside it, the network's answers on the same ones.
    """
    if _is_global(module):
        return _searched(module, rows, n_searched, beam_width) | measured(networks(module, rows.test), rows.score)
    found = _by_way(evaluation(module, rows.test, rows.score))
    energy = module.energy if isinstance(module, Game) else module
    if isinstance(energy, Spen):
        descent: dict[str, Any] = {"n_steps": config.n_descent_steps, "step_size": config.descent_step_size}
        decode = descended(energy, **descent, method="exponentiated")
        found |= measured({"descent": Decoder(decode, rows.test)}, rows.score)
    return found


def _searched(module: nn.Module, rows: Rows, n: int, beam_width: int) -> dict[str, dict[str, float]]:
    """The best tags found and A's on the first n test sentences."""
    if n == 0:
        return {}
    found = _by_way(evaluation(module, rows.test[:n], rows.score, beam_width=beam_width))
    found |= {"searched": found["network"]} if "network" in found else {}
    return {way: scores for way, scores in found.items() if way in ("exact", "gap", "searched")}


def networks(module: nn.Module, rows: Batch) -> dict[str, Decoder]:
    """A, and F where it is another network."""
    nets = module.nets if isinstance(module, Game) else module
    decoders = {"network": answered(nets)} if isinstance(nets, InferenceNetworks) else {}
    if isinstance(module, Game) and module.has_both:
        decoders["cost_augmented"] = cost_augmented(module.cost_augmenting)
    return {name: Decoder(decode, rows) for name, decode in decoders.items()}


def difference(game: Game, rows: Rows) -> float:
    """What A has right more than F, on validation sentences."""
    found = measured(networks(game, rows.valid), rows.score)
    return headline(found["network"]) - headline(found["cost_augmented"])


def confusions(game: Game, rows: Rows) -> list[list[Any]]:
    """[tag of A, tag of F, how often] where A is right and F is not, on validation sentences, the most frequent first.

    Source: the lower part of Table 3 of Tu, Pang and Gimpel (2020).
    """
    gold, _ = gold_of(rows.valid)
    a, f = (decoded(one.decode, one.rows) for one in networks(game, rows.valid).values())
    picked = (a == gold) & (f != a)  # at pads both are 0
    pairs = Counter(zip(a[picked].tolist(), f[picked].tolist(), strict=True))
    return [[rows.tags[one], rows.tags[other], n] for (one, other), n in pairs.most_common(MOST_PAIRS)]


def _is_global(module: nn.Module) -> bool:
    return isinstance(module.energy if isinstance(module, Game) else module, GlobalEnergy)


def _by_way(values: dict[str, float]) -> dict[str, dict[str, float]]:
    """Scores by name as scores by way: ``network_accuracy`` is ``accuracy`` of ``network``."""
    found: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        way, _, figure = ("gap", "", "energy") if name == "energy_gap" else name.rpartition("_")
        found.setdefault(way, {})[figure] = value
    return found
