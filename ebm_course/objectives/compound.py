r"""The compound objective: a game of an energy with two networks that search for what it should not like.

.. math:: \underbrace{[\Delta(F, y) - E(x, F) + E(x, y)]_+}_{\text{margin-rescaled}}
    + \lambda \underbrace{[E(x, y) - E(x, A)]_+}_{\text{perceptron}}

Theta, the energy's parameters, lowers it; A and F raise it. Truncation at 0 serves the energy: what is far enough away
is left alone. For the networks it is fatal: where they are poor, E(x, F) is high, the bracket is 0, and so is their
gradient. They therefore play without it, and E(x, y), which they cannot change, is then a constant.
It knows energies and costs, no net. With margin or perceptron alone it is the objective of earlier work.
Source: Tu, Pang and Gimpel (2020), Eqs. 4 to 6, Sections 3 and 4.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebm_course.core import Loss
from ebm_course.objectives.terms import check_energies, check_same_shape, energy_terms, scalar

ROUNDING = 1e-3
"""How far below 0 the cost of relaxed tags may come, whose rows sum to 1 only as far as their dtype has digits."""


def compound(
    e_gold: Tensor,
    *,
    e_augmented: Tensor | None = None,
    cost: Tensor | None = None,
    e_test: Tensor | None = None,
    weight: float = 1.0,
    truncate: bool = True,
) -> Loss:
    """mean [cost - E(F) + E(gold)]_+ + weight * mean [E(gold) - E(A)]_+, the loss of the energy (E step).

    Args:
        e_gold: energies of gold tags (N,), nats.
        e_augmented: energies of what F found (N,), nats; None leaves the margin term out.
        cost: how far F is from gold (N,), 0 or larger, nats; given with ``e_augmented``. It keeps its gradient.
        e_test: energies of what A found (N,), nats; None leaves the perceptron term out.
        weight: lambda, 0 or larger.
        truncate: whether each row of each term is cut at 0.

    Returns:
        The loss; terms ``margin_loss`` (l_0 of Section 4.3 where truncated) and ``augmented`` (l_1 = cost - E(F)),
        ``perceptron_loss``, each where its part is given, ``violations`` of the margin, and ``e_data``, ``e_negative``,
        ``gap`` of A where it is given, else of F.

    Raises:
        ValueError: shapes that do not belong together, no term at all, a cost without F, a negative weight or (on a
            CPU) a cost that is negative or NaN.

    >>> gold, found = torch.tensor([1.0, 1.0]), torch.tensor([2.0, 6.0])
    >>> loss = compound(gold, e_augmented=found, cost=torch.tensor([4.0, 4.0]), e_test=torch.tensor([0.5, 3.0]))
    >>> loss.value  # mean of 4 - 2 + 1 and 0, and of 0.5 and 0
    tensor(1.7500)
    """
    check_energies(e_gold=e_gold)
    if (e_augmented is None) != (cost is None) or (e_augmented is None and e_test is None):
        raise ValueError(
            f"a compound loss has F with its cost, A, or both: got "
            f"{', '.join(_given(e_augmented=e_augmented, cost=cost, e_test=e_test)) or 'neither'}. Add what is missing."
        )
    weight = scalar("weight", weight)
    if not 0 <= weight < math.inf:
        raise ValueError(f"the perceptron's weight is finite: expected 0 or larger, got {weight}.")
    value, terms = e_gold.new_zeros(()), dict[str, Tensor]()
    if e_augmented is not None and cost is not None:
        check_same_shape("e_augmented", e_augmented, "e_gold", e_gold)
        check_same_shape("cost", cost, "e_gold", e_gold)
        check_energies(e_augmented=e_augmented, cost=cost)
        if cost.device.type == "cpu" and not bool((cost >= -ROUNDING).all()):  # elsewhere it would wait
            raise ValueError(
                f"a cost says how far F is from gold: expected 0 or larger, got {float(cost.detach().min()):.4g}. "
                f"Pass l1_cost of its tags."
            )
        slack = cost - e_augmented + e_gold  # (N,)
        margin = _mean(slack, truncate)
        value = value + margin
        terms |= energy_terms(e_gold, e_augmented) | {
            "margin_loss": margin.detach(),
            "augmented": (cost - e_augmented).detach().mean(),
            "violations": (slack.detach() > 0).to(e_gold).mean(),
        }
    if e_test is not None:
        check_same_shape("e_test", e_test, "e_gold", e_gold)
        check_energies(e_test=e_test)
        perceptron = _mean(e_gold - e_test, truncate)
        value = value + weight * perceptron
        terms |= energy_terms(e_gold, e_test) | {"perceptron_loss": perceptron.detach()}
    return Loss(value, terms)


def compound_inference(
    e_gold: Tensor,
    *,
    e_augmented: Tensor | None = None,
    cost: Tensor | None = None,
    e_test: Tensor | None = None,
    weight: float = 1.0,
    truncate: bool = False,
) -> Loss:
    """Minus :func:`compound`, the loss of the networks (I step): F raises cost - E(F), A lowers E(A).

    Args:
        e_gold: energies of gold tags (N,), nats; without truncation they add a constant.
        e_augmented, cost, e_test, weight: as of :func:`compound`.
        truncate: True is what earlier work did, and fails without a further loss.

    Returns:
        The loss, negative where the networks succeed; terms as of :func:`compound`.

    Raises:
        ValueError: as :func:`compound`.

    >>> e_test = torch.tensor([5.0], requires_grad=True)
    >>> compound_inference(torch.tensor([1.0]), e_test=e_test).value.backward()
    >>> e_test.grad  # A is pulled down
    tensor([1.])
    >>> e_test.grad = None
    >>> compound_inference(torch.tensor([1.0]), e_test=e_test, truncate=True).value.backward()
    >>> e_test.grad.abs()  # with truncation nothing moves it: it is above gold already
    tensor([0.])
    """
    loss = compound(e_gold, e_augmented=e_augmented, cost=cost, e_test=e_test, weight=weight, truncate=truncate)
    return Loss(-loss.value, loss.terms)


def _mean(slack: Tensor, truncate: bool) -> Tensor:
    return torch.relu(slack).mean() if truncate else slack.mean()


def _given(**parts: Tensor | None) -> list[str]:
    return [name for name, part in parts.items() if part is not None]
