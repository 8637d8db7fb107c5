"""How far two sets of samples are apart, without any density. Knows points of a real space."""

from __future__ import annotations

import torch
from torch import Tensor


def maximum_mean_discrepancy(x: Tensor, y: Tensor, *, bandwidth: float | None = None) -> dict[str, float]:
    r"""MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) with k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)).

    The unbiased estimate: pairs of a point with itself are left out, so equal laws give 0 on average, and values below
    0 more often than above: few large ones stand against many small ones.

    Args:
        x: samples of one law (N, *S), N > 1; flattened to vectors.
        y: samples of the other (M, *S), M > 1.
        bandwidth: of the kernel, in units of x; by default the median distance between the pooled samples.

    Returns:
        ``mmd2`` and the ``bandwidth`` used.

    Raises:
        ValueError: fewer than two samples, states of different shape, or a bandwidth that is not positive.

    Source: Gretton et al. (2012), the unbiased estimate and the median heuristic.
    """
    if len(x) < 2 or len(y) < 2 or x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"two samples of one space with two rows or more were expected: got {tuple(x.shape)} and {tuple(y.shape)}."
        )
    n, pooled = len(x), torch.cat([x, y]).flatten(1).double()  # (N + M, D)
    squared = torch.cdist(pooled, pooled).square()
    if bandwidth is None:
        pairs = torch.triu_indices(len(pooled), len(pooled), offset=1)
        bandwidth = float(squared[pairs[0], pairs[1]].median().sqrt())
    if bandwidth <= 0:
        raise ValueError(f"the bandwidth is a length: expected a number larger than 0, got {bandwidth}. Pass one.")
    kernel = torch.exp(-squared / (2 * bandwidth**2))
    within = _mean_off_diagonal(kernel[:n, :n]) + _mean_off_diagonal(kernel[n:, n:])
    return {"mmd2": float(within - 2 * kernel[:n, n:].mean()), "bandwidth": bandwidth}


def _mean_off_diagonal(kernel: Tensor) -> Tensor:
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
