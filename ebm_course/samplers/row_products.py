r"""Inner products with chosen rows of a large table, of which only a piece is copied at a time.

.. math:: S = A \, F[r]^\top, \qquad \bar A = \bar S \, F[r]

for a loss whose gradient by S is :math:`\bar S`; F takes none. Both are made piece by piece, with the copies made again
for the gradient, so that memory is bounded by the result and one piece. It knows no bank.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ebm_course.checks import check_count


def products_of_rows(anchors: Tensor, features: Tensor, rows: Tensor, *, n_at_once: int) -> Tensor:
    """anchors (N, width) @ features (n, width)[rows (M,)].T, (N, M), with a gradient for the anchors alone.

    Args:
        n_at_once: rows copied at a time.

    Raises:
        ValueError: not even one row at a time.

    >>> products_of_rows(torch.tensor([[1.0, 2.0, 3.0]]), torch.eye(3), torch.tensor([2, 0]), n_at_once=1)
    tensor([[3., 1.]])
    """
    check_count("n_at_once", n_at_once, least=1)
    products: Tensor = _Products.apply(anchors, features, rows, n_at_once)
    return products


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchors: Tensor, features: Tensor, rows: Tensor, piece: int) -> Tensor:
        ctx.save_for_backward(features, rows)  # a change of the table before the gradient is refused by torch
        ctx.piece = piece
        out = anchors.new_empty(len(anchors), len(rows))
        for i, some in enumerate(rows.split(piece)):
            out[:, i * piece : i * piece + len(some)] = anchors @ features.index_select(0, some).T.to(anchors.dtype)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        features, rows = ctx.saved_tensors
        pieces = zip(grads[0].split(ctx.piece, dim=1), rows.split(ctx.piece), strict=True)
        total = grads[0].new_zeros(len(grads[0]), features.shape[1])
        for grad, some in pieces:
            total += grad @ features.index_select(0, some).to(grad.dtype)
        return total, None, None, None
