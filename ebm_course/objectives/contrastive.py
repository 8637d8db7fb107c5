"""The bare difference of energies: down on data, up on negatives. Knows two sets of energies, nothing else."""

from __future__ import annotations

from torch import Tensor

from ebm_course.core import Loss
from ebm_course.objectives.regularizers import weighted_l2
from ebm_course.objectives.terms import check_energies, energy_terms


def contrastive(e_data: Tensor, e_negative: Tensor, *, l2: float = 0.0) -> Loss:
    """mean E(data) - mean E(negative) + l2 (mean E(data)^2 + mean E(negative)^2).

    With negatives drawn from the model its gradient is the gradient of the negative log-likelihood; its value is no
    likelihood and may be negative. With l2 = 0 nothing holds the scale, so energies can drift without bound.

    Args:
        e_data: energies of data (N,), nats.
        e_negative: energies of negatives (M,), nats.
        l2: weight of the anchor on the scale, 0 or larger, 1 / nats.

    Returns:
        The loss; terms ``e_data``, ``e_negative``, ``gap``.

    Raises:
        ValueError: energies are not (N,), or l2 is negative.

    Source: Yin (2023), "Learning locally and globally optimized sequence structure via adversarial training",
    Algorithm 1, lines 17-18; with samples of the model, Eq. 3. Departure: means where line 18 has sums, which is a
    factor N in the learning rate; the anchor l2 is an option that the paper does not have.

    >>> import torch
    >>> e_data, e_negative = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 3.0])
    >>> contrastive(e_data, e_negative).value  # 0 - 2
    tensor(-2.)
    >>> contrastive(e_data, e_negative, l2=0.5).value  # -2 + 0.5 (0 + 5)
    tensor(0.5000)
    """
    check_energies(e_data=e_data, e_negative=e_negative)
    value = e_data.mean() - e_negative.mean()
    return Loss(value + weighted_l2(e_data, e_negative, l2=l2), energy_terms(e_data, e_negative))
