r"""Importance resampling: from each group of n draws of q keep one, chosen by its weight.

.. math:: w_i = e^{-E(x_i)} \;\text{ for } p \propto q \, e^{-E}, \qquad
    w_i = e^{-E(x_i)} / q(x_i) \;\text{ for } p \propto e^{-E}

As n grows the law of the draw tends to p; for any n it cannot leave what q has drawn. The effective sample size says
how many of the n draws count. It knows no model and no task.
Source: Deng et al. (2020); effective sample size: Kish (1965).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebm_course.checks import at_least_single, check_count, check_finite, check_generator
from ebm_course.core import Energy, Negatives, energies_of, frozen
from ebm_course.samplers.categorical import draw_categorical


@torch.no_grad()
def resampling(
    energy: Energy, x0: Tensor, *, group_size: int, log_q: Tensor | None = None, generator: torch.Generator
) -> Negatives:
    """x = x_i with probability w_i / sum_j w_j, one draw from each group of ``group_size`` rows.

    Args:
        energy: energies; called once with all M rows. The groups are its chains: row m belongs to group m // n.
        x0: draws of q (M, *S), M = N n, the rows of a group one after another; not changed.
        group_size: n, 1 or more; 1 returns the draws of q.
        log_q: their log-probabilities (M,), where E is the whole energy; None where E corrects q (residual energy).

    Returns:
        x (N, *S); info, each (N,): ``energy`` at x; ``ess``, (sum w)^2 / sum w^2 of the group, 1 to n;
        ``log_mean_weight``, an estimate of log Z of e^-E (of log E_q[e^-E] for a residual energy), low on average.

    Raises:
        TypeError: ``log_q`` is no tensor of real numbers.
        ValueError: the rows do not make whole groups, or ``log_q`` has another shape.
        FloatingPointError: an energy is NaN or minus infinity, or a whole group has energy plus infinity.

    >>> x0 = torch.tensor([[0], [1]]).repeat(3, 1)  # three groups of two, uniform: q = 1/2 each
    >>> draws = {"log_q": torch.full((6,), 0.5).log(), "generator": torch.Generator().manual_seed(0)}
    >>> kept = resampling(lambda x: x[:, 0].float(), x0, group_size=2, **draws)
    >>> kept.x.shape, kept.info["log_mean_weight"].exp()  # Z = e^0 + e^-1
    (torch.Size([3, 1]), tensor([1.3679, 1.3679, 1.3679]))
    """
    check_generator(generator, x0)
    m = len(x0)
    check_count("group_size", group_size, least=1)
    if m % group_size:
        raise ValueError(f"{m} rows do not make groups of {group_size}: expected a multiple. Draw more, or drop rows.")
    if log_q is not None and (not isinstance(log_q, Tensor) or log_q.is_complex()):
        got = f"a tensor of {log_q.dtype}" if isinstance(log_q, Tensor) else f"a {type(log_q).__name__}"
        raise TypeError(f"log_q is a tensor of real numbers: got {got}. Pass the log_q of the draws.")
    if log_q is not None and log_q.shape != (m,):
        raise ValueError(f"log_q holds one number a row: expected ({m},), got {tuple(log_q.shape)}.")
    with frozen(energy):
        e = energies_of(energy, x0.clone()).view(-1, group_size)  # (N, n); an energy may work in place
    log_w = -at_least_single(e)
    if log_q is not None:
        log_q = at_least_single(log_q).view_as(e)
        log_w = log_w - log_q.masked_fill(log_q.isinf(), torch.nan)  # no draw has such a log q
    chosen = draw_categorical(-log_w, generator=generator)
    log_sum = log_w.logsumexp(dim=1)
    check_finite("the weight of a group", log_sum, "Check the energy and log_q at the draws of q.")
    rows = torch.arange(len(e), device=x0.device)
    info = {
        "energy": e[rows, chosen],
        "ess": (2 * log_sum - (2 * log_w).logsumexp(dim=1)).exp(),
        "log_mean_weight": log_sum - math.log(group_size),
    }
    return Negatives(x0.reshape(len(e), group_size, *x0.shape[1:])[rows, chosen], info)
