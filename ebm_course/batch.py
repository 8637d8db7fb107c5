"""Rows of data, of one length or of many: states, answers, and a mask that says which positions are real.

It knows shapes alone: no task, no model, no order in which rows come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of data: states ``x`` (N, ...), answers ``y`` (N, ...) or None, ``mask`` bool or None, True where real.

    The mask has the first axes of x, (N, L) for sequences of different lengths, and y has them too unless it is (N,).

    Raises:
        ValueError: the parts have other numbers of rows, or the mask does not fit them.
        TypeError: a part is no tensor, or it is indexed by a number, or looped over, which takes away the axis of rows.

    Two batches are equal where they are the same object, as two tensors have no one answer.

    >>> batch = Batch(torch.arange(6).view(3, 2), y=torch.tensor([7, 8, 9]))
    >>> batch[1:].x.tolist(), batch[torch.tensor([2, 0])].y.tolist(), len(batch)
    ([[2, 3], [4, 5]], [9, 7], 3)
    """

    x: Tensor
    y: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        x, y, mask = self.x, self.y, self.mask
        parts: dict[str, Any] = {"x": x, "y": y, "mask": mask}
        for name, part in parts.items():
            if not isinstance(part, Tensor) and (part is not None or name == "x"):
                got = f"a {type(part).__name__} as {name}. Pass torch.as_tensor of it"
                raise TypeError(f"a batch holds tensors: got {got}.")
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
            ValueError: there are no rows, a row is no sequence, rows differ in more than length, or answers do not fit.

        >>> batch = Batch.padded([torch.tensor([5, 6, 7]), torch.tensor([8])], fill=1)
        >>> batch.x.tolist(), batch.mask.tolist(), batch.lengths.tolist()
        ([[5, 6, 7], [8, 1, 1]], [[True, True, True], [True, False, False]], [3, 1])
        """
        _check_sequences(x, y)
        sizes = [len(row) for row in x]
        mask = torch.arange(max(sizes), device="cpu") < torch.tensor(sizes, device="cpu")[:, None]
        labels = None if y is None else torch.stack(list(y)) if y[0].ndim == 0 else pad_sequence(list(y), True)
        return cls(pad_sequence(list(x), True, fill), labels, mask.to(x[0].device))

    @property
    def lengths(self) -> Tensor:
        """How many positions of each sequence are real, (N,) int64; without a mask all L of them.

        Raises:
            ValueError: the rows are no sequences: x has no axis of positions, or the mask is not (N, L).
        """
        if self.x.ndim < 2 or (self.mask is not None and self.mask.ndim != 2):
            raise ValueError(
                f"lengths are those of sequences: expected x (N, L, ...) and a mask (N, L) or None, got "
                f"x {tuple(self.x.shape)} and mask {None if self.mask is None else tuple(self.mask.shape)}. "
                f"Use len(batch) for the number of rows."
            )
        mask = torch.ones(self.x.shape[:2], dtype=torch.bool, device=self.x.device) if self.mask is None else self.mask
        return mask.sum(dim=1)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | slice) -> Batch:
        given: Any = index
        if isinstance(given, Integral) or (isinstance(given, Tensor) and given.ndim == 0):
            raise TypeError(
                f"a batch is cut to rows, of which it keeps the axis: expected a slice or a tensor (M,), got {given}. "
                f"Use batch[{int(given)}:{int(given) + 1 or None}] for one row, batch.x for states alone."
            )
        return self._each(lambda t: t[index])

    def to(self, device: torch.device | str) -> Batch:
        """The same rows on another device."""
        return self._each(lambda t: t.to(device))

    def _each(self, act: Callable[[Tensor], Tensor]) -> Batch:
        y, mask = (None if t is None else act(t) for t in (self.y, self.mask))
        return Batch(act(self.x), y, mask)


def ranks_in_class(y: Tensor, n_classes: int) -> Tensor:
    """How many rows before each have its class: (N,) for classes (N,) of 0 to ``n_classes`` - 1, all at once.

    >>> ranks_in_class(torch.tensor([2, 0, 2, 2]), 3).tolist()
    [0, 0, 1, 2]
    """
    return one_hot(y, n_classes).cumsum(dim=0).gather(1, y[:, None])[:, 0] - 1


def _check_sequences(x: Sequence[Tensor], y: Sequence[Tensor] | None) -> None:
    """Refuse what cannot be padded to one batch, naming the first row that does not fit."""
    scalars = [n for n, row in enumerate(x) if row.ndim == 0]
    if len(x) == 0 or scalars:
        got = f"row {scalars[0]} of shape ()" if scalars else "no rows"
        raise ValueError(
            f"a padded batch takes one or more sequences: expected rows (L_n, ...), got {got}. "
            f"Stack single states instead, Batch(torch.stack(x))."
        )
    _check_alike("states", x)
    if y is not None:
        _check_answers(x, y)
        _check_alike("answers", y)


def _check_answers(x: Sequence[Tensor], y: Sequence[Tensor]) -> None:
    """Refuse answers that are neither a label for each row nor one for each of its states."""
    if len(y) != len(x):
        raise ValueError(f"a padded batch has an answer a sequence: expected {len(x)}, got {len(y)}. Cut both alike.")
    mixed = [n for n, row in enumerate(y) if (row.ndim == 0) != (y[0].ndim == 0)]
    if mixed:
        raise ValueError(
            f"answers are labels () in all rows or sequences (L_n, ...) in all: row 0 has {tuple(y[0].shape)}, got "
            f"{tuple(y[mixed[0]].shape)} in row {mixed[0]}. Repeat the label at every position, or give labels alone."
        )
    if y[0].ndim:
        wrong = [n for n, (states, answers) in enumerate(zip(x, y, strict=True)) if len(states) != len(answers)]
        if wrong:
            raise ValueError(
                f"a sequence has as many answers as states, or a label (): expected {len(x[wrong[0]])} in row "
                f"{wrong[0]}, got {len(y[wrong[0]])}. Cut both alike."
            )


def _check_alike(name: str, rows: Sequence[Tensor]) -> None:
    """Refuse rows that differ in more than their length."""
    for n, row in enumerate(rows):
        if (row.shape[1:], row.dtype, row.device) != (rows[0].shape[1:], rows[0].dtype, rows[0].device):
            first, other = (f"{tuple(t.shape)} {t.dtype} on {t.device}" for t in (rows[0], row))
            raise ValueError(
                f"{name} of a padded batch differ in length alone: row 0 is {first}, got {other} in row {n}. "
                f"Give all the same width, dtype and device."
            )
