r"""Integrals over a square of the plane: log Z of any energy of points (N, 2), to compare nets by likelihood.

.. math:: \log Z \approx \log \sum_k e^{-E(x_k)} \, \Delta

with x_k the midpoints of n^2 cells of area Delta. It knows no net and no data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_number
from ebm_course.core import Energy, energies_of, frozen


def midpoints(
    extent: float,
    *,
    n_points: int = 200,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Midpoints of n^2 equal cells of the square [-extent, extent]^2, (n^2, 2), the second coordinate fastest.

    Raises:
        ValueError: the extent is not a finite number above 0, or there is no point.

    >>> midpoints(1.0, n_points=2).tolist()
    [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]
    """
    check_count("n_points", n_points, least=1)
    extent = check_number("extent", extent)
    if not 0 < extent < math.inf:
        raise ValueError(f"extent is half the side of a square: expected a finite number above 0, got {extent}.")
    axis = (torch.arange(n_points, device=device, dtype=dtype) + 0.5) * (2 * extent / n_points) - extent
    return torch.cartesian_prod(axis, axis)


def log_z_plane(
    energy: Energy,
    extent: float,
    *,
    n_points: int = 200,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    create_graph: bool = False,
) -> Tensor:
    """log of the integral of exp(-E) over the square [-extent, extent]^2 by the midpoint rule, a scalar in nats.

    What lies outside is left out, and what is narrower than a cell is missed: take a square that holds the mass and
    cells of a third of the narrowest width or less.

    Args:
        energy: energies of points (N, 2).
        extent: half the side of the square, above 0.
        n_points: midpoints a side; n^2 energies are computed in one call.
        device: of the energy.
        dtype: of the points; that of the energy's parameters, where they are not of torch's default type.
        create_graph: keep the graph, so that log Z can be differentiated in the parameters; else the energy is frozen.

    Raises:
        ValueError: as :func:`midpoints`, or the energy reads points of another type.

    >>> log_z = log_z_plane(lambda x: x.square().sum(dim=1) / 2, extent=6.0, n_points=50)
    >>> round(float(log_z), 3)  # a standard Gaussian: log(2 pi)
    1.838
    """
    points, extent = midpoints(extent, n_points=n_points, device=device, dtype=dtype), float(extent)
    if create_graph:
        e = energies_of(energy, points)
    else:
        with torch.no_grad(), frozen(energy):
            e = energies_of(energy, points)
    return torch.logsumexp(-e, dim=0) + 2 * math.log(2 * extent / n_points)
