"""Endless shuffled minibatches that remember nothing: batch i is a function of the seed and of i alone.

So a run that was killed and started again sees the same rows in the same order. It knows no task, no model and no
optimiser.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sized
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ebm_course.checks import check_count
from ebm_course.core import Batch

Draw = Callable[[int, torch.Generator], Tensor]
"""(n, generator) -> n rows (n, ...)."""


@runtime_checkable
class Indexed(Protocol):
    """Minibatches by number.

    >>> isinstance([], Indexed), isinstance(iter([]), Indexed)
    (True, False)
    """

    def __getitem__(self, i: int, /) -> Batch: ...


def check_batches(batches: Any) -> None:
    """Refuse what gives no minibatch for a number: a batch itself, an empty list, an iterator or a DataLoader.

    >>> check_batches([Batch(torch.zeros(3, 2))])
    >>> check_batches(iter([]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: batches gives a minibatch for each number: got a list_iterator. Use Batches(data, batch_size, seed=0)...
    """
    none = isinstance(batches, Batch) or not (isinstance(batches, Indexed) or callable(batches))
    if none or (isinstance(batches, Sized) and len(batches) == 0):
        of = f" of {len(batches)}" if isinstance(batches, Sized) else ""
        raise TypeError(
            f"batches gives a minibatch for each number: got a {type(batches).__name__}{of}. "
            f"Use Batches(data, batch_size, seed=0), or [data] for all rows at every step."
        )


def with_replacement(rows: Tensor) -> Draw:
    """Draw with replacement from rows (M, ...) that were sampled once.

    >>> draw = with_replacement(torch.tensor([[7, 7]]))
    >>> draw(3, torch.Generator().manual_seed(0)).tolist()
    [[7, 7], [7, 7], [7, 7]]
    """

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return rows[torch.randint(len(rows), (n,), generator=generator, device=rows.device)]

    return draw


class Batches:
    """Minibatch i of endlessly many; each epoch is a fresh shuffle of all rows.

    Args:
        data: the rows to draw from, on the device where training happens; not changed.
        batch_size: rows of a minibatch, 1 or larger.
        seed: names the order; the same seed gives the same minibatches on every machine.
        drop_last: leave out the rows that do not fill the last minibatch of an epoch; each epoch leaves out others.
            Otherwise that minibatch is smaller.

    Raises:
        TypeError: the data are no batch.
        ValueError: the batch size is no whole number of 1 or more, or no minibatch can be made of so few rows.

    >>> batches = Batches(Batch(torch.arange(6)), 2, seed=0)
    >>> epoch = torch.cat([batches[i].x for i in range(3)])
    >>> batches.steps_per_epoch, sorted(epoch.tolist()), torch.equal(batches[0].x, epoch[:2])  # 0 once more, as before
    (3, [0, 1, 2, 3, 4, 5], True)
    """

    def __init__(self, data: Batch, batch_size: int, *, seed: int, drop_last: bool = True):
        check_count("seed", seed)
        batch_size = check_count("batch_size", batch_size)
        if not isinstance(data, Batch):
            raise TypeError(f"minibatches are drawn from a Batch: got a {type(data).__name__}. Pass Batch(x).")
        n = len(data)
        if batch_size < 1 or n < (batch_size if drop_last else 1):
            raise ValueError(
                f"{n} rows make no minibatch of {batch_size}: expected 1 <= batch_size <= {n}. "
                f"Use a smaller batch_size, or drop_last=False where there are few rows."
            )
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.steps_per_epoch = n // batch_size if drop_last else -(-n // batch_size)
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64, device="cpu")

    def __getitem__(self, i: int) -> Batch:
        """Minibatch ``i``, 0 or larger: a part of epoch ``i // steps_per_epoch``."""
        if i < 0:
            raise IndexError(f"minibatches are counted from 0 without end, so there is no last one: got {i}.")
        epoch, part = divmod(i, self.steps_per_epoch)
        start = part * self.batch_size
        return self.data[self._permutation(epoch)[start : start + self.batch_size]]

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            # Torch's CPU generator reads 32 bits of a seed: a checksum spreads both numbers over them.
            mixed = zlib.crc32(f"{self.seed}/{epoch}".encode())
            order = torch.randperm(len(self.data), generator=torch.Generator("cpu").manual_seed(mixed), device="cpu")
            self._epoch, self._order = epoch, order.to(self.data.x.device)
        return self._order
