r"""Contrast of a pair with many other rows: the exact softmax over one positive and M negatives, and its NCE.

.. math:: L = -\log \frac{e^{s^+ / \tau}}{e^{s^+ / \tau} + \sum_j e^{s_j / \tau}}, \qquad
    L_{NCE} = -\log \frac{P^+}{P^+ + m/n} - \sum_j \log \frac{m/n}{P_j + m/n}, \quad P = e^{s / \tau} / Z

With E = -s / tau the first is ``ranking_nce`` under a constant q, the second ``nce`` against a uniform draw of the n
rows of a memory bank, whose Z is no parameter: it is estimated on the first batch and then stays as it is. All is taken
in logarithms, so that a small tau overflows nowhere. It knows similarities; no net and no bank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from ebm_course.checks import at_least_single, check_count, check_finite, check_number, check_tensors
from ebm_course.core import Loss
from ebm_course.objectives.terms import check_energies, scalar


def info_nce(positive: Tensor, negatives: Tensor, *, mask: Tensor | None = None, temperature: float = 0.07) -> Loss:
    """-mean log softmax of the positive among itself and its negatives.

    Args:
        positive: similarities (N,), cosines in [-1, 1] where features have norm 1.
        negatives: similarities (N, M).
        mask: bool (N, M), True where a negative counts; None: all do. A row without any costs nothing. What does not
            count is finite all the same: a NaN or an infinity there is one of the loss, for to fill it in would take
            longer than all else that the mask does.
        temperature: tau, larger than 0.

    Returns:
        The loss; terms ``positive`` and ``negative``, mean similarities. Sums are taken in float32 at least.

    Raises:
        ValueError: shapes do not belong together, or the temperature is not positive.

    Source: Oord et al. (2018), Eq. 4; Qiu, Zhang and Zhou, Eq. 2. Departure: their denominator leaves the positive out,
    though it names it in the set that is contrasted; with it the loss is a cross-entropy, 0 at best.

    >>> round(float(info_nce(torch.zeros(1), torch.zeros(1, 3)).value), 3)  # one of four: log 4
    1.386
    """
    temperature = _check(positive, negatives, mask, temperature)
    positive, negatives = at_least_single(positive), at_least_single(negatives)  # sums over a bank leave float16
    counts = _counts(negatives, mask)
    own, others = positive / temperature, negatives / temperature
    if counts is not None:  # so low that no softmax sees what does not count
        others = torch.add(others, counts - 1, alpha=torch.finfo(others.dtype).max)
    value = (torch.cat([own[:, None], others], dim=1).logsumexp(dim=1) - own).mean()
    return Loss(value, _terms(positive, negatives, counts))


def frozen_nce(
    positive: Tensor,
    negatives: Tensor,
    *,
    normaliser: Normaliser,
    n_rows: int,
    mask: Tensor | None = None,
    temperature: float = 0.07,
) -> Loss:
    """mean over rows of softplus(-D) of the positive and the sum of softplus(D) of negatives, D = log(P n / m).

    Args:
        positive, negatives, mask, temperature: as in :func:`info_nce`; m is the number of negatives of a row.
        normaliser: of this direction of the contrast; changed by its first batch.
        n_rows: n, rows that negatives are drawn from, 1 or more.

    Returns:
        The loss; terms as those of :func:`info_nce`.

    Raises:
        ValueError: as :func:`info_nce`, n_rows is below 1, or the temperature takes a gradient: log Z, which is not
            estimated again, belongs to one temperature.
        FloatingPointError: log Z of the first batch is not finite.

    Source: Wu et al. (2018), Eqs. 3-7; Tian, Krishnan and Isola (2020), whose code freezes Z. Departure: in logarithms,
    which needs none of their 1e-7 beside the ratio.

    >>> options = {"normaliser": Normaliser(torch.device("cpu")), "n_rows": 4}
    >>> loss = frozen_nce(torch.zeros(1), torch.zeros(1, 4), **options)  # P = 1/n everywhere, and m = n
    >>> round(float(loss.value), 3)  # log 5 + 4 log(5 / 4)
    2.502
    """
    temperature = _check(positive, negatives, mask, temperature)
    positive, negatives = at_least_single(positive), at_least_single(negatives)
    check_constant(temperature)
    check_count("n_rows", n_rows, least=1)
    counts = _counts(negatives, mask)
    own = positive / temperature
    log_z = normaliser.log_z(own, negatives / temperature if not normaliser.known else negatives, mask, n_rows)
    m = negatives.new_full((len(own),), negatives.shape[1]) if counts is None else counts.sum(dim=1)
    shift = log_z + m.log() - math.log(n_rows)  # (N,), -inf where nothing counts
    of_negatives: Tensor = _Softpluses.apply(negatives, shift, counts, temperature)
    return Loss((softplus(shift - own) + of_negatives).mean(), _terms(positive, negatives, counts))


class Normaliser:
    """log Z of a contrast: n times the mean of e^(s / tau) over the first batch that has negatives, then unchanged.

    Args:
        device: of log Z.
        gather: rows of all processes from those of one, where several share a batch, such as ``Run.gather``.

    >>> normaliser = Normaliser(torch.device("cpu"))
    >>> round(float(normaliser.log_z(torch.zeros(1), torch.zeros(1, 2), None, n_rows=8).exp()), 3)
    8.0
    >>> round(float(normaliser.log_z(torch.ones(1), torch.ones(1, 2), None, n_rows=8).exp()), 3)
    8.0
    """

    def __init__(self, device: torch.device, *, gather: Callable[[Tensor], Tensor] = lambda x: x):
        self.gather = gather
        dtype = torch.promote_types(torch.get_default_dtype(), torch.float32)
        self.value, self.known = torch.zeros((), device=device, dtype=dtype), False

    @torch.no_grad()
    def log_z(self, positive: Tensor, negatives: Tensor, mask: Tensor | None, n_rows: int) -> Tensor:
        """log Z (); changes it until it is known, and waits for the device till then alone.

        Args:
            positive, negatives: s / tau, (N,) and (N, M).
            mask: of negatives; None: all count.
            n_rows: n.
        """
        if self.known:
            return self.value
        mask = torch.ones_like(negatives, dtype=torch.bool) if mask is None else mask
        each = torch.cat([positive, negatives.masked_fill(~mask, -torch.inf).flatten()])
        n_negatives = mask.sum().to(each.dtype)
        total, n, n_negatives = self.gather(
            torch.stack([each.logsumexp(dim=0), len(positive) + n_negatives, n_negatives])[None]
        ).unbind(dim=1)
        estimate = total.logsumexp(dim=0) - n.sum().log() + math.log(n_rows)
        check_finite("log Z of a contrast", estimate, "Lower the rate, or look for the similarities that diverged.")
        self.value, self.known = estimate.to(self.value.dtype), bool(n_negatives.any())
        return self.value

    def state_dict(self) -> dict[str, Any]:
        """log Z, and whether it is known."""
        return {"value": self.value, "known": self.known}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises:
            ValueError: it is the state of something else.
            FloatingPointError: log Z is not finite.
        """
        given = state.keys() if isinstance(state, Mapping) else set[str]()
        if missing := self.state_dict().keys() - given:
            raise ValueError(f"this is no state of a normaliser: {', '.join(sorted(missing))} missing.")
        value = state["value"]
        if not isinstance(value, Tensor) or value.shape != () or not value.is_floating_point():
            got = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise ValueError(f"log Z is a tensor () of a real number: got {got}. Pass state_dict().")
        if not isinstance(state["known"], bool):
            raise ValueError(f"log Z is known or not, True or False: got {state['known']!r:.60}. Pass state_dict().")
        check_finite("log Z of a contrast", value, "Take a state from before it diverged.")
        self.value, self.known = value.detach().to(self.value.device).clone(), state["known"]


class _Softpluses(torch.autograd.Function):
    """sum over m of counts * softplus(s / tau - shift), (N,), with one buffer of its own for the gradient."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, shift: Tensor, counts: Tensor | None, temperature: float) -> Tensor:
        x = (scores / temperature).sub_(shift.clamp_min(torch.finfo(shift.dtype).min)[:, None])
        values = softplus(x)
        slopes = x.sigmoid_()
        if counts is not None:
            values.mul_(counts)
            slopes.mul_(counts)
        ctx.save_for_backward(slopes)
        ctx.temperature = temperature
        return values.sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * (grads[0] / ctx.temperature)[:, None], None, None, None


def check_constant(temperature: Any) -> None:
    """Refuse a temperature that is learned: negatives would hand it no gradient, and a frozen log Z would not follow.

    >>> check_constant(0.07)
    """
    if isinstance(temperature, Tensor) and temperature.requires_grad:
        raise ValueError(
            "a frozen normaliser belongs to one temperature: expected a number, got a tensor that requires a gradient. "
            "Pass float(temperature), or learn it with info_nce."
        )


def _counts(negatives: Tensor, mask: Tensor | None) -> Tensor | None:
    """1 where a negative counts and 0 elsewhere, as numbers: to multiply and to add costs far less than to fill in."""
    return None if mask is None else mask.to(negatives.dtype)


def _terms(positive: Tensor, negatives: Tensor, counts: Tensor | None) -> dict[str, Tensor]:
    own, others = positive.detach(), negatives.detach()
    mean = (
        others.mean() if counts is None else torch.dot(others.flatten(), counts.flatten()) / counts.sum().clamp_min(1)
    )
    return {"positive": own.mean(), "negative": mean}


def _check(positive: Tensor, negatives: Tensor, mask: Tensor | None, temperature: float) -> float:
    """The temperature as a number or a tensor (), once all is as it should be."""
    check_energies(positive=positive)
    check_tensors(negatives=negatives)
    fits = negatives.ndim == 2 and len(negatives) == len(positive) and negatives.shape[1] > 0
    if not fits or not negatives.is_floating_point():
        raise ValueError(
            f"negatives holds M > 0 real similarities for each of {len(positive)} rows: expected shape "
            f"({len(positive)}, M), got {tuple(negatives.shape)} of {negatives.dtype}. Pass anchors @ rows.T."
        )
    if mask is not None:
        check_tensors(mask=mask)
    if mask is not None and (mask.shape != negatives.shape or mask.dtype != torch.bool):
        raise ValueError(
            f"the mask says which negatives count: expected bool {tuple(negatives.shape)}, got {mask.dtype} "
            f"{tuple(mask.shape)}. Pass MemoryBank.negatives_of(labels)."
        )
    if not 0 < check_number("temperature", temperature) < math.inf:
        raise ValueError(f"temperature: expected a number larger than 0, got {temperature}. The default is 0.07.")
    return scalar("temperature", temperature)
