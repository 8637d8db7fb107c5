"""What is measured of an arm: a search on few sentences and networks on all, A against F by hand, sizes by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.experiments.nets import LAST, NET
from ebm_course.experiments.structured import evaluation, measurements
from ebm_course.experiments.structured.config import CPU, SMOKE
from ebm_course.experiments.structured.evaluation import Rows, answers, confusions, difference
from ebm_course.experiments.structured.modules import fresh, given_energy, size_of
from ebm_course.recipes.structured.data import Data, data_of
from ebm_course.recipes.structured.decoding import Decoder
from ebm_course.recipes.structured.game import Game
from ebm_course.runtime import Run
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.tasks.agreement import agreement

RUN = Run(torch.device("cpu"), 0)
HOW = SimpleNamespace(n_descent_steps=2, descent_step_size=1.0)


def rows() -> Rows:
    made = agreement(n_train=10, n_valid=6, n_test=9)
    return Rows(made.task.valid, made.task.test, made.task.score, made.vocabulary.tags)


def encoder() -> TokenEncoder:
    return TokenEncoder((20,), width=4, hidden=3)


def data_of_the_language() -> Data:
    return data_of(CPU.variant("toy/crf").config, RUN)


def test_an_energy_with_global_terms_is_searched_on_few_sentences_and_its_network_asked_on_all() -> None:
    torch.manual_seed(0)
    energy = GlobalEnergy(Spen(encoder(), n_tags=7), "a", width=4, hidden=4)
    game, held = Game(energy, InferenceNetworks(encoder(), 7, parametrisation="stacked")), rows()
    found = answers(game, held, HOW, n_searched=3, beam_width=2)
    few = answers(game, held._replace(test=held.test[:3]), HOW, n_searched=3, beam_width=2)
    assert found["exact"] == few["exact"] and found["searched"] == few["network"] == few["searched"]
    assert found["network"] != found["searched"] and "descent" not in found
    assert answers(game, held, HOW, n_searched=0).keys() == {"network", "cost_augmented"}


def test_a_chain_is_decoded_exactly_on_all_sentences_and_descent_beside_it() -> None:
    torch.manual_seed(0)
    found = answers(Spen(encoder(), n_tags=7), rows(), HOW, n_searched=3)
    assert found.keys() == {"exact", "descent"} and "closers" in found["exact"]


def test_a_chain_is_descended_as_the_experiment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, original = list[dict[str, Any]](), evaluation.descended

    def noted(energy: Any, **how: Any) -> Any:
        asked.append(how)
        return original(energy, **how)

    monkeypatch.setattr(evaluation, "descended", noted)
    how = SimpleNamespace(n_descent_steps=3, descent_step_size=0.25)
    answers(Spen(encoder(), n_tags=7), rows(), how, n_searched=3)
    assert asked == [{"n_steps": 3, "step_size": 0.25, "method": "exponentiated"}]


def test_a_network_that_is_both_has_no_second_one_to_measure() -> None:
    single = Game(Spen(encoder(), n_tags=7), InferenceNetworks(encoder(), 7, parametrisation="single"))
    assert answers(single, rows(), HOW, n_searched=3).keys() == {"network", "exact", "gap", "descent"}
    assert answers(single.nets, rows(), HOW, n_searched=3).keys() == {"network"}


@pytest.fixture
def known_answers(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Rows]:
    """A and F read their answers in the features."""

    def reading(module: Any, some: Batch) -> dict[str, Decoder]:
        columns = {"network": 0, "cost_augmented": 1}
        return {way: Decoder(lambda batch, i=i: batch.x[..., i], some) for way, i in columns.items()}

    monkeypatch.setattr(evaluation, "networks", reading)
    gold = torch.tensor([[0, 1, 2], [1, 0, 0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    a, f = torch.tensor([[0, 1, 0], [1, 0, 0]]), torch.tensor([[0, 2, 2], [2, 1, 1]])
    valid = Batch(torch.stack([a, f], dim=2), gold, mask)
    game: Any = None
    score = agreement(n_train=2, n_valid=2, n_test=2).task.score
    return game, Rows(valid, valid[:1], score, ("N", "V", "D"))


def test_the_difference_is_what_a_has_right_more_than_f_on_validation_sentences(known_answers) -> None:
    assert difference(*known_answers) == pytest.approx(3 / 4 - 2 / 4)


def test_confusions_are_counted_where_a_is_right_and_never_at_pads(known_answers) -> None:
    assert confusions(*known_answers) == [["V", "D", 2]]  # not where A is wrong and F right


def test_sizes_are_those_of_the_layers_and_ordered_as_the_paper_s() -> None:
    data = data_of_the_language()
    sizes = {
        name: size_of(fresh(CPU.variant(f"toy/{name}"), data))
        for name in ("bilstm", "margin", "perceptron", "separated", "shared", "stacked")
    }
    width, hidden, tags = 24, 24, 7
    lstm = 2 * (4 * hidden * (width + hidden) + 8 * hidden)
    layer = 2 * hidden * tags + tags
    assert sizes["bilstm"].trained_layers == sizes["bilstm"].inference_layers == lstm + layer
    energy = width * tags + (tags + 1) ** 2
    assert sizes["stacked"].trained_layers == energy + lstm + layer + (2 * tags * tags + tags)
    assert sizes["shared"].trained_layers == energy + lstm + 2 * layer
    assert sizes["separated"].trained_layers == energy + 2 * (lstm + layer)
    assert sizes["margin"] == sizes["perceptron"] and sizes["margin"].trained_layers == energy + lstm + layer
    assert {size.inference_layers for size in sizes.values()} == {lstm + layer}
    table = width * sum(data.vocabulary.n_values_of_columns)
    assert sizes["stacked"].inference - sizes["stacked"].inference_layers == table
    assert sizes["stacked"].trained - sizes["stacked"].trained_layers == 2 * table


def test_an_energy_that_is_given_is_not_counted_among_what_is_trained() -> None:
    module = fresh(CPU.variant("toy/network-of-global"), data_of_the_language())
    size = size_of(module, given=True)
    assert size.trained == size.inference < size_of(module).trained


def test_a_module_is_built_in_the_shape_that_its_arm_trains() -> None:
    data = data_of(SMOKE.variant("toy/crf").config, RUN)
    for variant in SMOKE.arms("toy"):
        if not variant.starts_from:
            torch.manual_seed(0)
            short = replace(variant.config, n_epochs=0, keep_best=False)  # nothing moves: shapes alone
            fitted = variant.fit(short, RUN, folder=None, progress=False)
            shapes = {name: t.shape for name, t in fresh(variant, data).state_dict().items()}
            assert shapes == {name: t.shape for name, t in fitted.module.state_dict().items()}, variant.name


def test_a_given_energy_is_the_chain_alone_or_with_the_language_model() -> None:
    chain, model = (fresh(source, data_of_the_language()) for source in CPU.sources[:2])
    assert given_energy([chain]) is chain
    both = given_energy([chain, model])
    assert isinstance(both, GlobalEnergy) and both.spen is chain


def test_the_last_weights_are_measured_beside_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = [TokenEncoder((20,), width=4, hidden=3) for _ in range(4)]
    best, last = (
        Game(Spen(one, n_tags=7), InferenceNetworks(other, n_tags=7, parametrisation="stacked"))
        for one, other in (encoders[:2], encoders[2:])
    )
    config, arm = replace(SMOKE, n_searched=11), SMOKE.variant("toy/stacked")
    arm = replace(arm, config=replace(arm.config, beam_width=3))
    bench = measurements.Bench(config, RUN)
    monkeypatch.setattr(bench, "net", lambda results, variant, k, name=NET: {NET: best, LAST: last}[name])
    monkeypatch.setattr(measurements, "answers", lambda module, rows, config, **search: {"of": module, **search})
    for name in ("difference", "confusions"):
        monkeypatch.setattr(measurements, name, lambda module, rows: module)
    found = bench.measure(arm, 0)(tmp_path, None)  # type: ignore[arg-type]
    assert found["test"] == {"of": best, "n_searched": 11, "beam_width": 3}
    assert found["a_minus_f"] is found["confusions"] is best
    assert found["last"] == {"of": last, "n_searched": 0}


def test_a_net_is_that_of_its_arm_its_run_and_the_name_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, int, str]] = []

    def loaded(folder: Path, module: Any, origin: Any, run: Run, *, name: str = NET) -> Any:
        asked.append((folder, origin.seed, name))
        return module

    monkeypatch.setattr(measurements, "load_net", loaded)
    bench, results = measurements.Bench(SMOKE, RUN), SimpleNamespace(folder=Path)
    for k, name in ((0, NET), (1, LAST)):
        bench.net(results, SMOKE.variant("toy/bilstm"), k, name=name)  # type: ignore[arg-type]
    assert asked == [(Path("run-0/toy/bilstm"), 0, NET), (Path("run-1/toy/bilstm"), 1, LAST)]
