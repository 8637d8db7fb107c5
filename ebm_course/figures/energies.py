"""Energies as a curve, as a map and as histograms. Knows numbers on a grid, not the energy that gave them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ebm_course.figures.style import DATA, ENERGY, NEGATIVE, axes_or_new


def energy_curve(
    x: ArrayLike,
    energies: ArrayLike,
    *,
    data: ArrayLike = (),
    negatives: ArrayLike = (),
    xlabel: str = "$x$",
    ax: Axes | None = None,
) -> Axes:
    """Draw E(x) of one coordinate with data (dots) and negatives (crosses) lying on the curve.

    Args:
        x: increasing positions (W,).
        energies: E at them (W,), nats.
        data: positions of data (N,).
        negatives: positions of negatives (M,).
        xlabel: the coordinate with its unit.
        ax: axes to draw on; by default a new figure.

    >>> ax = energy_curve([-1, 0, 1], [1, 0, 1], data=[0.0], negatives=[0.5])
    >>> [(line.get_label(), line.get_ydata().tolist()) for line in ax.lines]
    [('energy', [1.0, 0.0, 1.0]), ('data', [0.0]), ('negatives', [0.5])]
    """
    ax, x, energies = axes_or_new(ax), np.asarray(x, dtype=float), np.asarray(energies, dtype=float)
    ax.plot(x, energies, color=ENERGY, linestyle="-", label="energy")
    for points, colour, marker, label in ((data, DATA, "o", "data"), (negatives, NEGATIVE, "X", "negatives")):
        points = np.asarray(points, dtype=float)
        if len(points):
            ax.plot(points, np.interp(points, x, energies), marker, color=colour, label=label, markersize=7)
    ax.set(xlabel=xlabel, ylabel="energy (nats)")
    ax.legend()
    return ax


def energy_contour(
    x: ArrayLike,
    y: ArrayLike,
    energies: ArrayLike,
    *,
    data: ArrayLike | None = None,
    negatives: ArrayLike | None = None,
    n_levels: int = 15,
    ceiling: float | None = None,
    unit: str = "energy (nats)",
    ax: Axes | None = None,
) -> Axes:
    """Draw E(x, y) as filled contours, dark where the energy is low, with data (dots) and negatives (crosses).

    Args:
        x: positions along the first coordinate (W,).
        y: positions along the second coordinate (H,).
        energies: E on the grid (H, W), row by row of y, in ``unit``.
        data: points (N, 2).
        negatives: points (M, 2).
        n_levels: number of bands.
        ceiling: energies further than this above the lowest share one colour, in ``unit``; by default none does.
        unit: the label of the colour bar.
        ax: axes to draw on; by default a new figure.

    Raises:
        ValueError: the grid's shape is not (H, W).

    >>> ax = energy_contour([0, 1, 2], [0, 1], [[0, 1, 2], [1, 2, 3]], data=[[0, 0]], negatives=[[2, 1]])
    >>> [text.get_text() for text in ax.get_legend().get_texts()], ax.figure.axes[1].get_ylabel()
    (['data', 'negatives'], 'energy (nats)')
    """
    ax = axes_or_new(ax, figsize=(5.4, 4.4))
    x, y, energies = (np.asarray(v, dtype=float) for v in (x, y, energies))
    if energies.shape != (len(y), len(x)):
        raise ValueError(f"energies lie on a grid (H, W) = ({len(y)}, {len(x)}): got shape {energies.shape}.")
    low, high = float(energies.min()), float(energies.max())
    levels = MaxNLocator(n_levels).tick_values(low, high if ceiling is None else low + ceiling)
    bands = ax.contourf(x, y, energies, levels=levels, extend="neither" if ceiling is None else "max")
    ax.figure.colorbar(bands, ax=ax, label=unit).outline.set_visible(False)
    for points, colour, marker, label in ((data, DATA, "o", "data"), (negatives, NEGATIVE, "X", "negatives")):
        if points is not None:
            points = np.asarray(points, dtype=float)
            edge: dict[str, Any] = {"markersize": 7, "markeredgecolor": "w", "markeredgewidth": 0.7}
            ax.plot(points[:, 0], points[:, 1], marker, color=colour, label=label, **edge)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    ax.grid(visible=False)
    if data is not None or negatives is not None:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return ax


def energy_histogram(
    e_data: ArrayLike,
    e_negative: ArrayLike,
    *,
    n_bins: int = 40,
    threshold: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how the energies of data (filled) and of negatives (outlined) are distributed on common bins.

    Args:
        e_data: energies of data (N,), nats.
        e_negative: energies of negatives (M,), nats.
        n_bins: bins over the common range.
        threshold: where the border between the two is drawn, nats.
        ax: axes to draw on; by default a new figure.

    >>> ax = energy_histogram([0, 0, 0, 2], [2, 3], n_bins=3)
    >>> [(steps.get_label(), steps.get_data().values.tolist()) for steps in ax.patches]  # shares of three bins of a nat
    [('data', [0.75, 0.0, 0.25]), ('negatives', [0.0, 0.0, 1.0])]
    """
    ax = axes_or_new(ax)
    data, negative = np.asarray(e_data, dtype=float), np.asarray(e_negative, dtype=float)
    bins = np.histogram_bin_edges(np.concatenate([data, negative]), bins=n_bins)
    shares = [np.histogram(e, bins)[0] / len(e) for e in (data, negative)]
    ax.stairs(shares[0], bins, fill=True, color=DATA, alpha=0.6, label="data")
    ax.stairs(shares[1], bins, color=NEGATIVE, linestyle="--", linewidth=2, label="negatives")
    if threshold is not None:
        ax.axvline(threshold, color=ENERGY, linestyle=":", label="border")
    ax.set(xlabel="energy (nats)", ylabel="share of rows per bin")
    ax.legend()
    return ax
