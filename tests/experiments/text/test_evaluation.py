"""What is measured of a text classifier, where the answer is known: attacks, representations, norms."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.energies.text_energy import TextEnergy, mean_of
from ebm_course.experiments.nets import LAST
from ebm_course.experiments.text import evaluation, measurements
from ebm_course.experiments.text.config import SMOKE
from ebm_course.experiments.text.evaluation import (
    Attack,
    attacked,
    attacked_embeddings,
    classified,
    embedding_norms,
    ordered,
    pair_cosines,
    parts,
    represented,
    summary,
)
from ebm_course.experiments.text.measurements import Bench
from ebm_course.recipes.shared import rows_digest
from ebm_course.runtime import Run

ATTACK = Attack(n_steps=8, relative_step=0.5)
LENGTHS = torch.tensor([6, 2, 4, 1, 6, 3])
MASK = torch.arange(6) < LENGTHS[:, None]
ROWS = Batch(
    torch.randint(1, 12, MASK.shape, generator=torch.Generator().manual_seed(0)) * MASK,
    torch.tensor([0, 1, 0, 1, 1, 0]),
    MASK,
)


class Linear(TextEnergy):
    """A sentence is the mean of its words (D = 2), its logits (c s_0, -c s_0): linear in every embedding."""

    def __init__(self, table: Tensor, slope: float = 1.0):
        super().__init__(n_classes=2, width=2)
        self.table, self.slope = nn.Embedding.from_pretrained(table, freeze=False), slope

    @property
    def word_embedding(self) -> nn.Embedding:
        return self.table

    def encode(self, embedded: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        return embedded, mean_of(embedded, mask)

    def classify(self, sentence: Tensor) -> Tensor:
        return self.slope * torch.stack([sentence[:, 0], -sentence[:, 0]], dim=1)


def net(dropout: float = 0.2) -> TextClassifier:
    torch.manual_seed(0)
    made = TextClassifier(12, 2, width=8, n_layers=1, n_heads=2, max_length=6, dropout=dropout)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    return made


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def on_line() -> tuple[Linear, Batch]:
    """Texts of one word whose margin is 0.1, 0.2, 0.3, 0.4; the last is misread from the start."""
    table = torch.tensor([[9.0, 9.0], [0.1, 1.0], [0.2, 1.0], [-0.3, 1.0], [-0.4, 1.0]])
    x = torch.tensor([[1, 0], [2, 0], [3, 0], [4, 0]])
    return Linear(table), Batch(x, torch.tensor([0, 0, 1, 0]), x > 0)


def test_an_attack_beats_exactly_the_texts_whose_margin_is_smaller_than_its_radius() -> None:
    model, rows = on_line()
    found = [attacked(model, rows, radius, ATTACK, generator()).right.tolist() for radius in (0.0, 0.15, 0.25, 0.35)]
    assert found == [
        [True, True, True, False],
        [False, True, True, False],
        [False, False, True, False],
        [False, False, False, False],
    ]
    moved = attacked(model, rows, 0.25, ATTACK, generator())
    torch.testing.assert_close(moved.euclidean, torch.full((4,), 0.25))
    assert moved.cosine[0].item() == pytest.approx((0.1 * -0.15 + 1) / math.hypot(0.1, 1) / math.hypot(0.15, 1))


@pytest.mark.parametrize("radius", [0.05, 0.3, 2.0])
def test_on_a_linear_model_no_text_is_right_under_attack_that_was_not_so_before(radius: float) -> None:
    g = torch.Generator().manual_seed(3)
    model = Linear(torch.randn(12, 2, generator=g), slope=3.0)
    before, after = (attacked(model, ROWS, r, ATTACK, generator()) for r in (0.0, radius))
    assert not (after.right & ~before.right).any()
    assert summary(after)["pgd"] <= summary(before)["pgd"]
    assert radius < 2 or not after.right.any()


def test_the_attack_leaves_pads_alone_and_moves_a_text_by_its_radius_at_most() -> None:
    model = net()
    moved = attacked_embeddings(model, ROWS, 0.3, ATTACK, generator()) - model.embed(ROWS.x)
    assert (moved[~MASK] == 0).all() and (moved[MASK].norm(dim=1) > 0).all()
    lengths = moved.flatten(1).norm(dim=1)  # one norm a text, whatever its length
    assert lengths.max() <= 0.3 * (1 + 1e-5) and lengths.max() > 0.29


def test_pads_stay_where_they_are_even_under_a_net_that_reads_them() -> None:
    class Careless(Linear):
        def encode(self, embedded: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
            return embedded, embedded.mean(dim=1)

    model = Careless(torch.randn(12, 2, generator=generator()))
    moved = attacked_embeddings(model, ROWS, 0.3, ATTACK, generator()) - model.embed(ROWS.x)
    assert (moved[~MASK] == 0).all() and (moved[MASK].norm(dim=1) > 0).all()


def test_a_radius_of_0_changes_nothing() -> None:
    model = net()
    assert torch.equal(attacked_embeddings(model, ROWS, 0.0, ATTACK, generator()), model.embed(ROWS.x))
    found = attacked(model, ROWS, 0.0, ATTACK, generator())
    assert summary(found) == {
        "pgd": classified(represented(model, ROWS)[1], ROWS)["accuracy"],
        "cosine": pytest.approx(1.0),
        "euclidean": 0.0,
    }


def test_the_attack_climbs_the_loss_of_the_true_label() -> None:
    model = net(dropout=0.0)
    moved = attacked_embeddings(model, ROWS, 0.3, ATTACK, generator())
    with torch.no_grad():
        y = torch.tensor([0, 1, 0, 1, 1, 0])
        losses = [
            nn.functional.cross_entropy(model.logits_and_states(e, MASK)[0], y, reduction="none")
            for e in (model.embed(ROWS.x), moved)
        ]
    assert (losses[1] > losses[0]).all()


def test_a_step_is_a_share_of_the_radius() -> None:
    model = net()
    once = attacked_embeddings(model, ROWS, 0.4, Attack(1, 0.25), generator()) - model.embed(ROWS.x)
    torch.testing.assert_close(once.flatten(1).norm(dim=1), torch.full((6,), 0.1), rtol=1e-3, atol=0)


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_rows_are_measured_in_their_order_and_pads_and_parts_change_nothing(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = net()
    whole = attacked(model, ROWS, 0.3, ATTACK, generator()), represented(model, ROWS), embedding_norms(model, ROWS)
    monkeypatch.setattr(evaluation.parts, "__defaults__", (at_once,))
    assert [len(part) for part in parts(ROWS)] == [min(at_once, 6 - i) for i in range(0, 6, at_once)]
    found = attacked(model, ROWS, 0.3, ATTACK, generator()), represented(model, ROWS), embedding_norms(model, ROWS)
    assert torch.equal(found[0].right, whole[0].right) and found[2] == pytest.approx(whole[2])
    for one, other in zip((*found[0][1:], *found[1]), (*whole[0][1:], *whole[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_measures_are_taken_without_dropout_and_leave_the_net_as_it_was() -> None:
    model = net(dropout=0.5).train()
    torch.manual_seed(1)
    one = attacked(model, ROWS, 0.3, ATTACK, generator()), represented(model, ROWS)
    torch.manual_seed(2)
    two = attacked(model, ROWS, 0.3, ATTACK, generator()), represented(model, ROWS)
    for a, b in zip((*one[0], *one[1]), (*two[0], *two[1]), strict=True):
        assert torch.equal(a, b)
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())


def test_steps_and_step_size_of_the_attack_are_the_experiments() -> None:
    config = replace(SMOKE, n_attack_steps=7, relative_step=0.25)
    assert Bench(config, Run(torch.device("cpu"), 0)).attack == Attack(7, 0.25)


def test_rows_are_ordered_by_length_and_keep_their_labels() -> None:
    found = ordered(ROWS)
    assert found.lengths.tolist() == [1, 2, 3, 4, 6, 6]
    assert found.y is not None and found.y.tolist() == [1, 1, 0, 0, 0, 1]


def test_accuracy_and_confidence_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])
    found = classified(logits, Batch(torch.zeros(2, 1).long(), torch.tensor([1, 1])))
    assert found == pytest.approx({"accuracy": 0.5, "confidence": (0.75 + 0.8) / 2})


def test_cosines_of_pairs_are_those_of_a_loop_over_them() -> None:
    sentences = torch.randn(9, 4, generator=generator())
    labels = torch.tensor([0, 0, 1, 2, 2, 2, 1, 0, 3])
    same, other = list[float](), list[float]()
    for i in range(9):
        for j in range(i + 1, 9):
            cosine = float(nn.functional.cosine_similarity(sentences[i].double(), sentences[j].double(), dim=0))
            (same if labels[i] == labels[j] else other).append(cosine)
    expected = {"same-label": sum(same) / len(same), "other-label": sum(other) / len(other)}
    assert pair_cosines(sentences, labels) == pytest.approx(expected)


def test_sentences_that_all_lie_in_one_place_have_cosine_1() -> None:
    found = pair_cosines(torch.tensor([[1.0, 2.0]]).expand(6, 2), torch.arange(6) % 2)
    assert found == pytest.approx({"same-label": 1.0, "other-label": 1.0})


def test_norms_of_words_and_texts_by_hand_and_without_pads() -> None:
    table = torch.tensor([[9.0, 9.0], [3.0, 4.0], [0.0, 12.0]])
    x = torch.tensor([[1, 2], [1, 0]])
    found = embedding_norms(Linear(table), Batch(x, torch.tensor([0, 1]), x > 0))
    assert found == pytest.approx({"word-norm": (5 + 12 + 5) / 3, "text-norm": (13 + 5) / 2})


def test_the_summary_is_the_mean_over_texts() -> None:
    found: Any = evaluation.Attacked(
        torch.tensor([True, False, True, True]), torch.tensor([1.0, 0.5, 0.0, 0.5]), torch.arange(4.0)
    )
    assert summary(found) == {"pgd": 0.75, "cosine": 0.5, "euclidean": 1.5}


def test_each_net_is_attacked_with_its_radii_on_the_first_test_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the set, shares of the mean norm of a text's embeddings, and the largest for the last weights."""
    config = replace(SMOKE, small_radii=(0.2, 0.7), relative_radii=(0.5,))
    bench, attacks = Bench(config, Run(torch.device("cpu"), 0)), list[tuple[str, float]]()
    monkeypatch.setattr(bench, "net", lambda results, variant, k, name="best": name)
    monkeypatch.setattr(measurements, "represented", lambda net, rows: (torch.zeros(len(rows), 2), None))
    monkeypatch.setattr(measurements, "classified", lambda logits, rows: {"accuracy": float(len(rows))})
    monkeypatch.setattr(measurements, "pair_cosines", lambda sentences, y: {})
    monkeypatch.setattr(measurements, "embedding_norms", lambda net, rows: {"word-norm": 3.0, "text-norm": 8.0})
    monkeypatch.setattr(measurements, "summary", lambda found: {"pgd": 0.5})

    def attack(net: str, rows: Batch, radius: float, *_: object) -> None:
        assert rows_digest(rows) == rows_digest(bench.first("toy", 0))
        attacks.append((net, radius))

    monkeypatch.setattr(measurements, "attacked", attack)
    found = bench.measure(config.variant("toy/plain"), 0)(Path(), None)
    expected = [("best", radius) for radius in (0.2, 0.7, 4.0)]
    assert attacks == [*expected, (LAST, 0.7)]
    assert found["accuracy"] == len(bench.data("toy", 0).task.test)
    first = bench.data("toy", 0).task.test[: config.n_attacked]
    assert sorted(bench.first("toy", 0).lengths.tolist()) == sorted(first.lengths.tolist())
