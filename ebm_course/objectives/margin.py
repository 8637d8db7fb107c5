"""Margin losses: the gold answer must lie below the others by a stated distance, and not further.

Knows energies of answers. It finds no answers: the most offending one is the caller's search.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebm_course.checks import check_number
from ebm_course.core import Loss
from ebm_course.objectives.terms import check_energies, check_real, check_same_shape, energy_terms


def perceptron(e_gold: Tensor, e_lowest: Tensor) -> Loss:
    """mean max(0, E(gold) - E(lowest)): no margin, so a flat energy is a solution too.

    Args:
        e_gold: energies of the right answers (N,), nats.
        e_lowest: energies of the answers found lowest, the right one included in the search (N,), nats.

    Returns:
        The loss; terms as in :func:`hinge`, ``accuracy`` being the share where nothing was found below the gold.

    Raises:
        ValueError: energies are not (N,).

    Source: LeCun et al. (2006), the generalised perceptron loss. Departure: clipped at 0, so that a search which
    misses the right answer's own low energy does not push that answer up.

    >>> perceptron(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0])).value  # mean of 0 and 2 - 1
    tensor(0.5000)
    """
    loss = hinge(e_gold, e_lowest, margin=0.0)
    right = (e_gold.detach() <= e_lowest.detach()).to(e_gold).mean()
    return Loss(loss.value, {**loss.terms, "accuracy": right})


def hinge(e_gold: Tensor, e_offending: Tensor, *, margin: float) -> Loss:
    """mean max(0, margin + E(gold) - E(offending)): nothing is pushed once the wrong answer is a margin away.

    Args:
        e_gold: energies of the right answers (N,), nats.
        e_offending: energies of the lowest wrong answers (N,), nats.
        margin: the distance asked for, 0 or larger, nats.

    Returns:
        The loss; terms ``e_data``, ``e_negative``, ``gap``, ``accuracy`` (share with E(gold) < E(offending)) and
        ``violations`` (share still pushed).

    Raises:
        ValueError: energies are not (N,), or the margin is negative.

    Source: LeCun et al. (2006), the hinge loss on the most offending incorrect answer.

    >>> loss = hinge(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 0.5]), margin=1.0)
    >>> loss.value, loss.terms["accuracy"]  # mean of 0 and 1 - 0.5: both rows are right, one is not far enough
    (tensor(0.2500), tensor(1.))
    """
    check_energies(e_gold=e_gold, e_offending=e_offending)
    margin = check_number("margin", margin)
    if not 0 <= margin < math.inf:
        raise ValueError(f"a margin is a distance in nats: expected 0 or larger, got {margin}.")
    loss = margin_rescaled(e_gold, e_offending, cost=torch.full_like(e_offending.detach(), margin))
    right = (e_gold.detach() < e_offending.detach()).to(e_gold).mean()
    return Loss(loss.value, {**loss.terms, "accuracy": right})


def margin_rescaled(e_gold: Tensor, e_other: Tensor, *, cost: Tensor) -> Loss:
    """mean max(0, max_k [cost_k + E(gold) - E(other_k)]): the worse an answer, the further away it must lie.

    Args:
        e_gold: energies of the right answers (N,), nats.
        e_other: energies of other answers, (N,) for one each or (N, K) for K each, nats. The right answer may be
            among them, with cost 0.
        cost: how wrong each of them is, of e_other's shape, 0 or larger, nats; it takes no gradient.

    Returns:
        The loss; terms ``e_data``, ``e_negative`` (of the answer that violates most), ``gap``, ``violations``.

    Raises:
        TypeError: energies or costs are no real numbers.
        ValueError: shapes do not belong together, or a cost is negative or NaN (on a CPU; elsewhere the question would
            wait for the device).

    Source: Taskar, Guestrin and Koller (2004); Tsochantaridis et al. (2005), margin rescaling.

    >>> e_other, cost = torch.tensor([[0.5, 2.0]]), torch.tensor([[1.0, 4.0]])
    >>> margin_rescaled(torch.tensor([0.0]), e_other, cost=cost).value  # max of 1 - 0.5 and 4 - 2
    tensor(2.)
    """
    check_energies(e_gold=e_gold)
    check_real(e_other=e_other)
    if e_other.ndim not in (1, 2) or len(e_other) != len(e_gold) or e_other.numel() == 0:
        raise ValueError(
            f"e_other holds one or K energies for each of {len(e_gold)} gold answers: expected shape "
            f"({len(e_gold)},) or ({len(e_gold)}, K), got {tuple(e_other.shape)}."
        )
    check_same_shape("cost", cost, "e_other", e_other)
    if cost.dtype == torch.bool or cost.is_complex():
        raise TypeError(f"a cost says how wrong an answer is: got {cost.dtype}. Pass cost.float() of real numbers.")
    if cost.device.type == "cpu" and not bool((cost >= 0).all()):
        raise ValueError(
            f"a cost says how wrong an answer is: expected 0 or larger, got {int((cost.detach() < 0).sum())} negative "
            f"and {int(cost.isnan().sum())} NaN of {cost.numel()}. Give the right answer 0."
        )
    others, costs = (e_other.reshape(len(e_gold), -1), cost.detach().reshape(len(e_gold), -1))  # (N, K)
    worst = (costs - others.detach()).argmax(1, keepdim=True)  # (N, 1), the answer that violates most
    e_worst, margin = (others.gather(1, worst).squeeze(1), costs.gather(1, worst).squeeze(1))  # (N,)
    slack = (margin + e_gold - e_worst).relu()
    violations = (slack.detach() > 0).to(e_gold).mean()
    return Loss(slack.mean(), {**energy_terms(e_gold, e_worst), "violations": violations})
