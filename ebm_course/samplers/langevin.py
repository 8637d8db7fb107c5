r"""Langevin steps: roll downhill and be shaken, so that the states follow p = exp(-E) / Z up to a known bias.

.. math:: x \leftarrow x - \varepsilon \nabla E(x) + \sigma \, \xi, \quad \xi \sim \mathcal N(0, I), \;
    \sigma^2 = 2 \varepsilon

There is no acceptance step, so the stationary law is not quite p. For a Gaussian of variance v one step is the
autoregression x' = (1 - ε / v) x + σ ξ, whose stationary variance is σ^2 / (1 - (1 - ε / v)^2): with σ^2 = 2 ε that
is v / (1 - ε / (2 v)), too wide by a factor that tends to 1 as ε tends to 0; at ε >= 2 v the chain diverges.

Papers on images write α / 2 for the step and α for the variance of the noise: that is ε = α / 2 with the noise tied to
it as above. What they run unties the two, and then clips gradients and clamps pixels: options here, off by default.
It knows no model and no data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebm_course.checks import box, check_bounds, check_count, check_finite, check_generator, check_number
from ebm_course.core import Energy, Negatives, energies_of, frozen
from ebm_course.samplers.gradients import chains_at_once, gradients_of


def langevin(
    energy: Energy,
    x0: Tensor,
    *,
    n_steps: int,
    step_size: float,
    noise_std: float | None = None,
    max_grad_norm: float | None = None,
    max_grad_value: float | None = None,
    bounds: tuple[float, float] | None = None,
    max_rows: int | None = None,
    keep_path: bool = False,
    with_energy: bool = True,
    generator: torch.Generator,
) -> Negatives:
    """x <- x - step_size * grad E(x) + noise_std * xi, ``n_steps`` times, all chains at once.

    Args:
        energy: energies of real-valued states.
        x0: (N, *S), real-valued; not changed.
        step_size: ε, above 0, squared unit of x per nat.
        noise_std: σ, unit of x; by default sqrt(2 ε), the only choice that samples p. Less noise samples a colder
            density, about exp(-(2 ε / σ^2) E): the usual shortcut for images, where ε = 1 and σ = 0.01.
        max_grad_norm: gradients of a chain with a larger norm are scaled down to it. Changes the law.
        max_grad_value: every entry of the gradient is clamped to plus or minus this, before any norm. Changes the law.
        bounds: low and high; every entry of the states is clamped to them after each step, x0 is not. The law is then
            not p on the box: what would leave it piles up on its faces.
        max_rows: chains whose gradient is taken at once, where the energy ``can_select`` them; by default so many that
            on a CPU the activations of a small net stay in its cache (``chains_at_once``), and all elsewhere. Same law.
        keep_path: return every state visited.
        with_energy: whether to evaluate E at the end, one more pass forward, which training on the states does without.

    Returns:
        x (N, *S); info, each (N,): ``energy`` at x, unless it was not wanted; ``grad_norm``, the largest met on the
            way, before scaling.

    Raises:
        TypeError: integer states.
        ValueError: states have no axis but N, the step size, the largest norm or value or ``max_rows`` is not positive,
            the bounds hold no interval, the noise or number of steps is negative, or one of these is no number; a NaN
            is refused as well.
        FloatingPointError: states at the end, or their energies where wanted, are not finite, as when x0 is not or a
            step is too long, or a norm to be scaled down was infinite.

    Source: Parisi (1981); Welling and Teh (2011), whose step is 2 ε here. Departure: whole gradients and a
    fixed step; ``noise_std`` apart from ``step_size`` as in Grathwohl et al. (2020), JEM.

    >>> generator = torch.Generator().manual_seed(0)
    >>> x0 = torch.zeros(10_000, 1)
    >>> chains = langevin(lambda x: x.square().sum(dim=1) / 2, x0, n_steps=50, step_size=0.1, generator=generator)
    >>> chains.x.shape, bool((chains.x.var() - 1 / (1 - 0.1 / 2)).abs() < 0.075)  # 5 standard errors
    (torch.Size([10000, 1]), True)
    """
    check_generator(generator, x0)
    step_size, noise_std, max_grad_norm, max_grad_value = checked(
        x0,
        n_steps=n_steps,
        step_size=step_size,
        noise_std=noise_std,
        max_grad_norm=max_grad_norm,
        max_grad_value=max_grad_value,
        bounds=bounds,
    )
    max_rows = chains_at_once(max_rows, x0)
    x, path = x0.detach().clone(), [x0.detach()]
    steepest = x0.new_zeros(len(x0))
    with frozen(energy):
        for _ in range(n_steps):
            grad = gradients_of(energy, x, max_rows)
            norm = grad.flatten(1).norm(dim=1)
            steepest = torch.maximum(steepest, norm)
            if max_grad_value is not None:
                grad = grad.clamp(*box((-max_grad_value, max_grad_value), x))
            if max_grad_norm is not None:
                norm = norm if max_grad_value is None else grad.flatten(1).norm(dim=1)
                scale = (max_grad_norm / norm.masked_fill(norm.isinf(), torch.nan)).clamp_max(1)
                grad = grad * scale.view(-1, *[1] * (x.ndim - 1))
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = x - step_size * grad + noise_std * noise
            if bounds is not None:
                x = x.clamp(*box(bounds, x))
            if keep_path:
                path.append(x)
        with torch.no_grad():
            info = {"energy": energies_of(energy, x)} if with_energy else {}
    lost = ~x.isfinite().flatten(1).all(dim=1)  # some energies are finite at a NaN
    seen = info.get("energy", x.new_zeros(len(x))).masked_fill(lost, torch.nan)
    remedy = "set max_grad_norm" if max_grad_norm is None else "lower max_grad_norm"
    check_finite("the state or its energy after Langevin steps", seen, f"Shorten step_size, {remedy}, or check x0.")
    return Negatives(x, info | {"grad_norm": steepest}, path=torch.stack(path) if keep_path else None)


def checked(
    x0: Tensor,
    *,
    n_steps: int,
    step_size: float,
    noise_std: float | None = None,
    max_grad_norm: float | None = None,
    max_grad_value: float | None = None,
    bounds: tuple[float, float] | None = None,
) -> tuple[float, float, float | None, float | None]:
    """Step size, noise and limits of :func:`langevin` as numbers, refused as there; for what goes before its steps.

    >>> checked(torch.zeros(1, 2), n_steps=1, step_size=0.5)
    (0.5, 1.0, None, None)
    """
    if x0.ndim < 2:
        raise ValueError(f"states have shape (N, *S), got {tuple(x0.shape)}: use x0[:, None] for points on a line.")
    if not x0.is_floating_point():
        raise TypeError(f"a gradient needs real-valued states, got {x0.dtype}: pass one-hot rows (N, L, V).")
    check_count("n_steps", n_steps)
    check_bounds(bounds)
    step_size = check_number("step_size", step_size)  # a tensor's graph would follow the states
    noise_std = math.sqrt(2 * max(step_size, 0)) if noise_std is None else check_number("noise_std", noise_std)
    max_grad_norm = None if max_grad_norm is None else check_number("max_grad_norm", max_grad_norm)
    max_grad_value = None if max_grad_value is None else check_number("max_grad_value", max_grad_value)
    limits = [torch.inf if limit is None else limit for limit in (max_grad_norm, max_grad_value)]
    if not (0 < step_size < torch.inf and 0 <= noise_std < torch.inf and all(x > 0 for x in limits)):  # a NaN fails all
        raise ValueError(
            f"expected step_size > 0, noise_std >= 0, both finite, max_grad_norm and max_grad_value > 0 or None: got "
            f"{step_size}, {noise_std}, {max_grad_norm} and {max_grad_value}. Start with a step of 0.01 and no other."
        )
    return step_size, noise_std, max_grad_norm, max_grad_value
