"""A trained tagger is measured by each way it has to tags, and its network by what it misses of the minimum."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Energy, Negatives
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.recipes.structured import decoding
from ebm_course.recipes.structured.evaluation import energies, evaluation
from ebm_course.recipes.structured.game import Game
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.tasks.agreement import agreement

TASK = agreement(n_train=5, n_valid=5, n_test=40).task


def encoder() -> TokenEncoder:
    return TokenEncoder((20,), width=4, hidden=3, dropout=0.5)


def game(kind: str | None = None) -> Game:
    torch.manual_seed(0)
    chain = Spen(encoder(), 7, init=2.0)
    nets = InferenceNetworks(encoder(), 7, parametrisation="stacked")
    return Game(chain if kind is None else GlobalEnergy(chain, kind, width=3, hidden=4), nets).train()


@pytest.mark.parametrize("kind", [None, "a"])
def test_each_module_has_its_ways_and_their_scores(kind: str | None) -> None:
    played = game(kind)
    whole = evaluation(played, TASK.test, TASK.score)
    for module, name in ((played.nets, "network"), (played.energy, "exact")):
        alone = evaluation(module, TASK.test, TASK.score)
        assert alone == {key: value for key, value in whole.items() if key.startswith(name)}
        assert set(alone) == {f"{name}_{part}" for part in ("accuracy", "fillers", "closers")}
    assert "cost_augmented_accuracy" in whole and whole["energy_gap"] > 0
    assert played.energy.training and played.nets.training


def test_a_network_that_says_the_best_tags_misses_nothing() -> None:
    played = game()
    with torch.no_grad():  # the energy asks for tag 3 at every place, as A says it
        played.energy.transitions.zero_()  # type: ignore[union-attr]
        played.energy.transitions[:, 3] = 9.0  # type: ignore[index]
        played.nets.head.bias[3] = 9.0
    assert evaluation(played, TASK.test, TASK.score)["energy_gap"] == 0


def test_the_gap_is_the_mean_over_sentences() -> None:
    played = game()
    ways = (decoding.answered(played.nets), decoding.searched(played.energy, width=1))
    e, lowest = (energies(played.energy, TASK.test, decoding.decoded(way, TASK.test)) for way in ways)
    found = evaluation(played, TASK.test, TASK.score)["energy_gap"]
    assert found == pytest.approx(float((e - lowest).sum()) / len(TASK.test), rel=1e-5)


def test_after_fine_tuning_f_is_measured_on_the_networks_kept_aside() -> None:
    torch.manual_seed(0)
    nets, aside = (InferenceNetworks(encoder(), 7, parametrisation="single") for _ in "12")
    found = evaluation(Game(Spen(encoder(), 7), nets, cost_nets=aside), TASK.test, TASK.score)
    accuracy = evaluation(aside, TASK.test, TASK.score)["network_accuracy"]
    assert found["cost_augmented_accuracy"] == accuracy != found["network_accuracy"]


def test_the_energy_is_searched_once_for_scores_and_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, widths, original = list[int](), set[int](), decoding.beam

    def counted(energy: Energy, x0: Tensor, **options: Any) -> Negatives:
        calls.append(len(x0))
        widths.add(options["width"])
        return original(energy, x0, **options)

    monkeypatch.setattr(decoding, "beam", counted)
    assert evaluation(game("a"), TASK.test, TASK.score, beam_width=3)["energy_gap"] > 0
    assert sum(calls) == len(TASK.test) and widths == {3}


def test_energies_are_those_of_each_row_without_dropout() -> None:
    energy, rows = game().energy, TASK.test
    assert rows.y is not None
    found = energies(energy, rows, rows.y, rows_at_once=7)
    with torch.no_grad():
        expected = energy.eval()(rows.x, rows.mask, rows.y)
    torch.testing.assert_close(found, expected)


def test_another_module_is_refused() -> None:
    with pytest.raises(TypeError, match="a game of both, got a Linear"):
        evaluation(nn.Linear(1, 1), TASK.test, TASK.score)


def test_a_tagging_that_a_search_missed_counts_below_0(monkeypatch: pytest.MonkeyPatch) -> None:
    n, of_each = len(TASK.test), iter([torch.tensor([1.0, 3.0]), torch.tensor([2.0, 1.0])])  # A's tags, the best found
    monkeypatch.setattr("ebm_course.recipes.structured.evaluation.energies", lambda *_: next(of_each).repeat(n // 2))
    assert evaluation(game(), TASK.test, TASK.score)["energy_gap"] == pytest.approx((-1 + 2) / 2)
