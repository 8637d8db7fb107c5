"""Minibatches: each is a function of the seed and its number, and an epoch holds every row once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.training.batches import Batches
from ebm_course.training.length_batches import LengthBatches

DATA = Batch(torch.arange(10), y=torch.arange(10) * 2)


def rows(batches: Batches, numbers: list[int]) -> list[list[int]]:
    return [batches[i].x.tolist() for i in numbers]


def epoch(batches: Batches, number: int) -> list[int]:
    n = batches.steps_per_epoch
    return [row for i in range(number * n, (number + 1) * n) for row in batches[i].x.tolist()]


def test_a_minibatch_depends_on_seed_and_number_only() -> None:
    in_order = rows(Batches(DATA, 3, seed=1), list(range(9)))
    backwards = rows(Batches(DATA, 3, seed=1), list(range(8, -1, -1)))
    assert in_order == backwards[::-1]
    assert in_order != rows(Batches(DATA, 3, seed=2), list(range(9)))


def test_an_epoch_holds_every_row_once_and_epochs_differ() -> None:
    batches = Batches(DATA, 4, seed=0, drop_last=False)
    assert batches.steps_per_epoch == 3
    assert [len(batches[i]) for i in range(3)] == [4, 4, 2]
    first, second = (epoch(batches, e) for e in range(2))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_no_epoch_of_a_seed_has_the_order_of_an_epoch_of_another() -> None:
    many = Batch(torch.arange(60))
    orders = {tuple(epoch(Batches(many, 60, seed=seed), e)) for seed in range(5) for e in range(5)}
    assert len(orders) == 25


def test_drop_last_leaves_out_other_rows_each_epoch() -> None:
    batches = Batches(DATA, 4, seed=0)
    assert batches.steps_per_epoch == 2
    left_out = {tuple(sorted(set(range(10)) - set(epoch(batches, e)))) for e in range(20)}
    assert len(left_out) > 5
    assert all(len(rest) == 2 for rest in left_out)


def test_answers_stay_with_their_states() -> None:
    batch = Batches(DATA, 10, seed=3)[7]
    assert batch.y is not None
    assert torch.equal(batch.y, batch.x * 2)


def test_every_first_row_is_equally_likely() -> None:
    n = 2000
    batches = Batches(DATA, 10, seed=5)
    counts = torch.bincount(torch.tensor([int(batches[i].x[0]) for i in range(n)]), minlength=10)
    tolerance = 5 * (n * 0.1 * 0.9) ** 0.5  # 5 standard errors of a count
    assert (counts - n / 10).abs().max() < tolerance


@pytest.mark.parametrize("size, drop_last", [(0, True), (11, True), (0, False)])
def test_a_batch_size_that_gives_no_minibatch_is_refused(size: int, drop_last: bool) -> None:
    with pytest.raises(ValueError, match=rf"10 rows make no minibatch of {size}: expected 1 <= batch_size <= 10"):
        Batches(DATA, size, seed=0, drop_last=drop_last)
    assert len(Batches(DATA, 11, seed=0, drop_last=False)[0]) == 10


def test_there_is_no_last_minibatch() -> None:
    with pytest.raises(IndexError, match="without end"):
        Batches(DATA, 2, seed=0)[-1]


@pytest.mark.parametrize("size", [-1, 2.5, "3", True, None])
def test_a_batch_size_is_a_whole_number_before_the_first_minibatch(size: Any) -> None:
    for make in (Batches, LengthBatches):
        with pytest.raises(ValueError, match="batch_size is a whole number: expected 0 or larger"):
            make(DATA, size, seed=0)


def test_rows_alone_are_no_batch() -> None:
    with pytest.raises(TypeError, match=r"minibatches are drawn from a Batch: got a Tensor\. Pass Batch\(x\)"):
        Batches(DATA.x, 2, seed=0)  # type: ignore[arg-type]
