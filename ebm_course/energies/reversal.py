"""Sequences read backwards inside their own length, so that padding stays behind and never comes first.

It knows masks and shapes, no net.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.sentence_checks import check_mask


def reversed_within(x: Tensor, mask: Tensor | None) -> Tensor:
    """Row n with its first L_n entries in reverse order and its pads where they were; twice is once not at all.

    Args:
        x: (N, L, ...), any dtype; not changed.
        mask: (N, L) bool, True at the first L_n positions of row n; None where all are real.

    Returns:
        A tensor of x's shape.

    Raises:
        ValueError: the mask is of another shape, or (on a CPU) a pad stands before a real entry.

    >>> x, mask = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7]]), torch.tensor([[True, True, True, False], [True] * 4])
    >>> reversed_within(x, mask).tolist()
    [[3, 2, 1, 0], [7, 6, 5, 4]]
    """
    if mask is None:
        return x.flip(1)
    check_mask(mask, tuple(x.shape[:2]))
    lengths, places = mask.sum(dim=1, keepdim=True), torch.arange(x.shape[1], device=x.device)
    index = torch.where(places < lengths, lengths - 1 - places, places)  # (N, L)
    return x.gather(1, index.reshape(*index.shape, *[1] * (x.ndim - 2)).expand_as(x))
