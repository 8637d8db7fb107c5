"""Minibatches by length hold every row once an epoch, few pads, and depend on the seed and their number alone."""

from __future__ import annotations

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.training.batches import Batches
from ebm_course.training.length_batches import LengthBatches, cut

SIZES = torch.randint(1, 30, (100,), generator=torch.Generator().manual_seed(0)).tolist()
DATA = Batch.padded(
    [torch.full((n,), i) for i, n in enumerate(SIZES)], [torch.full((n,), i) for i, n in enumerate(SIZES)]
)


def rows(batches: LengthBatches, epoch: int) -> list[int]:
    n = batches.steps_per_epoch
    return [int(i) for part in range(n) for i in batches[epoch * n + part].x[:, 0]]


def test_an_epoch_has_every_row_once_and_other_epochs_another_order() -> None:
    batches = LengthBatches(DATA, 10, seed=3)
    first, second = rows(batches, 0), rows(batches, 1)
    assert sorted(first) == sorted(second) == list(range(100)) and first != second


def test_rows_that_fill_no_minibatch_are_left_out_at_random() -> None:
    batches = LengthBatches(DATA, 30, seed=3)
    left_out = [set(range(100)) - set(rows(batches, epoch)) for epoch in range(20)]
    assert all(len(one) == 10 for one in left_out)
    lengths = [SIZES[i] for one in left_out for i in one]
    assert abs(sum(lengths) / len(lengths) - sum(SIZES) / 100) < 3 * 8.4 / 200**0.5  # no length is left out more often


def test_a_minibatch_is_cut_to_its_longest_row_and_keeps_every_real_token() -> None:
    for i in range(10):
        batch = LengthBatches(DATA, 10, seed=3)[i]  # asked in any order
        assert batch.mask is not None and batch.y is not None
        ids = batch.x[:, 0].tolist()
        assert batch.x.shape[1] == batch.y.shape[1] == max(SIZES[k] for k in ids)
        assert batch.lengths.tolist() == [SIZES[k] for k in ids]
        assert all((batch.x[k][batch.mask[k]] == i).all() for k, i in enumerate(ids))


def test_sorting_leaves_few_pads_and_the_share_is_counted_as_it_is() -> None:
    by_length, mixed = (LengthBatches(DATA, 10, seed=3, by_length=on) for on in (True, False))
    assert by_length.pad_share(0) < 0.1 < 0.3 < mixed.pad_share(0)
    for batches in (by_length, mixed):
        masks = [batches[i].mask for i in range(10)]
        pads = sum(int((~m).sum()) for m in masks if m is not None) / sum(m.numel() for m in masks if m is not None)
        assert batches.pad_share(0) == pytest.approx(pads)


def test_minibatches_come_in_no_order_of_length_and_equal_lengths_are_mixed_anew() -> None:
    batches = LengthBatches(DATA, 10, seed=3)
    widths = [batches[i].x.shape[1] for i in range(10)]
    assert widths not in (sorted(widths), sorted(widths, reverse=True))
    same = Batch.padded([torch.full((2,), i) for i in range(20)])
    equal = LengthBatches(same, 10, seed=3)
    assert set(equal[0].x[:, 0].tolist()) not in ({*equal[2].x[:, 0].tolist()}, {*equal[3].x[:, 0].tolist()})


def test_unsorted_they_are_those_of_batches_and_a_seed_names_the_order() -> None:
    plain, mixed = Batches(DATA, 10, seed=3), LengthBatches(DATA, 10, seed=3, by_length=False)
    for i in (0, 9, 25):
        batch = mixed[i]
        assert torch.equal(batch.x, plain[i].x[:, : batch.x.shape[1]])
    one, same, other = (LengthBatches(DATA, 10, seed=s) for s in (3, 3, 4))
    assert [rows(b, 2) == rows(one, 2) for b in (same, other)] == [True, False]


def test_labels_of_whole_rows_are_not_cut() -> None:
    batch = cut(Batch.padded([torch.tensor([5, 6]), torch.tensor([7])], [torch.tensor(1), torch.tensor(2)]), 1)
    assert batch.y is not None and batch.y.tolist() == [1, 2] and batch.x.shape == (2, 1)
