"""Minibatches of sequences of about one length, so that little work is done on pads.

Each epoch is a fresh shuffle; its rows are then sorted by length, equal lengths in the shuffled order, cut into
minibatches and these shuffled. Minibatch i stays a function of the seed and of i alone. It knows no task and no model.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.training.batches import Batches


class LengthBatches(Batches):
    """Minibatch i of endlessly many, cut to its longest row.

    Args:
        data: sequences (N, L, ...) with a mask (N, L), padded at the right, on the device where training happens.
        batch_size: rows of a minibatch, 1 or larger; the rows that do not fill the last one of an epoch are left out,
            others each epoch.
        seed: names the order.
        by_length: False leaves the rows unsorted, as :class:`Batches`; minibatches are cut to their longest row still.

    >>> rows = Batch.padded([torch.arange(n) for n in (1, 3, 1, 3)])
    >>> batches = LengthBatches(rows, 2, seed=0)
    >>> sorted(batches[i].x.shape for i in range(2)), batches.pad_share(epoch=0)
    ([torch.Size([2, 1]), torch.Size([2, 3])], 0.0)
    """

    def __init__(self, data: Batch, batch_size: int, *, seed: int, by_length: bool = True):
        super().__init__(data, batch_size, seed=seed)
        self.by_length = by_length
        self._lengths = data.lengths.cpu()  # so that a cut asks the device nothing

    def __getitem__(self, i: int) -> Batch:
        batch = super().__getitem__(i)
        epoch, part = divmod(i, self.steps_per_epoch)
        return cut(batch, int(self._longest(epoch)[part]))

    def pad_share(self, epoch: int) -> float:
        """Share of pads among the positions of an epoch's minibatches."""
        longest = self._longest(epoch)
        positions = int(longest.sum()) * self.batch_size
        return 1 - int(self._lengths[self._permutation(epoch).cpu()].sum()) / positions

    def _longest(self, epoch: int) -> Tensor:
        self._permutation(epoch)
        return self._longest_of_parts

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            order = super()._permutation(epoch).cpu()[: self.steps_per_epoch * self.batch_size]
            if self.by_length:
                order = order[self._lengths[order].argsort(stable=True)]
                mixed = zlib.crc32(f"{self.seed}/{epoch}/parts".encode())
                generator = torch.Generator("cpu").manual_seed(mixed)
                parts = torch.randperm(self.steps_per_epoch, generator=generator, device="cpu")
                order = order.view(self.steps_per_epoch, self.batch_size)[parts].flatten()
            self._longest_of_parts = self._lengths[order].view(self.steps_per_epoch, self.batch_size).amax(dim=1)
            self._order = order.to(self.data.x.device)
        return self._order


def cut(batch: Batch, length: int) -> Batch:
    """The first ``length`` positions of sequences.

    >>> cut(Batch.padded([torch.tensor([5, 6]), torch.tensor([7])]), 1).x.tolist()
    [[5], [7]]
    """
    y = None if batch.y is None else batch.y[:, :length] if batch.y.ndim > 1 else batch.y
    return Batch(batch.x[:, :length], y, None if batch.mask is None else batch.mask[:, :length])
