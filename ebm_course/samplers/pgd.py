r"""Projected gradient descent: the lowest energy that a few steps find in a small ball around each state.

.. math:: x \leftarrow \Pi \bigl[ x - \alpha \, u(\nabla E(x)) \bigr], \qquad
    u(g) = \operatorname{sign} g \;(L_\infty), \quad u(g) = g / \|g\|_2 \;(L_2)

where u(g) is the direction in which a linear E falls fastest per unit of the norm. An attack is a choice of the energy:
downhill in log p(y | x) of the true label y makes a classifier wrong, downhill in -log p(t | x) makes it say t.
It knows no classifier and no data.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ebm_course.checks import box, check_bounds, check_count, check_finite, check_generator, check_number
from ebm_course.core import Energy, Negatives, energies_of, frozen
from ebm_course.samplers.balls import in_unit_ball, length, signs, unit
from ebm_course.samplers.gradients import chains_at_once, gradients_of


def pgd(
    energy: Energy,
    x0: Tensor,
    *,
    radius: float,
    n_steps: int,
    step_size: float | None = None,
    norm: Literal["linf", "l2"] = "linf",
    random_start: bool = True,
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    max_rows: int | None = None,
    keep_path: bool = False,
    with_energy: bool = True,
    generator: torch.Generator,
) -> Negatives:
    """x <- projection of x - step_size * u(grad E(x)), ``n_steps`` times, all chains at once.

    In the maximum norm ball and box are intervals, entry by entry, and the result is the nearest point of both. In the
    Euclidean norm x is scaled onto the ball and then clamped to the box. As x0 is in the box, clamping only brings x
    nearer to x0, so the result is in both; where a face is met it is not the nearest such point, as in other libraries.

    Args:
        energy: energies of real-valued states; its gradient's length does not matter, and where it is 0 x stays.
            A NaN in it stops the attack, which would otherwise pass as one that the energy withstood.
        x0: (N, *S), real-valued, centres of the balls, inside the bounds; not changed. Images of [0, 1] lie inside
            [-1, 1], too, and are not noticed: there the radius is twice as large as it seems. Pass 2 * x - 1.
        radius: of the ball, 0 or more, unit of x: on [-1, 1] 8/255 of the whole range is 16/255 here. At 0 x is x0.
        n_steps: steps, 0 or more.
        step_size: length of a step in the same norm, 0 or more; by default 2.5 radius / n_steps, enough to cross the
            ball and come back.
        norm: "linf" or "l2", over all entries of a state.
        random_start: whether to begin at a point drawn uniformly from the ball, then clamped, instead of at x0.
        bounds: low and high of every entry, by default those of images in this course; None for states without any.
        max_rows: states whose gradient is taken at once, as in ``langevin``; the result is the same.
        keep_path: return every state visited, from the random start on.
        with_energy: whether to evaluate E at the end, one more pass forward, which training on the states does without.

    Returns:
        x (N, *S), the last state of each chain, not its lowest; info, each (N,): ``energy`` at x,
            unless it was not wanted.

    Raises:
        TypeError: integer states.
        ValueError: states have no axis but N, an entry of x0 is out of the bounds, these hold no interval, another norm
            is named, or radius, step size or a number is negative, NaN or no number.
        FloatingPointError: states at the end, or their energies where wanted, are not finite, or a gradient was not.

    Source: Madry et al. (2018), Section 2.1. Departure: minimises an energy instead of maximising a loss.

    >>> generator, x0 = torch.Generator().manual_seed(0), torch.zeros(5, 1, 2, 2)
    >>> pushed = pgd(lambda x: x.flatten(1).sum(dim=1), x0, radius=0.25, n_steps=10, generator=generator)
    >>> pushed.x.shape, pushed.x.unique()
    (torch.Size([5, 1, 2, 2]), tensor([-0.2500]))
    """
    check_generator(generator, x0)
    check_count("n_steps", n_steps)
    check_bounds(bounds)
    max_rows = chains_at_once(max_rows, x0)
    radius = check_number("radius", radius)
    step_size = 2.5 * radius / max(n_steps, 1) if step_size is None else check_number("step_size", step_size)
    _check(x0, radius, step_size, norm, bounds)
    low, high = box(bounds, x0)
    x0 = x0.detach()
    lower, upper = (x0 - radius).clamp_min(low), (x0 + radius).clamp_max(high)  # ball and box in the maximum norm

    def moved(x: Tensor, step: Tensor, times: float = 1) -> Tensor:
        there = torch.add(x, step, alpha=times)
        if norm == "linf":
            return there.clamp(lower, upper)
        away = there - x0
        return (x0 + away * (radius / length(away)).clamp_max(1)).clamp(low, high)

    x = moved(x0, radius * _start(x0, norm, generator)) if random_start else x0.clone()
    path, direction = [x], signs if norm == "linf" else unit  # either is NaN where a gradient is, and so is x then
    with frozen(energy):
        for _ in range(n_steps):
            x = moved(x, direction(gradients_of(energy, x, max_rows)), -step_size)
            if keep_path:
                path.append(x)
        with torch.no_grad():
            info = {"energy": energies_of(energy, x)} if with_energy else {}
    finite = x.isfinite().flatten(1).all(dim=1)
    if with_energy:
        finite &= info["energy"].isfinite()
    if not bool(finite.all()):
        seen = torch.where(finite, 0.0, torch.nan)
        check_finite("the state or its energy after projected gradient descent", seen, "Check the energy and x0.")
    return Negatives(x, info, path=torch.stack(path) if keep_path else None)


def _start(x: Tensor, norm: str, generator: torch.Generator) -> Tensor:
    """Points (N, *S) uniform in the unit ball of the norm."""
    if norm == "linf":
        return torch.empty(x.shape, device=x.device, dtype=x.dtype).uniform_(-1, 1, generator=generator)
    return in_unit_ball(x, generator=generator)


def _check(x0: Tensor, radius: float, step_size: float, norm: str, bounds: tuple[float, float] | None) -> None:
    if x0.ndim < 2:
        raise ValueError(f"states have shape (N, *S), got {tuple(x0.shape)}: use x0[:, None] for points on a line.")
    if not x0.is_floating_point():
        raise TypeError(f"a gradient needs real-valued states, got {x0.dtype}: pass images as float32 in the bounds.")
    if not (0 <= radius < torch.inf and 0 <= step_size < torch.inf):  # a NaN fails both
        raise ValueError(
            f"expected radius >= 0 and step_size >= 0, both finite: got {radius} and {step_size}. "
            "Start with a radius of 0.1 on [-1, 1] and the default step."
        )
    if norm not in ("linf", "l2"):
        raise ValueError(f"norm is 'linf' or 'l2': got {norm!r}. Pass 'linf' for the largest change of an entry.")
    if bounds is not None and bool(((x0 < bounds[0]) | (x0 > bounds[1])).any()):  # one wait for the device an attack
        raise ValueError(
            f"x0 has entries out of the bounds {bounds}: got {x0.min():.9g} to {x0.max():.9g}. "
            "Clamp it, or pass the bounds of these states."
        )
