"""A text task: how rows become a batch and how an answer counts."""

from __future__ import annotations

import math

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.tasks import text_task as module
from ebm_course.tasks.text_task import batch_of, mask_of, score, text_task
from ebm_course.tasks.words import Words

WORDS = Words(("a", "b", "c"))


def test_rows_numbered_in_parts_are_those_numbered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a b c a", 1), ("b", 0), ("c c", 1), ("a b", 0), ("c", 1)]
    whole = batch_of(rows, WORDS, max_length=9)
    monkeypatch.setattr(module, "AT_ONCE", 2)
    parts = batch_of(iter(rows), WORDS, max_length=9)
    assert torch.equal(whole.x, parts.x) and torch.equal(whole.y, parts.y) and torch.equal(whole.mask, parts.mask)
    assert (whole.x[~whole.mask] == 0).all() and whole.y.dtype == torch.int64


def test_no_texts_and_an_empty_one_are_refused() -> None:
    with pytest.raises(ValueError, match="a batch holds a text at least: got none"):
        batch_of([], WORDS, max_length=9)
    with pytest.raises(ValueError, match="a text has a token at least: got text 2 of 2 without one"):
        batch_of([("a", 0), (" ", 0)], WORDS, max_length=9)


def test_accuracy_and_likelihood_by_hand() -> None:
    batch = Batch(torch.zeros(2, 3).long(), torch.tensor([0, 1]), torch.ones(2, 3).bool())
    found = score(torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]]), batch)
    assert found["accuracy"] == 0.5
    assert found["nll"] == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)
    assert score(torch.tensor([0, 1]), batch) == {"accuracy": 1.0}


@pytest.mark.parametrize("states", [torch.zeros(3, 2), torch.zeros(2, 2, 2)])
def test_answers_of_other_rows_are_refused(states: torch.Tensor) -> None:
    batch = Batch(torch.zeros(2, 3).long(), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"texts are scored by logits \(N, K\) or int64 labels \(N,\)"):
        score(states, batch)


def test_a_task_gives_its_texts_back() -> None:
    part = batch_of([("a b", 0), ("c", 1)], WORDS, max_length=9)
    task = text_task("some", [part, part, part], ("no", "yes"), WORDS)
    assert (task.texts(task.test), task.n_values, task.n_tokens) == (["a b", "c"], 2, 8)
    assert mask_of(Batch(part.x)).all()
