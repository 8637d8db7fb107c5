"""Whether a classifier is right as often as it says. Knows probabilities and labels."""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import check_count
from ebm_course.metrics.inputs import labels_of, rows_of_logits


def expected_calibration_error(probabilities: Tensor, labels: Tensor, *, n_bins: int = 15) -> float:
    """sum_b (n_b / N) |accuracy_b - confidence_b| over bins of the largest probability.

    How it deceives: a classifier that knows nothing and says how often each class comes has 0. The value depends on
    the bins, and a perfect classifier has more than 0 from few images: about sqrt(n_bins / N) times 0.3, to be
    compared with. Only the largest probability is looked at.

    Args:
        probabilities: of each class (N, K), rows summing to 1.
        labels: gold classes (N,), int64, 0 .. K - 1.
        n_bins: equally wide bins of [0, 1].

    Returns:
        0 to 1.

    Raises:
        ValueError: other shapes, rows that are no probabilities, a label out of range, or no bin.

    Source: Naeini et al. (2015); Guo et al. (2017), Eq. 3.

    >>> says = torch.tensor([0.75, 0.25]).expand(4, 2)
    >>> expected_calibration_error(says, torch.tensor([0, 0, 0, 1]))  # right three times of four
    0.0
    >>> expected_calibration_error(says, torch.tensor([0, 1, 1, 1]))
    0.5
    """
    confidence, right, count = reliability(probabilities, labels, n_bins=n_bins)
    error = (right - confidence).abs() * count / count.sum()
    return float(error[count > 0].sum())


def reliability(probabilities: Tensor, labels: Tensor, *, n_bins: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """Mean confidence, accuracy and number of the rows in each bin of confidence: the points of a reliability diagram.

    Args:
        probabilities: of each class (N, K), rows summing to 1.
        labels: gold classes (N,), int64, 0 .. K - 1.
        n_bins: bins ((b - 1) / n_bins, b / n_bins] of the largest probability.

    Returns:
        Three tensors (n_bins,) in float64; confidence and accuracy of an empty bin are NaN.

    Raises:
        ValueError: other shapes, rows that are no probabilities, a label out of range, or no bin.

    Source: Guo et al. (2017), Section 2.

    >>> says = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    >>> [points.tolist() for points in reliability(says, torch.tensor([0, 1]), n_bins=2)]
    [[0.5, 0.75], [0.0, 1.0], [1.0, 1.0]]
    """
    check_count("n_bins", n_bins, least=1)
    p = rows_of_logits("probabilities", probabilities)
    if bool((p < 0).any()) or bool(((p.sum(1) - 1).abs() > 1e-3).any()):
        raise ValueError(
            f"rows of probabilities are 0 or larger and sum to 1: got entries from {float(p.min()):.3g}, sums from "
            f"{float(p.sum(1).min()):.3g} to {float(p.sum(1).max()):.3g}. "
            f"Pass torch.softmax(logits.float(), 1): in 16 bits rows do not sum to 1."
        )
    largest, predicted = p.max(1)
    edges = torch.linspace(0, 1, n_bins + 1, dtype=p.dtype, device=p.device)
    bins = torch.bucketize(largest, edges[1:-1])  # (N,), an edge belongs to the bin below it
    right = (predicted == labels_of(p, labels)).to(p.dtype)
    sums = torch.zeros(3, n_bins, dtype=p.dtype, device=p.device)
    sums.index_add_(1, bins, torch.stack([largest, right, torch.ones_like(right)]))
    return sums[0] / sums[2], sums[1] / sums[2], sums[2]
