r"""Gradient descent on relaxed tags: a point on the simplex at each position, moved where the energy falls.

.. math:: \text{softmax:}\quad y = \mathrm{softmax}(z), \; z \leftarrow z - \varepsilon \, \nabla_z E
    \qquad\qquad
    \text{exponentiated:}\quad y \leftarrow \frac{y \odot e^{-\varepsilon \nabla_y E}}
    {\sum_j y_j \, e^{-\varepsilon \nabla_{y_j} E}}

The first is stuck near a corner, where the softmax is flat; the second is not, for it is mirror descent and its steps
do not shrink there. On a chain, which is multilinear, the lowest relaxed energy is that of the best tags.
It knows no net and no sentence.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import at_least_single, check_count, check_finite, check_generator, check_number
from ebm_course.core import Energy, Negatives, energies_of, energy_grad, frozen
from ebm_course.sentence_checks import check_moves

METHODS = ("softmax", "exponentiated")


def relaxed_descent(
    energy: Energy,
    x0: Tensor,
    *,
    n_steps: int,
    step_size: float,
    method: str = "exponentiated",
    mask: Tensor | None = None,
    keep_path: bool = False,
    generator: torch.Generator,
) -> Negatives:
    """``n_steps`` steps downhill from relaxed tags to relaxed tags, all sentences at once.

    Args:
        energy: energies of relaxed tags.
        x0: (N, L, K), each row of K a distribution, such as the uniform one; not changed.
        step_size: epsilon, above 0, per nat.
        method: "softmax" or "exponentiated".
        mask: (N, L) bool; positions where it is False stay as they are. None moves all.
        keep_path: return every state visited.
        generator: on x0's device, as of every sampler; descent draws nothing.

    Returns:
        x (N, L, K) on the simplex; info, each (N,): ``energy`` at x.

    Raises:
        ValueError: states or a mask of another shape or dtype, a row that moves and is off the simplex (on a CPU), a
            step size that is not positive, an unknown method.
        FloatingPointError: the energies at the end are not finite.

    Source: Belanger and McCallum (2016), who descend with entropic mirror descent or on logits; exponentiated gradient:
    Kivinen and Warmuth (1997).

    >>> cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # of two tags at two positions
    >>> found = relaxed_descent(
    ...     lambda y: (y * cost).sum(dim=(1, 2)),
    ...     torch.full((1, 2, 2), 0.5),
    ...     n_steps=10,
    ...     step_size=1.0,
    ...     generator=torch.Generator(),
    ... )
    >>> found.x.argmax(dim=2).tolist(), found.x.shape
    ([[0, 1]], torch.Size([1, 2, 2]))
    """
    check_generator(generator, x0)
    check_count("n_steps", n_steps)
    if x0.ndim != 3 or not x0.is_floating_point() or x0.shape[2] == 0:
        raise ValueError(
            f"relaxed tags are real numbers (N, L, K), got {tuple(x0.shape)} of {x0.dtype}: "
            f"start from torch.full((N, L, K), 1 / K), or from one-hot rows mixed with it."
        )
    step_size = check_number("step_size", step_size)
    if not 0 < step_size < torch.inf or method not in METHODS:
        raise ValueError(
            f"expected a finite step_size above 0 and a method of {METHODS}, got {step_size} and {method!r}. "
            f"Start with a step of 1."
        )
    check_moves(mask, tuple(x0.shape[:2]))
    if x0.device.type == "cpu":  # elsewhere asking would wait for the device
        _check_simplex(x0, mask)
    x = start = x0.detach().clone()
    path, z = [start], start.clamp_min(torch.finfo(x0.dtype).tiny).log()  # logits of x
    with frozen(energy):
        for _ in range(n_steps):
            _, grad = energy_grad(energy, x)
            with torch.no_grad():
                if method == "softmax":
                    grad = x * (grad - (x * grad).sum(dim=2, keepdim=True))  # in the logits
                z = (z - step_size * grad).log_softmax(dim=2)
                x = z.exp() if mask is None else torch.where(mask[..., None], z.exp(), start)
            path += [x] if keep_path else []
        with torch.no_grad():
            e = energies_of(energy, x)
    seen = e.detach().masked_fill(~x.isfinite().flatten(1).all(dim=1), torch.nan)
    check_finite("the energy of relaxed tags", seen, "Shorten step_size, or check x0 and the energy.")
    return Negatives(x, {"energy": e.detach()}, path=torch.stack(path) if keep_path else None)


def _check_simplex(x0: Tensor, mask: Tensor | None) -> None:
    """Refuse a row that moves and is no distribution, by more than its dtype rounds; a NaN is named at the end."""
    rows, rounding = at_least_single(x0.detach()), max(1e-3, torch.finfo(x0.dtype).eps)
    off = (rows < -rounding).any(dim=2) | ((rows.sum(dim=2) - 1).abs() > rounding)  # (N, L)
    off = off if mask is None else off & mask
    if bool(off.any()):
        row = rows[off][0]
        raise ValueError(
            f"relaxed tags are distributions: expected numbers of 0 or larger that sum to 1, got a row from "
            f"{float(row.min()):.4g} to {float(row.max()):.4g} with the sum {float(row.sum()):.4g}. "
            f"Start from torch.full((N, L, K), 1 / K), or from logits.softmax(dim=2)."
        )
