"""Data against negatives as a classification with the logit -E. Knows two sets of energies, nothing else."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import softplus

from ebm_course.core import Loss
from ebm_course.objectives.regularizers import weighted_l2
from ebm_course.objectives.terms import check_energies, energy_terms, scalar


def logistic(e_data: Tensor, e_negative: Tensor, *, l2: float = 0.0, ratio: float = 1.0) -> Loss:
    """mean softplus(E(data)) + ratio * mean softplus(-E(negative)) + l2 (mean E(data)^2 + mean E(negative)^2).

    The cross-entropy of a classifier that calls x data with probability sigmoid(-E(x)). Unlike the bare difference
    it stops pushing where a row is already on its side, and it fixes the level: E = 0 is the border.

    Args:
        e_data: energies of data (N,), nats.
        e_negative: energies of negatives (M,), nats.
        l2: weight of the anchor on the scale, 0 or larger, 1 / nats.
        ratio: weight of the negatives, larger than 0; 1 weighs both sides alike whatever N and M are.

    Returns:
        The loss; terms ``e_data``, ``e_negative``, ``gap``, ``accuracy`` (each side weighed as in the loss).

    Raises:
        ValueError: energies are not (N,), l2 is negative, or the ratio is not positive.

    Source: the discriminator loss of Goodfellow et al. (2014) with the logit -E. Departure: a sum of two means, which
    is twice the mean cross-entropy of a balanced batch.

    >>> import torch
    >>> round(float(logistic(torch.zeros(2), torch.zeros(3)).value), 3)  # a flat energy: 2 log 2
    1.386
    >>> loss = logistic(torch.tensor([-9.0, -9.0]), torch.tensor([9.0, -9.0]))  # one negative on the wrong side
    >>> round(float(loss.value), 3), float(loss.terms["accuracy"])  # it alone costs: 9 / 2
    (4.5, 0.75)
    """
    check_energies(e_data=e_data, e_negative=e_negative)
    ratio = scalar("ratio", ratio)
    if not 0 < ratio < math.inf:
        raise ValueError(f"ratio is negatives per datum: expected a number larger than 0, got {ratio}.")
    value = softplus(e_data).mean() + ratio * softplus(-e_negative).mean()
    data_right = (e_data.detach() < 0).to(e_data).mean()
    negative_right = (e_negative.detach() > 0).to(e_data).mean()
    accuracy = (data_right + ratio * negative_right) / (1 + ratio)
    terms = {**energy_terms(e_data, e_negative), "accuracy": accuracy}
    return Loss(value + weighted_l2(e_data, e_negative, l2=l2), terms)
