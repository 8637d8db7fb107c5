"""Curves over one quantity, with a band where several seeds were run. Knows arrays, not what was trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ebm_course.figures.style import axes_or_new


def curves(x: ArrayLike, values: Mapping[str, ArrayLike], *, xlabel: str, ylabel: str, ax: Axes | None = None) -> Axes:
    """Draw each name's mean over seeds and, with two seeds or more, a band of one standard deviation.

    Args:
        x: where the values were taken (T,), for instance updates or attack steps.
        values: name -> (T,) for one run or (S, T) for S seeds.
        xlabel: the quantity on the horizontal axis with its unit.
        ylabel: the quantity on the vertical axis with its unit.
        ax: axes to draw on; by default a new figure.

    Returns:
        The axes; a legend where there are two names or a band to explain.

    Raises:
        ValueError: values and x differ in length.

    >>> ax = curves([0, 10, 20], {"mine": [[1, 2, 3], [3, 4, 5]]}, xlabel="updates", ylabel="loss (nats)")  # two seeds
    >>> ax.lines[0].get_ydata().tolist(), len(ax.collections), ax.get_legend().get_title().get_text()  # mean and band
    ([2.0, 3.0, 4.0], 1, 'mean ± sd, 2 seeds')
    """
    ax, x = axes_or_new(ax), np.asarray(x, dtype=float)
    counts = set()
    for name, given in values.items():
        runs = np.atleast_2d(np.asarray(given, dtype=float))  # (S, T)
        if runs.ndim != 2 or runs.shape[1] != len(x):
            raise ValueError(f"{name!r} needs one value for each of {len(x)} x: (T,) or (S, T), got {np.shape(given)}.")
        (line,) = ax.plot(x, runs.mean(0), label=name)
        if len(runs) > 1:
            low, high = runs.mean(0) - runs.std(0, ddof=1), runs.mean(0) + runs.std(0, ddof=1)
            ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        counts.add(len(runs))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if max(counts, default=1) > 1 or len(values) > 1:
        seeds = " or ".join(map(str, sorted(counts - {1})))
        ax.legend(title=f"mean ± sd, {seeds} seeds" if seeds else None)
    return ax
