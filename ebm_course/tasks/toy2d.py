r"""Points in the plane from a known density, and an exact score of any set of points that claims to come from it.

The densities stand in ``toy2d_densities``. This module knows data and scores, no energy and no sampler.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import at_least_single, check_count
from ebm_course.core import Batch, Task
from ebm_course.runtime import torch_seed
from ebm_course.tasks.toy2d_densities import Density

N_CELLS = 16
"""Cells along a side of the square on which shares and masses are compared."""


def toy2d(density: Density, *, n_train: int = 10_000, n_valid: int = 1_000, n_test: int = 1_000, seed: int = 0) -> Task:
    """Independent draws of a density on the CPU, and :func:`score` against it.

    Args:
        density: what to draw from.
        seed: the same seed gives the same parts; another ``n_train`` leaves the others as they are.

    Returns:
        A task of points (N, 2); ``n_values`` is None. ``task.score(states, batch)`` compares with the density itself
        and does not use the batch.

    Raises:
        ValueError: a number of points, or the seed, is none.

    >>> from ebm_course.tasks.toy2d_densities import ring
    >>> task = toy2d(ring(), n_train=50, n_valid=10, n_test=10)
    >>> task.name, task.train.x.shape, list(task.score(task.test.x, task.test))
    ('toy2d-ring', torch.Size([50, 2]), ['log_density', 'total_variation'])
    """
    for part, n in {"n_train": n_train, "n_valid": n_valid, "n_test": n_test}.items():
        check_count(part, n)
    generator = torch.Generator("cpu").manual_seed(torch_seed(seed))
    test, valid, train = (Batch(density.sample(n, generator=generator)) for n in (n_test, n_valid, n_train))
    masses = cell_masses(density)

    def score_states(states: Tensor, batch: Batch) -> dict[str, float]:
        return score(states, density, masses=masses)

    return Task(f"toy2d-{density.name}", train, valid, test, None, score_states)


def score(x: Tensor, density: Density, *, masses: Tensor | None = None) -> dict[str, float]:
    """How well points (N, 2) cover a density. No single number: a set of copies of its mode has a high log-density.

    Args:
        x: points, N > 0.
        density: where they should come from.
        masses: :func:`cell_masses` of it, where they are at hand.

    Returns:
        ``log_density``: mean of log p(x), nats;
        ``total_variation``: half the sum over cells of |share of points - mass|, 0 to 1. Exact draws score above 0
        too, about as much as the task's own test part, which is the yardstick.

    Raises:
        ValueError: x has another shape, or holds a point that is not finite.

    >>> from ebm_course.tasks.toy2d_densities import ring
    >>> copies = score(torch.tensor([[2.0, 0.0]]).repeat(100, 1), ring())  # one mode of eight, a hundred times
    >>> copies["log_density"] > -0.2, copies["total_variation"] > 0.9  # likely points, a bad cover
    (True, True)
    """
    if x.ndim != 2 or x.shape[1] != 2 or len(x) == 0 or not bool(x.isfinite().all()):
        raise ValueError(
            f"expected finite points (N, 2), N > 0: got shape {tuple(x.shape)}, {x.isfinite().sum()} finite."
        )
    x = at_least_single(x.detach())  # in 16 bits a point near an edge would lie in another cell
    masses = cell_masses(density) if masses is None else masses
    cells = ((x + density.extent) * (N_CELLS / (2 * density.extent))).floor().long()  # (N, 2)
    outside = ((cells < 0) | (cells >= N_CELLS)).any(dim=1)
    cell = torch.where(outside, N_CELLS**2, cells[:, 0] * N_CELLS + cells[:, 1])
    shares = torch.bincount(cell, minlength=N_CELLS**2 + 1) / len(x)
    return {
        "log_density": float(density.log_prob(x).mean()),
        "total_variation": float((shares - masses.to(shares)).abs().sum() / 2),
    }


def cell_masses(density: Density, *, n_inside: int = 16) -> Tensor:
    """Mass of each cell of the square, row by row along x1, and of all that is outside it: (N_CELLS^2 + 1,).

    Args:
        density: integrated by the midpoint rule, ``n_inside``^2 points a cell.

    Raises:
        ValueError: not even one point a cell.

    >>> from ebm_course.tasks.toy2d_densities import ring
    >>> masses = cell_masses(ring())
    >>> masses.shape, round(float(masses.sum()), 3)
    (torch.Size([257]), 1.0)
    """
    n = N_CELLS * check_count("n_inside", n_inside, least=1)
    width = 2 * density.extent / n
    axis = (torch.arange(n, dtype=torch.float64, device="cpu") + 0.5) * width - density.extent
    p = density.log_prob(torch.cartesian_prod(axis, axis)).exp() * width**2
    masses = p.view(N_CELLS, n_inside, N_CELLS, n_inside).sum(dim=(1, 3)).flatten()
    return torch.cat([masses, (1 - masses.sum()).clamp_min(0)[None]])
