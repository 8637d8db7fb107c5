r"""Langevin-like steps through the first layer alone: the gradient of the rest is reused for several inner steps.

With E(x) = g(f(x)), f the first layer, an outer step takes p = g'(f(x)) once; every inner step goes down the inner
product of p and f, whose gradient asks for the first layer only:

.. math:: x \leftarrow x - \varepsilon \, \operatorname{clamp}\bigl(\nabla_x \langle p, f(x) \rangle\bigr)

**What it amounts to.** The first layer of usual nets is affine. Then the gradient of <p, f(x)> is the same at every x,
and N inner steps of ε are one Langevin step of N ε, at a higher cost: M x N steps of pyld are M of ``langevin``, with
every gradient clamped alike. The box makes no difference without noise, for an entry goes one way during the inner
steps. Inner steps differ from longer ones only where the first layer is not affine, or where noise meets the box.

**Why "Langevin-like".** By default there is no noise, as in the published code, so nothing is sampled: x goes
downhill, and its spread is that of the starts. That code also takes, unless its ``sgld_lr`` of 1 is set to 0, one plain
step of that length with the unclamped gradient before the inner ones. It is no part of this sampler: with an affine
layer and nothing clamped it makes the step N ε + 1.
It knows no net and no data.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import box, check_bounds, check_count, check_finite, check_generator, check_number
from ebm_course.core import Energy, Negatives, SplitsFirstLayer, energies_of, energy_grad, frozen


def pyld(
    energy: Energy,
    x0: Tensor,
    *,
    n_outer: int,
    n_inner: int,
    step_size: float,
    noise_std: float = 0.0,
    max_grad_value: float | None = 1.0,
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    with_energy: bool = True,
    generator: torch.Generator,
) -> Negatives:
    """``n_outer`` times: p at x, then ``n_inner`` times x <- x - step_size * clamp(grad <p, f(x)>), then noise.

    Args:
        energy: its ``first_layer`` is f, its ``from_first_layer`` g: a ``Joint`` of a net that has both. One with a
            condition has none: use ``langevin`` with a step of ``n_inner * step_size``, which does the same.
        x0: (N, *S), real-valued; not changed, and clamped only with the first step.
        n_outer: M, passes through the whole net and back.
        n_inner: N, 1 or more, passes through the first layer for each of them.
        step_size: ε of an inner step, above 0.
        noise_std: standard deviation of the noise after the inner steps of an outer one; 0 draws from no law.
        max_grad_value: every entry of an inner gradient is clamped to plus or minus this; None for no limit.
        bounds: low and high; every entry is clamped to them after each inner step, the last time with the noise added.
        with_energy: whether to evaluate E at the end, as in ``langevin``.

    Returns:
        x (N, *S); info, each (N,): ``energy`` at x, unless it was not wanted; ``grad_norm``, the largest norm of a
            whole gradient, unclamped.

    Raises:
        TypeError: the energy has no first layer of its own, or states are integers.
        ValueError: states have no axis but N, the bounds hold no interval, or a number is out of its range.
        FloatingPointError: states at the end, or their energies where wanted, are not finite.

    Source: Yang and Ji (2021), JEM++, and its code, after Zhang et al. (2019), YOPO. Departure: noise is added before
    the last clamping, not after it, so that states end in the box and one inner step is a step of ``langevin``.

    >>> from ebm_course.energies.convnet import ConvNet
    >>> from ebm_course.energies.joint import Joint
    >>> joint, x0 = Joint(ConvNet((1, 8, 8), 10, width=4)), torch.zeros(5, 1, 8, 8)
    >>> generator = torch.Generator().manual_seed(0)
    >>> pyld(joint, x0, n_outer=2, n_inner=5, step_size=0.2, generator=generator).x.shape
    torch.Size([5, 1, 8, 8])
    """
    check_generator(generator, x0)
    check_count("n_outer", n_outer)
    check_count("n_inner", n_inner, least=1)
    check_bounds(bounds)
    step_size, noise_std = check_number("step_size", step_size), check_number("noise_std", noise_std)
    max_grad_value = None if max_grad_value is None else check_number("max_grad_value", max_grad_value)
    _check(x0, step_size, noise_std, max_grad_value)
    if not isinstance(energy, SplitsFirstLayer):
        raise TypeError(
            f"inner steps need an energy with first_layer and from_first_layer: got {type(energy).__name__}. "
            "Use langevin with a step of n_inner * step_size, which is the same for an affine first layer."
        )
    low, high = box(bounds, x0)
    lowest, limit = box(None if max_grad_value is None else (-max_grad_value, max_grad_value), x0)
    x, steepest = x0.detach().clone(), x0.new_zeros(len(x0))
    with frozen(energy):
        for _ in range(n_outer):
            p = _gradient_after_first_layer(energy, x)
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            for i in range(n_inner):
                grad = _gradient_of_first_layer(energy, x, p)
                if i == 0:
                    steepest = torch.maximum(steepest, grad.flatten(1).norm(dim=1))
                x = x - step_size * grad.clamp(lowest, limit)
                x = (x + noise_std * noise if i == n_inner - 1 else x).clamp(low, high)
        with torch.no_grad():
            info = {"energy": energies_of(energy, x)} if with_energy else {}
    lost = ~x.isfinite().flatten(1).all(dim=1)
    seen = info.get("energy", x.new_zeros(len(x))).masked_fill(lost, torch.nan)
    check_finite("the state or its energy after inner steps", seen, "Shorten step_size, or check x0 and the energy.")
    return Negatives(x, info | {"grad_norm": steepest})


def _gradient_after_first_layer(energy: SplitsFirstLayer, x: Tensor) -> Tensor:
    with torch.no_grad():
        h = energy.first_layer(x.clone())
    return energy_grad(energy.from_first_layer, h)[1]


def _gradient_of_first_layer(energy: SplitsFirstLayer, x: Tensor, p: Tensor) -> Tensor:
    return energy_grad(lambda x: (p * energy.first_layer(x)).flatten(1).sum(dim=1), x)[1]


def _check(x0: Tensor, step_size: float, noise_std: float, max_grad_value: float | None) -> None:
    if x0.ndim < 2:
        raise ValueError(f"states have shape (N, *S), got {tuple(x0.shape)}: use x0[:, None] for points on a line.")
    if not x0.is_floating_point():
        raise TypeError(f"a gradient needs real-valued states, got {x0.dtype}: pass images as float32 in the bounds.")
    limit = torch.inf if max_grad_value is None else max_grad_value
    if not (0 < step_size < torch.inf and 0 <= noise_std < torch.inf and limit > 0):  # a NaN fails them all
        raise ValueError(
            f"expected step_size > 0, noise_std >= 0, both finite, and max_grad_value > 0 or None: "
            f"got {step_size}, {noise_std} and {max_grad_value}. Start with 0.2, 0 and 1."
        )
