"""Endless minibatches of sequences of like lengths, cut to their longest, so that little work is done on pads.

Batch i is a function of the seed and of i alone, as in ``batches``. Sequences need a mask with its pads at the right.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.training.batches import Batches


def trimmed(batch: Batch) -> Batch:
    """The batch without the positions at which no row is real; x, and y and the mask where they have them.

    >>> x = torch.tensor([[3, 4, 0, 0], [5, 0, 0, 0]])
    >>> trimmed(Batch(x, mask=x > 0)).x
    tensor([[3, 4],
            [5, 0]])
    """
    return _cut(batch, int(batch.lengths.max()))


class LengthBatches(Batches):
    """Minibatch i of endlessly many. An epoch draws its rows, sorts them by length and shuffles their minibatches.

    Rows of one length meet in another order every epoch. Arguments and errors are those of ``Batches``; data without a
    mask has one length and is refused.

    >>> mask = torch.arange(4) < torch.tensor([1, 4, 2, 4, 1, 2])[:, None]
    >>> batches = LengthBatches(Batch(mask.long(), mask=mask), 2, seed=0)
    >>> sorted(tuple(batches[i].x.shape) for i in range(3))
    [(2, 1), (2, 2), (2, 4)]
    """

    def __init__(self, data: Batch, batch_size: int, *, seed: int, drop_last: bool = True):
        super().__init__(data, batch_size, seed=seed, drop_last=drop_last)
        if data.mask is None:
            raise ValueError(
                "sequences of like lengths are told by a mask (N, L), got none: use Batches for one length."
            )
        self._lengths, self._blocks, self._of = data.lengths.cpu(), list[Tensor](), -1

    def __getitem__(self, i: int) -> Batch:
        """Minibatch ``i``, 0 or larger: a part of epoch ``i // steps_per_epoch``, as long as its longest row."""
        rows = self.rows(i)
        return _cut(self.data[rows.to(self.data.x.device)], int(self._lengths[rows].max()))  # asks no device

    def rows(self, i: int) -> Tensor:
        """Which rows of the data minibatch ``i`` holds, int64 (batch_size,), on the CPU."""
        if i < 0:
            raise IndexError(f"minibatches are counted from 0 without end, so there is no last one: got {i}.")
        epoch, part = divmod(i, self.steps_per_epoch)
        if epoch != self._of:
            drawn = self._permutation(epoch).cpu()[: self.steps_per_epoch * self.batch_size]
            by_length = drawn[self._lengths[drawn].argsort(stable=True)]
            blocks = by_length.split(self.batch_size)
            mixed = zlib.crc32(f"{self.seed}/{epoch}/blocks".encode())
            order = torch.randperm(len(blocks), generator=torch.Generator("cpu").manual_seed(mixed), device="cpu")
            self._of, self._blocks = epoch, [blocks[k] for k in order.tolist()]
        return self._blocks[part]


def _cut(batch: Batch, n: int) -> Batch:
    y = batch.y if batch.y is None or batch.y.ndim == 1 else batch.y[:, :n]
    return Batch(batch.x[:, :n], y, None if batch.mask is None else batch.mask[:, :n])
