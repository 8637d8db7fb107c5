"""Penalties added to a loss: energies far from zero, and energies that are steep at the data.

They return a bare scalar, for the caller to weigh: ``loss.value + 0.1 * gradient_penalty(grad)``.
"""

from __future__ import annotations

from torch import Tensor

from ebm_course.objectives.terms import check_energies


def l2_energy(e_data: Tensor, e_negative: Tensor) -> Tensor:
    """mean E(data)^2 + mean E(negative)^2: an anchor for the scale that a bare difference leaves free.

    Args:
        e_data: energies of data (N,), nats.
        e_negative: energies of negatives (M,), nats.

    Returns:
        A scalar, 0 or larger, nats squared.

    Source: Du and Mordatch (2019), the regulariser added to their contrastive loss.
    """
    check_energies(e_data=e_data, e_negative=e_negative)
    return e_data.square().mean() + e_negative.square().mean()


def weighted_l2(e_data: Tensor, e_negative: Tensor, *, l2: float) -> Tensor | float:
    """l2 times :func:`l2_energy`, or 0.0 without any work where l2 is 0.

    Raises:
        ValueError: l2 is negative.
    """
    if l2 < 0:
        raise ValueError(f"l2 weighs a penalty: expected 0 or larger, got {l2}. A negative weight rewards drift.")
    return l2 * l2_energy(e_data, e_negative) if l2 else 0.0


def gradient_penalty(grad: Tensor) -> Tensor:
    """mean over rows of |dE/dx|^2, the squared slope of the energy at given states.

    Args:
        grad: gradients of the energy (N, *S), from ``core.energy_grad(..., create_graph=True)`` so that the penalty
            reaches the parameters.

    Returns:
        A scalar, 0 or larger, nats squared per unit of x squared.

    Raises:
        ValueError: no rows, or no axis of states.

    Source: Mescheder, Geiger and Nowozin (2018), the penalty R1 at real data. Departure: without their factor 1/2,
    which belongs to the weight.
    """
    if grad.ndim < 2 or len(grad) == 0:
        raise ValueError(f"grad holds one gradient a row: expected shape (N, *S) with N > 0, got {tuple(grad.shape)}.")
    return grad.flatten(1).square().sum(1).mean()
