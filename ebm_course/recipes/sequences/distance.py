r"""How far negatives lie from the data under an energy, in nats. It knows no net and no task.

.. math:: d(x') = E(x') - \frac{1}{B} \sum_{i=1}^{B} E(x_i) = \frac{1}{B} \sum_i \log \frac{p(x_i)}{p(x')},
    \qquad p \propto e^{-E}

The partition function cancels: a negative at distance d is e^d times less likely than rows of data are on average. At 0
it passes for data; far beyond, where the logistic loss has a slope of e^{-d}, it teaches nothing any more. Below 0 the
attack has won. A negative is *near* where it is at most ten times less likely than the data.
Source: the course's own.
"""

from __future__ import annotations

import math

from torch import Tensor

NEAR = math.log(10)
"""Nats above the data up to which a negative is near them: ten times less likely."""


def distances(e_data: Tensor, e_negative: Tensor) -> Tensor:
    """d (..., M) of negatives with energies (..., M) from data with energies (..., B), detached.

    >>> import torch
    >>> distances(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 5.0, 0.0]))
    tensor([ 0.,  3., -2.])
    """
    return (e_negative - e_data.mean(dim=-1, keepdim=True)).detach()


def near(distance: Tensor, *, within: float = NEAR) -> Tensor:
    """The share (...) of distances (..., M) of at most ``within`` nats.

    >>> import torch
    >>> round(float(near(torch.tensor([0.0, 3.0, -2.0]))), 3)
    0.667
    """
    return (distance <= within).to(distance).mean(dim=-1)
