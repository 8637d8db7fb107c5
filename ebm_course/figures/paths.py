"""Where chains went in the plane. Knows positions by step and chain, not the sampler."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ebm_course.figures.style import NEGATIVE, axes_or_new


def chain_paths(path: ArrayLike, *, n_chains: int | None = None, ax: Axes | None = None) -> Axes:
    """Draw each chain as a thin line from its start (ring) to its end (cross).

    Args:
        path: positions (T + 1, N, 2), as in ``Negatives.path``.
        n_chains: draw only the first of them.
        ax: axes to draw on, for instance those of :func:`energy_contour`; by default a new figure.

    Raises:
        ValueError: positions are not in the plane.

    >>> ax = chain_paths([[[0, 0], [5, 5]], [[1, 0], [5, 6]], [[1, 2], [5, 7]]])  # two chains of two steps
    >>> [(line.get_label(), line.get_xydata().tolist()) for line in ax.lines[-2:]]
    [('start', [[0.0, 0.0], [5.0, 5.0]]), ('end', [[1.0, 2.0], [5.0, 7.0]])]
    """
    ax, path = axes_or_new(ax, figsize=(5.4, 4.4)), np.asarray(path, dtype=float)
    if path.ndim != 3 or path.shape[2] != 2:
        raise ValueError(f"chains in the plane have shape (T + 1, N, 2), got {path.shape}. Sample with keep_path=True.")
    path = path[:, :n_chains]
    for chain in range(path.shape[1]):
        ax.plot(path[:, chain, 0], path[:, chain, 1], color=NEGATIVE, linestyle="-", linewidth=0.8, alpha=0.7)
    ax.plot(path[0, :, 0], path[0, :, 1], "o", label="start", markerfacecolor="none", markeredgecolor=NEGATIVE)
    ax.plot(path[-1, :, 0], path[-1, :, 1], "X", color=NEGATIVE, markeredgecolor="w", markeredgewidth=0.7, label="end")
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return ax
