"""Rows of data, of one length or of many: states, answers, and a mask that says which positions are real.

It knows shapes alone: no task, no model, no order in which rows come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Batch:
    """Rows of data: states ``x`` (N, ...), answers ``y`` (N, ...) or None, ``mask`` bool or None, True where real.

    The mask has the first axes of x, (N, L) for sequences of different lengths, and y has them too unless it is (N,).

    Raises:
        ValueError: the parts have other numbers of rows, or the mask does not fit them.

    >>> batch = Batch(torch.arange(6).view(3, 2), y=torch.tensor([7, 8, 9]))
    >>> batch[1:].x.tolist(), batch[torch.tensor([2, 0])].y.tolist(), len(batch)
    ([[2, 3], [4, 5]], [9, 7], 3)
    """

    x: Tensor
    y: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        x, y, mask = self.x, self.y, self.mask
        if y is not None and y.shape[:1] != x.shape[:1]:
            raise ValueError(
                f"a batch has an answer a row: x has shape {tuple(x.shape)}, so expected y ({len(x)}, ...), got "
                f"{tuple(y.shape)}. Cut both alike, or index the whole batch."
            )
        if mask is None:
            return
        answers = mask if y is None or y.ndim < 2 else y
        if mask.dtype != torch.bool or any(t.shape[: mask.ndim] != mask.shape for t in (x, answers)):
            raise ValueError(
                f"a mask is bool with the first axes of x and of answers along it: got {mask.dtype} "
                f"{tuple(mask.shape)} for x {tuple(x.shape)}, y {None if y is None else tuple(y.shape)}. "
                f"Batch.padded makes one that fits."
            )

    @classmethod
    def padded(cls, x: Sequence[Tensor], y: Sequence[Tensor] | None = None, *, fill: float = 0) -> Batch:
        """N sequences of different lengths as one batch, padded at the right, with the mask (N, L).

        Args:
            x: states (L_n, ...), one tensor a row.
            y: a label () or answers (L_n, ...) for each; answers are padded with 0.
            fill: what pads the states; the id of the padding token where a task has one.

        Raises:
            ValueError: there are no rows, or a row has more or fewer answers than states.

        >>> batch = Batch.padded([torch.tensor([5, 6, 7]), torch.tensor([8])], fill=1)
        >>> batch.x.tolist(), batch.mask.tolist(), batch.lengths.tolist()
        ([[5, 6, 7], [8, 1, 1]], [[True, True, True], [True, False, False]], [3, 1])
        """
        sizes, answers = [len(row) for row in x], list(x if y is None else y)
        if not sizes or [len(row) if row.ndim else size for row, size in zip(answers, sizes, strict=True)] != sizes:
            raise ValueError(
                f"a padded batch takes sequences and, where given, a label () or as many answers as states for each: "
                f"got lengths {sizes} and answers {[tuple(row.shape) for row in answers]}."
            )
        mask = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
        labels = None if y is None else torch.stack(answers) if answers[0].ndim == 0 else pad_sequence(answers, True)
        return cls(pad_sequence(list(x), True, fill), labels, mask.to(x[0].device))

    @property
    def lengths(self) -> Tensor:
        """How many positions of each sequence are real, (N,) int64; without a mask all L of them."""
        mask = torch.ones(self.x.shape[:2], dtype=torch.bool, device=self.x.device) if self.mask is None else self.mask
        return mask.sum(dim=1)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | slice) -> Batch:
        return self._each(lambda t: t[index])

    def to(self, device: torch.device | str) -> Batch:
        """The same rows on another device."""
        return self._each(lambda t: t.to(device))

    def _each(self, act: Callable[[Tensor], Tensor]) -> Batch:
        y, mask = (None if t is None else act(t) for t in (self.y, self.mask))
        return Batch(act(self.x), y, mask)
