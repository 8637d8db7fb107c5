"""How well chains mix: effective sample size and R-hat of one number along several chains.

Knows numbers by step and chain, not states. Reduce a state to a number first: its energy, a coordinate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebm_course.metrics.inputs import check_real, finite, power_of_two


def mixing(values: Tensor) -> dict[str, float]:
    r"""ESS = T N / tau with tau = 1 + 2 sum_t rho_t, and R-hat = sqrt(var_plus / W) over split chains.

    W is the mean variance within chains, var_plus adds the variance between their means, so chains that sit in
    different places have R-hat well above 1 however calm each of them looks.

    Args:
        values: one number of each state (T, N), T steps by N chains, T >= 8, after the burn-in.

    Returns:
        ``ess``: independent draws these are worth, above T N where neighbours are correlated negatively, and S log10 S
        at most, S = T N without the last step of an odd T: short or alternating chains cannot say more, for the first
        sums rho_0 + rho_1 may already be negative there; ``autocorrelation_time``: tau, in steps, 1 / log10 S or more;
        ``r_hat``: 1 when mixed. NaN where every value is the same.

    Raises:
        ValueError: not (T, N) with N > 0, fewer than 8 steps, or a number that is not finite.

    Source: Gelman et al. (2013), chapter 11; the sum stops as in Geyer (1992), initial monotone sequence; the bound is
    that of Stan's ``compute_effective_sample_size``.

    >>> values = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    >>> round(mixing(values)["r_hat"], 1)  # independent draws
    1.0
    >>> mixing(values + torch.tensor([0.0, 0.0, 5.0, 5.0]))["r_hat"] > 2  # two chains sit somewhere else
    True
    """
    check_real(values=values)
    if values.ndim != 2 or len(values) < 8 or values.shape[1] == 0:
        raise ValueError(
            f"values by step and chain (T, N) with T >= 8 were expected, got shape {tuple(values.shape)}. "
            f"Pass one number for each step of each of N > 0 chains."
        )
    n = len(values) // 2
    halves = finite("values", torch.cat([values[:n], values[n : 2 * n]], dim=1))  # (T // 2, 2 N)
    halves = halves / power_of_two(halves)
    within = halves.var(0).mean()
    total = within * (n - 1) / n + halves.mean(0).var()
    rho = 1 - (within - _autocovariance(halves).mean(1) * n / (n - 1)) / total  # (T // 2,)
    pairs = rho[: n // 2 * 2].view(-1, 2).sum(1)  # neighbours summed: positive and falling for a reversible chain
    positive = torch.cumprod((pairs > 0).to(pairs), 0)
    tau = 2 * (torch.cummin(pairs, 0).values * positive).sum() - 1
    tau = tau.clamp_min(1 / math.log10(halves.numel()))  # a NaN stays one
    return {
        "ess": float(halves.numel() / tau),
        "autocorrelation_time": float(tau),
        "r_hat": float((total / within).sqrt()),
    }


def _autocovariance(x: Tensor) -> Tensor:
    """Biased autocovariances (T, N) of each column at lags 0 to T - 1, by the fast Fourier transform."""
    n = len(x)
    spectrum = torch.fft.rfft(x - x.mean(0), n=2 * n, dim=0)  # padded, so that the ends do not wrap
    return torch.fft.irfft(spectrum.abs().square(), n=2 * n, dim=0)[:n] / n
