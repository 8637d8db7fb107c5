"""A penalty added to a loss: energies far from zero. It returns a bare scalar, for the caller to weigh."""

from __future__ import annotations

import math

from torch import Tensor

from ebm_course.objectives.terms import check_energies, scalar


def l2_energy(e_data: Tensor, e_negative: Tensor) -> Tensor:
    """mean E(data)^2 + mean E(negative)^2: an anchor for the scale that a bare difference leaves free.

    Args:
        e_data: energies of data (N,), nats.
        e_negative: energies of negatives (M,), nats.

    Returns:
        A scalar, 0 or larger, nats squared.

    Source: Du and Mordatch (2019), the regulariser added to their contrastive loss.

    >>> import torch
    >>> l2_energy(torch.tensor([1.0, -1.0]), torch.tensor([3.0]))  # 1 + 9
    tensor(10.)
    """
    check_energies(e_data=e_data, e_negative=e_negative)
    return e_data.square().mean() + e_negative.square().mean()


def weighted_l2(e_data: Tensor, e_negative: Tensor, *, l2: float) -> Tensor | float:
    """l2 times :func:`l2_energy`, or 0.0 without any work where l2 is 0.

    Raises:
        ValueError: l2 is negative.

    >>> import torch
    >>> weighted_l2(torch.tensor([1.0, -1.0]), torch.tensor([3.0]), l2=0.5)
    tensor(5.)
    """
    l2 = scalar("l2", l2)
    if not 0 <= l2 < math.inf:
        raise ValueError(f"l2 weighs a penalty: expected 0 or larger, got {l2}. A negative weight rewards drift.")
    return l2 * l2_energy(e_data, e_negative) if l2 else 0.0
