r"""k-PGD on embeddings: the lowest energy that k steps find with one Euclidean norm for a whole sentence.

.. math:: x \leftarrow x_0 + \Pi_\epsilon \bigl[ x - x_0 - \alpha \, \nabla E(x) / \|\nabla E(x)\|_2 \bigr]

Words have no small changes, their embeddings do: that is where a text classifier is attacked. How small a radius is
hangs on the embeddings' own length, so say it beside the radius. It knows no classifier and no tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_finite, check_generator, check_number
from ebm_course.core import Energy, Negatives, energies_of, energy_grad, frozen
from ebm_course.samplers.balls import in_unit_ball, length, unit


def pgd_embeddings(
    energy: Energy,
    x0: Tensor,
    *,
    radius: float,
    n_steps: int,
    step_size: float | None = None,
    mask: Tensor | None = None,
    random_start: bool = False,
    generator: torch.Generator,
) -> Negatives:
    """x <- projection of x - step_size grad E(x) / |grad E(x)|, ``n_steps`` times; pads stay where they are.

    Args:
        energy: of embeddings (N, L, D), such as log p(y | x) of the true label, which falls as the classifier fails.
        x0: embeddings of words (N, L, D), centres of the balls; not changed. They and all that follows are float32 at
            least: in 16 bits a small step would be rounded away.
        radius: eps, of a sentence's whole perturbation, 0 or more.
        n_steps: k, 0 or more.
        step_size: Euclidean length of a step, 0 or more; by default 2.5 radius / n_steps.
        mask: (N, L), True at real tokens; None: all are.
        random_start: whether to begin at a point uniform in the ball of the real tokens' entries instead of at x0.

    Returns:
        x (N, L, D), the last state, not the lowest; info: ``energy`` at x and ``distance`` from x0, (N,).

    Raises:
        TypeError: x0 is not real-valued.
        ValueError: the mask does not fit x0, or a number is negative or not finite.
        FloatingPointError: embeddings at the end, or their energies, are not finite: some energies are at a NaN.

    Source: Madry et al. (2018), Section 2.1; as the attack of Qiu, Zhang and Zhou, Sections 4.5. Departure: they leave
    steps, step size and norm unsaid; their plain model's accuracies read as one norm a sentence.

    >>> x0, mask = torch.zeros(1, 2, 2), torch.tensor([[True, False]])
    >>> options = {"radius": 1.0, "n_steps": 3, "generator": torch.Generator().manual_seed(0)}
    >>> pgd_embeddings(lambda x: x.flatten(1).sum(dim=1), x0, mask=mask, **options).x
    tensor([[[-0.7071, -0.7071],
             [ 0.0000,  0.0000]]])
    """
    check_generator(generator, x0)
    check_count("n_steps", n_steps)
    radius = check_number("radius", radius)
    step_size = 2.5 * radius / max(n_steps, 1) if step_size is None else check_number("step_size", step_size)
    _check(x0, mask, radius, step_size)
    x0 = x0.detach().to(torch.promote_types(x0.dtype, torch.float32))
    real = None if mask is None else mask.view(*mask.shape, *[1] * (x0.ndim - mask.ndim)).expand_as(x0)

    def moved(x: Tensor, step: Tensor) -> Tensor:
        away = x + step - x0
        return x0 + away * (radius / length(away)).clamp_max(1)

    start = radius * in_unit_ball(x0, mask=real, generator=generator) if random_start else torch.zeros_like(x0)
    with frozen(energy), torch.autocast(x0.device.type, enabled=False):
        x = moved(x0, start)
        for _ in range(n_steps):
            grad = energy_grad(energy, x)[1]
            x = moved(x, -step_size * unit(grad if real is None else grad * real))
        with torch.no_grad():
            e = energies_of(energy, x)
    seen = e.masked_fill(~x.isfinite().flatten(1).all(dim=1), torch.nan)
    check_finite(
        "the state or its energy after projected gradient descent on embeddings", seen, "Check the energy and x0."
    )
    return Negatives(x, {"energy": e, "distance": (x - x0).flatten(1).norm(dim=1)})


def _check(x0: Tensor, mask: Tensor | None, radius: float, step_size: float) -> None:
    if x0.ndim < 2:
        raise ValueError(f"embeddings have shape (N, L, D), got {tuple(x0.shape)}: use x0[None] for one sentence.")
    if not x0.is_floating_point():
        raise TypeError(f"a gradient needs real-valued embeddings, got {x0.dtype}: embed the tokens first.")
    if not (0 <= radius < torch.inf and 0 <= step_size < torch.inf):
        raise ValueError(
            f"expected radius >= 0 and step_size >= 0, both finite: got {radius} and {step_size}. "
            "Start with a radius of 2 % of a sentence's norm and the default step."
        )
    if mask is None:
        return
    got, expected = f"a {type(mask).__name__}", tuple(x0.shape[:2])
    if isinstance(mask, Tensor):
        got = f"{mask.dtype} {tuple(mask.shape)}"
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != x0.shape[: mask.ndim]:
        raise ValueError(
            f"the mask says which tokens are real: expected bool {expected}, got {got}. Pass the batch's own."
        )
