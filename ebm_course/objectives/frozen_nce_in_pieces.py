r"""NCE with a frozen normaliser where the rows of the contrast come a few at a time: no (N, M) table is made.

With x_j = a . b_j / tau - shift the loss needs sum_j softplus(x_j) and its gradient in a, sum_j sigmoid(x_j) b_j / tau.
Both are sums over rows, so that each piece of rows is read once, multiplied twice while it lies in the cache, and
dropped. It knows anchors, rows and kinds of rows; no net and no bank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from ebm_course.checks import check_count, check_number, check_tensors
from ebm_course.core import Loss
from ebm_course.objectives.info_nce import check_constant
from ebm_course.objectives.terms import check_energies, scalar


def frozen_nce_in_pieces(
    positive: Tensor,
    anchors: Tensor,
    pieces: Iterable[Tensor],
    *,
    kinds: Tensor,
    counted: Tensor,
    log_z: Tensor,
    n_rows: int,
    temperature: float = 0.07,
) -> Loss:
    """``frozen_nce`` of ``anchors @ rows.T`` with the mask ``counted[kinds].T``; rows take no gradient.

    Args:
        positive: similarities (N,) of the pairs.
        anchors: (N, H).
        pieces: the rows, tensors (P, H) whose lengths add up to M; each is looked at once.
        kinds: int64 (M,), 0 to C - 1, the kind of each row, such as its label.
        counted: bool (C, N), whether rows of a kind are negatives of an anchor.
        log_z: () of a ``Normaliser`` that is known.
        n_rows: n, rows that negatives are drawn from, 1 or more.
        temperature: tau, larger than 0.

    Returns:
        The loss; terms ``positive`` and ``negative``, mean similarities. Sums are taken in float32 at least.

    Raises:
        ValueError: shapes do not belong together, pieces hold more or fewer rows than there are kinds, or a number is
            out of its range.

    Source: as ``frozen_nce``. Departure: the order of the sums.

    >>> counted, kinds = torch.tensor([[False], [True]]), torch.tensor([1, 0, 1])  # the second row is no negative
    >>> rows = torch.tensor([[1.0, 0.0], [9.0, 9.0], [0.0, 1.0]])
    >>> options = {"kinds": kinds, "counted": counted, "log_z": torch.tensor(2.0).log(), "n_rows": 2}
    >>> loss = frozen_nce_in_pieces(torch.zeros(1), torch.zeros(1, 2), rows.split(2), **options)
    >>> round(float(loss.value), 3)  # P = 1/2 everywhere, n = m = 2: log 3 + 2 log(3 / 2)
    1.91
    """
    temperature = _check(positive, anchors, kinds, counted, temperature)
    check_constant(temperature)
    check_count("n_rows", n_rows, least=1)
    dtype = torch.promote_types(anchors.dtype, torch.float32)
    own, counts = positive / temperature, counted.to(dtype)
    of_kind = _counted(kinds, counts)
    m = (of_kind[:, None] * counts).sum(dim=0)  # (N,); no product, which autocast would take in 16 bits
    shift = log_z + m.log() - math.log(n_rows)  # -inf where nothing counts
    of_negatives, total = _Softpluses.apply(anchors, pieces, kinds, counts, shift, temperature)
    terms = {"positive": positive.detach().mean(), "negative": total / m.sum().clamp_min(1)}
    return Loss((softplus(shift - own) + of_negatives).mean(), terms)


def _counted(kinds: Tensor, counts: Tensor) -> Tensor:
    """How many rows are of each kind, (C,); on a CPU a kind outside is named, elsewhere the device stops on its own."""
    try:
        return counts.new_zeros(len(counts)).index_add_(0, kinds, counts.new_ones(len(kinds)))
    except (IndexError, RuntimeError) as error:
        if 0 <= int(kinds.min()) <= int(kinds.max()) < len(counts):
            raise
        raise ValueError(
            f"kinds are the rows of counted: expected 0 to {len(counts) - 1}, got {int(kinds.min())} to "
            f"{int(kinds.max())}. Take both from MemoryBank.kinds_of."
        ) from error


class _Softpluses(torch.autograd.Function):
    """sum over rows of softplus(a . b / tau - shift), (N,), and the sum () of a . b, over the rows that count."""

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        pieces: Iterable[Tensor],
        kinds: Tensor,
        counts: Tensor,
        shift: Tensor,
        temperature: float,
    ) -> tuple[Tensor, Tensor]:
        low = torch.where(counts > 0, -shift, -torch.inf)  # (C, N); softplus and its slope are 0 at -inf
        scaled = anchors.T.to(counts.dtype) / temperature  # (H, N)
        sums, slope, total = scaled.new_zeros(len(anchors)), torch.zeros_like(scaled.T), scaled.new_zeros(())
        start = 0
        with torch.autocast(anchors.device.type, enabled=False):
            for piece in pieces:
                check_tensors(piece=piece)
                if piece.ndim != 2 or piece.shape[1] != len(scaled):
                    got = f"{tuple(piece.shape)}. Take anchors of their width"
                    raise ValueError(f"pieces are rows (P, {len(scaled)}), as wide as anchors: got {got}.")
                rows, kind = piece.to(counts.dtype), kinds[start : start + len(piece)]
                start += len(piece)
                if len(kind) < len(rows):
                    break
                scores = rows @ scaled  # (P, N)
                x = low.index_select(0, kind).add_(scores)
                sums += softplus(x).sum(dim=0)
                total += scores.mul_(counts.index_select(0, kind)).sum()
                slope.addmm_(x.sigmoid_().T, rows)
        if start != len(kinds):
            raise ValueError(
                f"pieces hold the rows that have kinds: expected {len(kinds)}, got {start}"
                f"{' or more' if start > len(kinds) else ''}. Take both from one bank."
            )
        total.mul_(temperature)
        ctx.save_for_backward(slope)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(total)
        return sums, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return slope * (grads[0] / ctx.temperature)[:, None], None, None, None, None, None


def _check(positive: Tensor, anchors: Tensor, kinds: Tensor, counted: Tensor, temperature: float) -> float:
    """The temperature as a number or a tensor (), once all is as it should be."""
    check_energies(positive=positive)
    check_tensors(anchors=anchors, kinds=kinds, counted=counted)
    n = len(positive)
    if anchors.ndim != 2 or len(anchors) != n or not anchors.is_floating_point():
        raise ValueError(
            f"there is an anchor for each of {n} pairs: expected real ({n}, H), got {tuple(anchors.shape)} of "
            f"{anchors.dtype}. Pass the sentences of the same rows."
        )
    if kinds.ndim != 1 or kinds.dtype != torch.int64 or len(kinds) == 0:
        raise ValueError(
            f"each of M > 0 rows has a kind: expected int64 (M,), got {kinds.dtype} {tuple(kinds.shape)}. "
            "Take them from MemoryBank.kinds_of."
        )
    if counted.ndim != 2 or counted.shape[1] != n or counted.dtype != torch.bool:
        raise ValueError(
            f"counted says which kinds are negatives of each of {n} anchors: expected bool (C, {n}), got "
            f"{counted.dtype} {tuple(counted.shape)}. Take it from MemoryBank.kinds_of."
        )
    if not 0 < check_number("temperature", temperature) < math.inf:
        raise ValueError(f"temperature: expected a number larger than 0, got {temperature}. The default is 0.07.")
    return scalar("temperature", temperature)
