"""How far two discrete distributions are apart. Knows two tensors of probabilities, not where they come from."""

from __future__ import annotations

import math

from scipy.special import rel_entr
from torch import Tensor

from ebm_course.checks import in_double
from ebm_course.metrics.inputs import check_real


def density_distance(p: Tensor, q: Tensor) -> dict[str, float]:
    """TV = 1/2 sum |p - q|, KL(p || q) = sum p log(p / q) and KL(q || p).

    Args:
        p: probabilities of the reference, any shape, summing to 1.
        q: probabilities of the model, of the same shape, summing to 1.

    Returns:
        ``total_variation`` (0 to 1), ``kl`` and ``reverse_kl`` (nats, infinite where a support is missed).

    Raises:
        TypeError: p or q is no tensor of real numbers.
        ValueError: shapes differ, there is no entry, one is negative, or a sum is not 1.

    >>> import torch
    >>> distance = density_distance(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
    >>> {name: round(value, 3) for name, value in distance.items()}  # log 2 one way, infinite the other
    {'total_variation': 0.5, 'kl': inf, 'reverse_kl': 0.693}
    """
    check_real(p=p, q=q)
    if p.shape != q.shape:
        raise ValueError(
            f"p and q hold the same outcomes: expected equal shapes, got {tuple(p.shape)}, {tuple(q.shape)}."
        )
    for name, probability in (("p", p), ("q", q)):
        _check_probabilities(name, in_double(probability))
    a, b = (in_double(t).cpu().numpy() for t in (p, q))
    return {
        "total_variation": float(abs(a - b).sum() / 2),
        "kl": float(rel_entr(a, b).sum()),
        "reverse_kl": float(rel_entr(b, a).sum()),
    }


def _check_probabilities(name: str, probability: Tensor) -> None:
    total = float(probability.sum())
    if bool((probability < 0).any()) or not abs(total - 1) <= 1e-4:  # a NaN fails every comparison
        smallest = float(probability.min()) if probability.numel() else math.nan
        raise ValueError(
            f"{name} holds probabilities: expected entries of 0 or larger that sum to 1, got a smallest entry of "
            f"{smallest:.3g} and a sum of {total:.6g}. Pass torch.softmax(-energies, 0)."
        )
