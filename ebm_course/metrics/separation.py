"""How well an energy tells data from negatives. Knows two sets of energies, not what produced them."""

from __future__ import annotations

import torch
from torch import Tensor


def separation(e_data: Tensor, e_negative: Tensor, *, threshold: float = 0.0, n_bins: int = 50) -> dict[str, float]:
    """AUROC = P(E(data) < E(negative)) + 1/2 P(equal), and accuracy, gap and overlap of the two sets of energies.

    Args:
        e_data: energies of data (N,), nats.
        e_negative: energies of negatives (M,), nats.
        threshold: below it a row counts as data, nats; 0 belongs to the logistic loss.
        n_bins: of the histograms on the common range that the overlap compares.

    Returns:
        ``auroc`` (1/2 is chance), ``accuracy`` (mean of both sides, ties wrong), ``gap`` (mean E(negative) - mean
        E(data), nats), ``overlap`` (shared area of both histograms, 0 to 1).

    Raises:
        ValueError: energies are not (N,) with N > 0, or not finite.
    """
    for name, e in (("e_data", e_data), ("e_negative", e_negative)):
        if e.ndim != 1 or len(e) == 0 or not bool(torch.isfinite(e).all()):
            raise ValueError(
                f"{name} holds finite energies (N,), N > 0: got shape {tuple(e.shape)}, {e.isfinite().sum()} finite."
            )
    data, negative = e_data.detach().double(), e_negative.detach().double()
    right = (data < threshold).double().mean() + (negative > threshold).double().mean()
    return {
        "auroc": float(auroc(data, negative)),
        "accuracy": float(right / 2),
        "gap": float(negative.mean() - data.mean()),
        "overlap": float(histogram_overlap(data, negative, n_bins=n_bins)),
    }


def auroc(low: Tensor, high: Tensor) -> Tensor:
    """P(low < high) + 1/2 P(low = high) over all pairs, by sorting: O((N + M) log M) and no (N, M) table.

    Args:
        low: scores that should be lower (N,).
        high: scores that should be higher (M,).

    Returns:
        A scalar, 0 to 1.

    Source: Mann and Whitney (1947), the statistic U over N M.
    """
    ordered = high.sort().values
    not_above = torch.searchsorted(ordered, low, right=True)  # (N,), how many of high are <= low
    below = torch.searchsorted(ordered, low, right=False)  # (N,), how many are < low
    return 1 - (not_above + below).double().mean() / (2 * len(high))


def histogram_overlap(a: Tensor, b: Tensor, *, n_bins: int) -> Tensor:
    """sum over bins of min(share of a, share of b), on n_bins equal bins over the common range.

    Args:
        a: numbers (N,).
        b: numbers (M,).
        n_bins: 1 or more.

    Returns:
        A scalar: 1 for equal histograms, 0 for disjoint ones.
    """
    low, high = torch.minimum(a.min(), b.min()), torch.maximum(a.max(), b.max())
    width = (high - low).clamp_min(torch.finfo(a.dtype).tiny)

    def shares(x: Tensor) -> Tensor:
        index = ((x - low) / width * n_bins).long().clamp_max(n_bins - 1)
        return torch.bincount(index, minlength=n_bins) / len(x)

    return torch.minimum(shares(a), shares(b)).sum()
