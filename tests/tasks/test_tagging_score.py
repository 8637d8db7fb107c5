"""Scores: pads never count, entities count whole."""

from __future__ import annotations

import random

import pytest
import torch

from ebm_course.tasks.tag_schemes import all_tags
from ebm_course.tasks.tagging_score import accuracy, as_tags, entity_f1


def test_pads_never_count() -> None:
    gold = torch.tensor([[1, 2, 0], [1, 0, 0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    tags = torch.tensor([[1, 0, 0], [1, 0, 0]])
    assert accuracy(tags, gold, mask) == 3 / 4
    assert accuracy(torch.where(mask, tags, 9), gold, mask) == 3 / 4


def test_relaxed_tags_are_read_at_their_largest_entry() -> None:
    generator = torch.Generator().manual_seed(0)
    relaxed = torch.rand(4, 5, 3, generator=generator).softmax(-1)
    tags, mask = relaxed.argmax(-1), torch.ones(4, 5, dtype=torch.bool)
    assert torch.equal(as_tags(relaxed), tags)
    assert accuracy(relaxed, tags, mask) == 1.0


@pytest.mark.parametrize(
    "tags, mask, said",
    [
        (torch.zeros(2, 4, dtype=torch.int64), torch.ones(2, 3).bool(), "one shape"),
        (torch.zeros(2, 3, dtype=torch.int64), torch.ones(2).bool(), "one shape"),
        (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3).bool(), "leaves none"),
    ],
)
def test_what_cannot_be_scored_is_refused(tags: torch.Tensor, mask: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        accuracy(tags, torch.zeros(2, 3, dtype=torch.int64), mask)


def test_entities_count_whole_by_hand() -> None:
    gold = [["B-A", "I-A", "O", "B-B"], ["I-A", "O"]]
    tags = [["B-A", "I-A", "O", "B-A"], ["I-A", "I-A"]]
    # Found (0,2,A) (3,4,A) and (0,2,A); gold (0,2,A) (3,4,B) and (0,1,A): one of three right.
    assert entity_f1(tags, gold) == {"precision": 1 / 3, "recall": 1 / 3, "f1": pytest.approx(1 / 3), "accuracy": 4 / 6}


def test_an_entity_does_not_go_on_in_the_next_sentence() -> None:
    assert entity_f1([["B-A"], ["I-A"]], [["B-A"], ["B-A"]])["f1"] == 1.0
    assert entity_f1([["B-A", "I-A"]], [["B-A", "B-A"]])["f1"] == 0.0


def test_without_entities_there_is_nothing_right() -> None:
    assert entity_f1([["O", "O"]], [["O", "O"]]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "accuracy": 1.0}
    assert entity_f1([["O", "O"]], [["O", "B-A"]])["f1"] == 0.0


def test_f1_is_the_one_of_seqeval() -> None:
    peer = pytest.importorskip("seqeval.metrics")
    draw, tags = random.Random(0), all_tags(["A", "B"], "BIOES")
    gold = [draw.choices(tags, k=draw.randint(1, 12)) for _ in range(300)]
    found = [[t if draw.random() < 0.8 else draw.choice(tags) for t in row] for row in gold]
    ours = entity_f1(found, gold)
    assert 0.2 < ours["f1"] < 0.9
    assert ours["precision"] == pytest.approx(peer.precision_score(gold, found))
    assert ours["recall"] == pytest.approx(peer.recall_score(gold, found))
    assert ours["f1"] == pytest.approx(peer.f1_score(gold, found))
    assert ours["accuracy"] == pytest.approx(peer.accuracy_score(gold, found))


def test_other_numbers_of_sentences_or_tags_are_refused() -> None:
    with pytest.raises(ValueError, match="expected tags of 2 sentences, got 1"):
        entity_f1([["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="sentence 2: expected 2 tags, got 1"):
        entity_f1([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(ValueError, match="sentence 1: expected a sequence of tags, got a text"):
        entity_f1(["O"], ["O"])


def test_a_mask_of_numbers_is_refused() -> None:
    tags, gold = torch.tensor([[1, 2]]), torch.tensor([[1, 1]])
    for mask in (
        torch.tensor([[2, 2]]),
        torch.ones(1, 2),
        torch.tensor([[1, 1]]),
    ):  # of the bits of 1 and 2 none is both
        with pytest.raises(TypeError, match="a mask is bool"):
            accuracy(tags, gold, mask)
