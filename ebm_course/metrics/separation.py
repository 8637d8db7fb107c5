"""How well an energy tells data from negatives. Knows two sets of energies, not what produced them."""

from __future__ import annotations

import math

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from ebm_course.checks import check_number, in_double
from ebm_course.metrics.inputs import check_real


def separation(e_data: Tensor, e_negative: Tensor, *, threshold: float = 0.0) -> dict[str, float]:
    """AUROC = P(E(data) < E(negative)) + 1/2 P(equal), and accuracy and gap of the two sets of energies.

    Args:
        e_data: energies of data (N,), nats.
        e_negative: energies of negatives (M,), nats.
        threshold: below it a row counts as data, nats; 0 belongs to the logistic loss.

    Returns:
        ``auroc`` (1/2 is chance), ``accuracy`` (mean of both sides, ties wrong), ``gap`` (mean E(negative) - mean
        E(data), nats).

    Raises:
        TypeError: energies are no tensor of real numbers.
        ValueError: energies are not (N,) with N > 0, or not finite, or the threshold is no number.

    >>> separation(torch.tensor([-2.0, -1.0]), torch.tensor([-1.0, 4.0]))  # one tie among four pairs
    {'auroc': 0.875, 'accuracy': 0.75, 'gap': 3.0}
    """
    if math.isnan(threshold := check_number("threshold", threshold)):
        raise ValueError("threshold is a number of nats: got nan. Pass 0.0, the border of the logistic loss.")
    for name, e in (("e_data", e_data), ("e_negative", e_negative)):
        check_real(**{name: e})
        if e.ndim != 1 or len(e) == 0 or not bool(torch.isfinite(e).all()):
            raise ValueError(
                f"{name} holds finite energies (N,), N > 0: got shape {tuple(e.shape)}, {e.isfinite().sum()} finite."
            )
    data, negative = in_double(e_data), in_double(e_negative)
    right = (data < threshold).to(data).mean() + (negative > threshold).to(data).mean()
    return {
        "auroc": float(auroc(data, negative)),
        "accuracy": float(right / 2),
        "gap": float(negative.mean() - data.mean()),
    }


def auroc(low: Tensor, high: Tensor) -> Tensor:
    """P(low < high) + 1/2 P(low = high) over all pairs, from ranks: no (N, M) table is formed.

    Args:
        low: scores that should be lower (N,).
        high: scores that should be higher (M,).

    Returns:
        A scalar, 0 to 1, in double precision.

    Raises:
        TypeError: a side is no tensor of real numbers.
        ValueError: a side is not (N,), or has no score.
        FloatingPointError: a score is NaN, which has no rank; one that is infinite has.

    Source: Mann and Whitney (1947), the statistic U over N M.

    >>> auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))  # 1, 1, 1 and 1/2 for the tie
    tensor(0.8750, dtype=torch.float64)
    """
    check_real(low=low, high=high)
    if low.ndim != 1 or high.ndim != 1:
        shapes = f"{tuple(low.shape)} and {tuple(high.shape)}"
        raise ValueError(f"scores are compared pair by pair: expected (N,) and (M,), got {shapes}. Use .flatten().")
    if min(len(low), len(high)) == 0:
        raise ValueError(
            f"scores are compared pair by pair: got {len(low)} low and {len(high)} high ones, expected some."
        )
    both = torch.cat([in_double(t).cpu() for t in (high, low)])
    if bool(both.isnan().any()):
        raise FloatingPointError("a score is NaN and has no rank: expected numbers. Look for the net that diverged.")
    places = both.unique(return_inverse=True)[1].numpy()  # older SciPy takes two infinities for a NaN
    x, y = places[: len(high)], places[len(high) :]
    u = mannwhitneyu(x, y, method="asymptotic").statistic  # the method is that of a p-value nobody reads
    return torch.tensor(u / (len(x) * len(y)), dtype=torch.float64, device=in_double(low).device)
