r"""log Z of a chain and the probability of each tag at each place, exactly, for a batch of different lengths.

.. math:: \alpha_t(j) = u_{t,j} + \log \sum_i e^{\alpha_{t-1}(i) + W_{ij}}, \qquad
    \log Z = \log \sum_i e^{\alpha_T(i) + W_{i,\text{end}}}, \qquad
    p(y_t = j \mid x) = \frac{\partial \log Z}{\partial u_{t,j}}

The sum over i is a matrix product: with m the largest of alpha and c_j the largest of column j of W,

.. math:: \log \sum_i e^{\alpha(i) + W_{ij}} = m + c_j + \log \sum_i e^{\alpha(i) - m} e^{W_{ij} - c_j}

where the term of the largest alpha is at least e^-R with R the range of W within a column: as long as that is well
above the smallest number, what underflows is far below the rounding of the sum. Where R is larger, K^2 logarithms are
added the long way. It knows scores, no net. Source: Lafferty, McCallum and Pereira (2001).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.ambient import recording_gradients
from ebm_course.checks import at_least_single, check_finite
from ebm_course.sentence_checks import check_chain

MAX_RANGE = {torch.float32: 60.0, torch.float64: 600.0}
"""Largest range of W within a column, nats, with which sums are matrix products: e^-87 and e^-708 are the smallest."""


def log_partition(unary: Tensor, transitions: Tensor, mask: Tensor | None = None) -> Tensor:
    """log Z (N,) = log sum_y exp(-E(x, y)), differentiable; linear in L; in float32 at least, autocast or not.

    Args:
        unary: scores (N, L, K), nats, as of :meth:`Spen.unary`; not changed.
        transitions: W (K + 1, K + 1), nats; row K holds the scores of first tags, column K those of last tags.
        mask: (N, L) bool, True from position 0 on; None where all are real.

    Raises:
        ValueError: shapes do not belong together.
        FloatingPointError: log Z is not finite (on a CPU; elsewhere the question would wait for the device).

    >>> log_partition(torch.zeros(1, 3, 4), torch.zeros(5, 5)).exp().round()  # 4^3 sequences of energy 0
    tensor([64.])
    """
    check_chain(unary, transitions, mask)
    with torch.autocast(unary.device.type, enabled=False):  # sums of many tokens leave 16 bits no digit
        log_z = _log_partition(at_least_single(unary), at_least_single(transitions), mask)
    if log_z.device.type == "cpu":
        _check_finite(log_z)
    return log_z


def _log_partition(unary: Tensor, transitions: Tensor, mask: Tensor | None) -> Tensor:
    k = unary.shape[2]
    inside = transitions[:k, :k]
    highest = inside.detach().amax(dim=0)  # (K,), c
    spread = (highest - inside.detach()).max()
    as_product = bool(spread <= MAX_RANGE.get(unary.dtype, 0.0))  # asks the device once
    factor = (inside - highest).exp() if as_product else inside
    first, *others = unary.unbind(dim=1)  # a slice's gradient would fill all L positions anew: L^2 in all
    alpha = first + transitions[k, :k]
    for t, scores in enumerate(others, start=1):
        if as_product:
            top = alpha.detach().amax(dim=1, keepdim=True)
            summed = ((alpha - top).exp() @ factor).log() + (top + highest)
        else:
            summed = (alpha[:, :, None] + factor).logsumexp(dim=1)
        following = summed + scores
        alpha = following if mask is None else torch.where(mask[:, t, None], following, alpha)
    return (alpha + transitions[:k, k]).logsumexp(dim=1)


def _check_finite(log_z: Tensor) -> None:
    check_finite("log Z of a chain", log_z, "Look for the scores or transitions that diverged.")


def marginals(unary: Tensor, transitions: Tensor, mask: Tensor | None = None) -> Tensor:
    """p(y_t = j | x), (N, L, K): the gradient of log Z in the scores; detached, 0 at pads.

    Args, Raises: as of :func:`log_partition`, and FloatingPointError where log Z is not finite.

    >>> marginals(torch.tensor([[[0.0, 0.0], [3.0, 3.0]]]), torch.zeros(3, 3)).tolist()
    [[[0.5, 0.5], [0.5, 0.5]]]
    """
    check_chain(unary, transitions, mask)
    with recording_gradients(), torch.autocast(unary.device.type, enabled=False):
        scores = at_least_single(unary.detach()).clone().requires_grad_()
        log_z = log_partition(scores, transitions.detach(), mask)
        _check_finite(log_z)
        (p,) = torch.autograd.grad(log_z.sum(), scores)
    return p
