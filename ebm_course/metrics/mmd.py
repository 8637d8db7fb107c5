"""How far two sets of samples are apart, without any density. Knows points of a real space."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ebm_course.checks import check_number
from ebm_course.metrics.inputs import check_real, finite

PAIRS = 4_000_000  # in a block, of 8 bytes, twice
OF_MEDIAN = 2_000


def maximum_mean_discrepancy(x: Tensor, y: Tensor, *, bandwidth: float | None = None) -> dict[str, float]:
    r"""MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) with k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)).

    The unbiased estimate: pairs of a point with itself are left out, so equal laws give 0 on average, and values below
    0 more often than above: few large ones stand against many small ones.

    Pairs are taken in blocks of rows, so the memory is that of the samples and about 64 MB. The median is taken of all
    pairs up to 2,000 samples, of the pairs among 2,000 equally spaced ones otherwise. The time grows as (N + M)^2.

    Args:
        x: samples of one law (N, *S), N > 1; flattened to vectors.
        y: samples of the other (M, *S), M > 1.
        bandwidth: of the kernel, in units of x; by default the median distance between the pooled samples.

    Returns:
        ``mmd2`` and the ``bandwidth`` used.

    Raises:
        ValueError: fewer than two samples, states of different shape, not finite, or a bandwidth that is not positive.

    Source: Gretton et al. (2012), the unbiased estimate and the median heuristic.

    >>> distance = maximum_mean_discrepancy(torch.zeros(2, 1), torch.ones(2, 1), bandwidth=1.0)
    >>> round(distance["mmd2"], 3)  # 1 + 1 - 2 exp(-1/2)
    0.787
    """
    check_real(x=x, y=y)
    if x.ndim == 0 or y.ndim == 0 or len(x) < 2 or len(y) < 2 or x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"two samples of one space with two rows or more were expected: got {tuple(x.shape)} and {tuple(y.shape)}."
        )
    n, pooled = len(x), torch.cat([finite("x", x), finite("y", y)])[:, None].flatten(1)  # (N + M, D), numbers as D = 1
    if bandwidth is None:
        spaced = torch.arange(min(len(pooled), OF_MEDIAN), device=pooled.device) * len(pooled) // OF_MEDIAN
        bandwidth = float(torch.pdist(pooled if len(pooled) <= OF_MEDIAN else pooled[spaced]).median())
    bandwidth = check_number("bandwidth", bandwidth)
    if not 0 < bandwidth < torch.inf:
        raise ValueError(f"the bandwidth is a length: expected a number larger than 0, got {bandwidth}. Pass one.")
    a, b = pooled.split([n, len(pooled) - n])
    within = sum((_kernel_sum(s, s, bandwidth) - len(s)) / (len(s) * (len(s) - 1)) for s in (a, b))  # k(x, x) = 1
    return {"mmd2": float(within - 2 * _kernel_sum(a, b, bandwidth) / (n * len(b))), "bandwidth": bandwidth}


def _kernel_sum(a: Tensor, b: Tensor, bandwidth: float) -> Tensor:
    """The sum of the kernel over all pairs, a block of rows at a time."""

    def kernel(distances: Tensor) -> Tensor:
        if 1e-150 < bandwidth < 1e150:
            return distances.square_().div_(-2 * bandwidth**2).exp_()
        return distances.div_(bandwidth).square_().div_(-2).exp_()  # the square of the bandwidth is no number

    blocks = a.split(max(1, PAIRS // len(b)))
    distances = partial(torch.cdist, compute_mode="donot_use_mm_for_euclid_dist")  # of a point to itself exactly 0
    return torch.stack([kernel(distances(rows, b)).sum() for rows in blocks]).sum()
