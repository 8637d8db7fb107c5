r"""Score matching: fit the gradient of an energy to the gradient of -log p of the data. No negatives, no Z.

.. math:: \mathcal L(\theta) = \tfrac12 \, \mathbb E_{p}
    \bigl[ \lVert \nabla_x E_\theta(x) + \nabla_x \log p(x) \rVert^2 \bigr] + \text{const}

Both objectives see gradients of the energy as numbers, made with ``create_graph=True``, and not the energy. Where modes
are far apart neither sees how much weight each of them has. Source: Hyvärinen (2005); Vincent (2011).
"""

from __future__ import annotations

import math

from torch import Tensor

from ebm_course.core import Loss
from ebm_course.objectives.terms import check_energies, check_real, check_same_shape, scalar


def implicit_score_matching(gradient: Tensor, laplacian: Tensor) -> Loss:
    """mean (|grad E|^2 / 2 - lap E) over data: the Fisher divergence less a constant of the data alone.

    Args:
        gradient: gradients of E in x at data (N, *S), nats per unit of x.
        laplacian: the sum of all second derivatives of E there (N,), nats per squared unit of x.

    Returns:
        The loss, which may be negative; terms ``squared_score`` (mean of the squared gradient) and ``laplacian``.

    Raises:
        ValueError: shapes do not belong together, or there are no rows.

    Source: Hyvärinen (2005), Theorem 1. Departure: E in place of log q, so the Laplacian has a minus sign.

    >>> import torch
    >>> x = torch.tensor([[1.0, 2.0]])  # E = |x|^2 / 2 has the gradient x and the Laplacian 2
    >>> implicit_score_matching(x, torch.tensor([2.0])).value  # 5 / 2 - 2
    tensor(0.5000)
    """
    check_energies(laplacian=laplacian)
    _check_rows(gradient)
    if len(gradient) != len(laplacian):
        raise ValueError(
            f"gradient and laplacian belong together row by row: got {len(gradient)} and {len(laplacian)} rows. "
            "Take both at the same data."
        )
    squared = gradient.flatten(1).square().sum(1)  # (N,)
    terms = {"squared_score": squared.detach().mean(), "laplacian": laplacian.detach().mean()}
    return Loss((squared / 2 - laplacian).mean(), terms)


def denoising_score_matching(gradient: Tensor, noise: Tensor, *, noise_std: float) -> Loss:
    """noise_std^2 / 2 mean |grad E(x + noise) - noise / noise_std^2|^2: the gradient has to point away from the datum.

    Its minimum over all functions is the score of the data *with* the noise, p * N(0, noise_std^2).

    Args:
        gradient: gradients of E in x at data plus noise (N, *S), nats per unit of x.
        noise: what was added (N, *S), Gaussian with mean 0 and the standard deviation ``noise_std``.
        noise_std: larger than 0, in units of x.

    Returns:
        The loss, 0 or larger; terms ``squared_score`` (mean of the squared gradient).

    Raises:
        ValueError: shapes differ, there are no rows, or noise_std is not above 0.

    Source: Vincent (2011), "A connection between score matching and denoising autoencoders".
    Departure: multiplied by noise_std^2, so that losses of different noise compare.

    >>> import torch
    >>> noise = torch.tensor([[1.0, -2.0]])
    >>> denoising_score_matching(noise / 4, noise, noise_std=2.0).value  # noise / noise_std^2: nothing is left
    tensor(0.)
    >>> denoising_score_matching(torch.zeros(1, 2), noise, noise_std=2.0).value  # 4 / 2 (1 + 4) / 16
    tensor(0.6250)
    """
    _check_rows(gradient)
    check_same_shape("noise", noise, "gradient", gradient)
    check_real(noise=noise)
    noise_std = scalar("noise_std", noise_std)
    if not 0 < noise_std < math.inf:
        raise ValueError(f"noise_std is a standard deviation: expected a number larger than 0, got {noise_std}.")
    missed = (gradient - noise / noise_std**2).flatten(1)
    value = noise_std**2 / 2 * missed.square().sum(1).mean()
    return Loss(value, {"squared_score": gradient.detach().flatten(1).square().sum(1).mean()})


def _check_rows(gradient: Tensor) -> None:
    check_real(gradient=gradient)
    if gradient.ndim < 2 or len(gradient) == 0:
        raise ValueError(
            f"gradient holds one gradient a row: expected shape (N, *S) with N > 0, got {tuple(gradient.shape)}. "
            "Differentiate the sum of the energies in the states."
        )
