"""What tagging recipes learn on the agreement language: what a network can reach, what a chain, and what repairs do."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from ebm_course.energies.spen import Spen
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.recipes.shared import Fitted
from ebm_course.recipes.structured import bilstm, crf, inference_network, tag_language_model
from ebm_course.recipes.structured.data import language
from ebm_course.recipes.structured.evaluation import evaluation
from ebm_course.recipes.structured.parts import with_language_model
from ebm_course.runtime import Run

RUN = Run(torch.device("cpu"), 0)


def fitted(recipe: ModuleType, config: Any, *, run: Run = RUN, **given: Any) -> Fitted:
    torch.manual_seed(run.seed)
    found: Fitted = recipe.fit(config, run, progress=False, **given)
    return found


def test_a_bilstm_reads_what_a_chain_of_words_cannot_know() -> None:
    network = fitted(bilstm, bilstm.NOTEBOOK).rows[-1]
    chain = fitted(crf, crf.NOTEBOOK).rows[-1]
    assert network["valid_network_closers"] == 1.0 and 0.35 < chain["valid_exact_closers"] < 0.65
    assert chain["valid_exact_accuracy"] > 0.8


@pytest.mark.slow
def test_a_chain_has_half_of_the_closers_and_with_a_language_model_of_tags_all() -> None:
    chain = fitted(crf, crf.NOTEBOOK).module
    model = fitted(tag_language_model, replace(tag_language_model.NOTEBOOK, n_epochs=60)).module
    assert isinstance(chain, Spen) and isinstance(model, TagLanguageModel)
    task = language(seed=0).task
    right = [
        evaluation(energy, task.test[:200], task.score, beam_width=8)["exact_closers"]
        for energy in (chain, with_language_model(chain, model))
    ]
    assert abs(right[0] - 0.5) < 3 * (0.25 / 200) ** 0.5 and right[1] > 0.97


ALONE: dict[str, Any] = {"cross_entropy_a": 0.0, "cross_entropy_f": 0.0, "keep_best": False, "validate_every": 25}
REPAIRS: dict[str, dict[str, Any]] = {
    "truncated": {"truncate": True},
    "not truncated": {},
    "with entropy": {"entropy_weight": 2.0},
}


@pytest.mark.slow
def test_without_labels_truncation_starves_the_networks_and_an_annealed_entropy_feeds_them() -> None:
    base = replace(inference_network.NOTEBOOK, parametrisation="separated", n_epochs=12, **ALONE)
    right: dict[str, list[float]] = {}
    for name, changes in REPAIRS.items():
        runs = [fitted(inference_network, replace(base, **changes), run=replace(RUN, seed=seed)) for seed in range(3)]
        right[name] = [found.rows[-1]["valid_network_accuracy"] for found in runs]
    assert max(right["truncated"] + right["not truncated"]) < 0.75 < min(right["with entropy"])  # a chain's best: 0.87
    means = [sum(found) / 3 for found in right.values()]
    assert means[0] < 0.45 < means[1] < means[2]


@pytest.mark.slow
def test_a_network_fitted_to_an_energy_without_labels_decodes_it() -> None:
    chain = fitted(crf, crf.NOTEBOOK).module
    options = {"loss": "perceptron", "parametrisation": "single", "trains": "nothing", "entropy_weight": 2.0}
    config = replace(inference_network.NOTEBOOK, **ALONE, **options, perceptron_weight=1.0)
    row = fitted(inference_network, config, energy=chain).rows[-1]
    assert row["valid_exact_accuracy"] - row["valid_network_accuracy"] < 0.02
