r"""Combined inference: an attack towards a class, paler, then Langevin steps on the energy of that class.

.. math:: x_0 \sim \mathcal N(\mu_t, \Sigma_t) \;\to\; x_1 = \operatorname{PGD}\bigl(-\log p(t \mid x)\bigr)
    \;\to\; x_2 = m + c \, (x_1 - m) \;\to\; x_3 = \operatorname{Langevin}\bigl(E(x, t) = -f(x)[t]\bigr)

The attack makes the classifier certain of the class t and leaves its pattern on x_0; Langevin steps are to smooth it.

The paper lowers the contrast so that pixels stay in [-1, 1] after the Langevin steps without clamping them; it gives
neither the formula nor c. Here m is the middle of the box, 0 for images in [-1, 1], so that x_2 = c x_1: then every
pixel, however bright the image, has the same room 1 - c left on either side, which is the purpose stated. Towards the
mean of each image, as photo editors do it, a bright image would keep pixels at the face of the box.
It knows no classifier and no data.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ebm_course.checks import check_bounds, check_count, check_generator, check_number
from ebm_course.core import Energy, Negatives
from ebm_course.samplers.langevin import checked, langevin
from ebm_course.samplers.pgd import pgd


def combined(
    energy: Energy,
    x0: Tensor,
    *,
    attack: Energy,
    radius: float,
    n_pgd_steps: int,
    contrast: float,
    n_steps: int,
    step_size: float,
    noise_std: float | None = None,
    max_grad_value: float | None = None,
    pgd_step_size: float | None = None,
    norm: Literal["linf", "l2"] = "linf",
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    sampler_bounds: tuple[float, float] | None = None,
    keep_stages: bool = False,
    generator: torch.Generator,
) -> Negatives:
    """x = langevin(energy, middle + contrast * (pgd(attack, x0) - middle)).

    Args:
        energy: what Langevin steps go down: ``joint.given(target)`` for E(x, y) of wanted classes.
        x0: (N, *S), inside the bounds, such as draws of ``ClassGaussians``; not changed.
        attack: what the attack goes down: ``joint.negative_log_likelihood(target)``.
        radius: of the attack, 0 or more, unit of x. The paper's 0.5; it does not say whether on [0, 1] or [-1, 1].
        n_pgd_steps: of the attack, from x0 itself.
        contrast: c, 0 to 1; 1 leaves the attacked states as they are.
        n_steps: Langevin steps.
        step_size: of a Langevin step, as is ``noise_std``: see ``langevin``.
        max_grad_value: clamps the gradients of Langevin steps.
        pgd_step_size: of the attack; by default 2.5 radius / n_pgd_steps.
        norm: of the attack, "linf" or "l2".
        bounds: box of the attack, whose middle is m; None for no box and m = 0.
        sampler_bounds: what Langevin steps are clamped to; nothing by default, as in the paper.
        keep_stages: return the states x0 to x3 of the formula above.

    Returns:
        x (N, *S); info, each (N,): ``energy`` at x; ``grad_norm`` of the Langevin steps; ``attack_energy`` after the
        attack, -log p(target | x1). With ``keep_stages``, path is (4, N, *S): x0, attacked, paler, x.

    Raises:
        TypeError: integer states.
        ValueError: a setting is out of its range, or x0 out of the bounds.
        FloatingPointError: states or energies after a stage are not finite.

    Source: Korst and Asadulaev (2022), Sections 3 and 4. Departure: Langevin steps of N ε in place of N inner steps of
    ε, which are the same (see ``pyld``).

    >>> x0, generator = torch.zeros(5, 1, 2, 2), torch.Generator().manual_seed(0)
    >>> options = {"radius": 0.5, "n_pgd_steps": 5, "contrast": 0.8, "n_steps": 3, "step_size": 0.1}
    >>> bright, bowl = lambda x: -x.flatten(1).sum(dim=1), lambda x: x.square().flatten(1).sum(dim=1)
    >>> stages = combined(bowl, x0, attack=bright, keep_stages=True, generator=generator, **options).path
    >>> stages.shape, stages[1].unique(), stages[2].unique()
    (torch.Size([4, 5, 1, 2, 2]), tensor([0.5000]), tensor([0.4000]))
    """
    check_generator(generator, x0)
    check_count("n_pgd_steps", n_pgd_steps)
    check_bounds(bounds)
    if bounds is not None and not all(map(math.isfinite, bounds)):
        raise ValueError(
            f"the box has a middle: expected finite bounds, got {bounds}. Pass (-1.0, 1.0), or None for 0."
        )
    contrast = check_number("contrast", contrast)
    if not 0 <= contrast <= 1:
        raise ValueError(f"contrast is a factor: expected 0 to 1, got {contrast}. Pass 1 to leave it as it is.")
    checked(  # before the attack, whose work would be lost
        x0, n_steps=n_steps, step_size=step_size, noise_std=noise_std, max_grad_value=max_grad_value,
        bounds=sampler_bounds,
    )  # fmt: skip
    # 1. An attack towards the class.
    attacked = pgd(
        attack, x0, radius=radius, n_steps=n_pgd_steps, step_size=pgd_step_size, norm=norm, random_start=False,
        bounds=bounds, generator=generator,
    )  # fmt: skip
    # 2. Nearer to the middle of the box.
    middle = 0.0 if bounds is None else (bounds[0] + bounds[1]) / 2
    paler = middle + contrast * (attacked.x - middle)
    # 3. Langevin steps on the energy of the class.
    found = langevin(
        energy, paler, n_steps=n_steps, step_size=step_size, noise_std=noise_std, max_grad_value=max_grad_value,
        bounds=sampler_bounds, generator=generator,
    )  # fmt: skip
    info = {**found.info, "attack_energy": attacked.info["energy"]}
    path = torch.stack([x0.detach(), attacked.x, paler, found.x]) if keep_stages else None
    return Negatives(found.x, info, path=path)
