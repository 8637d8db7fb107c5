"""Minibatches of like lengths: every row once an epoch, few pads, and nothing remembered."""

from __future__ import annotations

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.training.length_batches import LengthBatches, trimmed

N = 500
LENGTHS = torch.randint(1, 41, (N,), generator=torch.Generator().manual_seed(0))
MASK = torch.arange(40) < LENGTHS[:, None]
ROWS = torch.arange(1, N + 1)[:, None] * MASK  # a row's tokens are its number
DATA = Batch(ROWS[..., None], y=ROWS, mask=MASK)


@pytest.mark.parametrize("drop_last, n", [(True, 480), (False, 500)])
def test_an_epoch_has_every_row_once_whole_and_in_its_own_length(drop_last: bool, n: int) -> None:
    batches = LengthBatches(DATA, 32, seed=0, drop_last=drop_last)
    seen = []
    for i in range(batches.steps_per_epoch):
        batch = batches[i]
        assert batch.mask.any(dim=0).all() and torch.equal(batch.x[..., 0], batch.y)
        numbers = batch.y[:, 0] - 1
        assert torch.equal(batch.lengths, LENGTHS[numbers]) and torch.equal(batch.y > 0, batch.mask)
        seen += numbers.tolist()
    assert len(seen) == len(set(seen)) == n


def test_at_most_a_tenth_of_the_work_is_on_pads() -> None:
    batches = LengthBatches(DATA, 32, seed=0)
    masks = [batches[i].mask for i in range(batches.steps_per_epoch)]
    pads = sum(int((~mask).sum()) for mask in masks) / sum(mask.numel() for mask in masks)
    assert pads < 0.1 < float((~MASK).double().mean())


def test_lengths_are_asked_of_the_device_once_and_not_at_every_minibatch(monkeypatch: pytest.MonkeyPatch) -> None:
    batches, calls = LengthBatches(DATA, 32, seed=0), list[int]()
    monkeypatch.setattr(Batch, "lengths", property(lambda batch: calls.append(len(batch))))
    assert all(batches[i].mask.any(dim=0).all() for i in range(3)) and not calls


def test_the_order_is_of_the_seed_and_the_number_alone_and_differs_between_epochs() -> None:
    one, other = LengthBatches(DATA, 32, seed=0), LengthBatches(DATA, 32, seed=0)
    n = one.steps_per_epoch
    forwards = [one[i].y for i in range(2 * n)]
    for i in (2 * n - 1, 3, n, 0):
        assert torch.equal(other[i].y, forwards[i])
    first, second = ([set(y[:, 0].tolist()) for y in forwards[k : k + n]] for k in (0, n))
    assert not any(rows in second for rows in first), "rows of one length meet others in the next epoch"
    lengths = [y.shape[1] for y in forwards[:n]]
    assert lengths != sorted(lengths) and lengths != [y.shape[1] for y in forwards[n:]]
    assert not torch.equal(LengthBatches(DATA, 32, seed=1)[0].y, forwards[0])


def test_every_row_is_left_out_in_some_epoch_and_none_in_all() -> None:
    batches = LengthBatches(DATA[:40], 30, seed=0)
    drawn = [set(batches[i].y[:, 0].tolist()) for i in range(20)]
    assert set.union(*drawn) == set(range(1, 41)) and set.intersection(*drawn) == set()


def test_trimming_keeps_labels_and_needs_no_mask() -> None:
    batch = trimmed(Batch(DATA.x[:3], torch.tensor([7, 8, 9]), MASK[:3]))
    assert batch.x.shape == (3, int(LENGTHS[:3].max()), 1) and batch.y.tolist() == [7, 8, 9]
    assert trimmed(Batch(DATA.x[:3])).x.shape == (3, 40, 1)


def test_what_has_no_lengths_and_no_minibatch_is_refused() -> None:
    with pytest.raises(ValueError, match="told by a mask"):
        LengthBatches(Batch(DATA.x), 32, seed=0)
    with pytest.raises(ValueError, match="make no minibatch"):
        LengthBatches(DATA, 501, seed=0)
    with pytest.raises(IndexError, match="no last one"):
        LengthBatches(DATA, 32, seed=0)[-1]
