"""A table of numbers as colours, with the numbers written in where there is room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ebm_course.figures.style import axes_or_new


def heatmap(
    table: ArrayLike,
    *,
    xlabel: str,
    ylabel: str,
    unit: str,
    columns: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    annotate: str | None = None,
    cmap: str = "viridis",
    ax: Axes | None = None,
) -> Axes:
    """Draw a table (R, C) as coloured cells with a colour bar.

    Args:
        table: numbers (R, C); NaN stays empty.
        xlabel: what the columns are.
        ylabel: what the rows are.
        unit: the label of the colour bar, for instance "energy (nats)".
        columns: C names; by default column numbers.
        rows: R names; by default row numbers.
        annotate: a format such as ".1f" to write each number into its cell; None writes none.
        cmap: matplotlib's name of the colours.
        ax: axes to draw on; by default a new figure.

    Raises:
        ValueError: the table has not two axes, or the names do not fit it.

    >>> ax = heatmap([[1, 2], [np.nan, 4]], xlabel="to", ylabel="from", unit="energy (nats)", annotate=".1f")
    >>> [(text.get_position(), text.get_text()) for text in ax.texts]  # column, row
    [((0, 0), '1.0'), ((1, 0), '2.0'), ((1, 1), '4.0')]
    """
    ax, table = axes_or_new(ax), np.asarray(table, dtype=float)
    if table.ndim != 2:
        raise ValueError(f"a table has rows and columns: expected shape (R, C), got {table.shape}.")
    image = ax.imshow(table, cmap=cmap, aspect="auto", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label=unit).outline.set_visible(False)
    for axis, names, n in ((ax.xaxis, columns, table.shape[1]), (ax.yaxis, rows, table.shape[0])):
        if names is not None:
            if len(names) != n:
                raise ValueError(f"the table has {table.shape} rows and columns: expected {n} names, got {len(names)}.")
            axis.set_ticks(range(n), list(names))
    if annotate is not None:
        _write_numbers(ax, table, image.to_rgba(table), annotate)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(visible=False)
    return ax


def _write_numbers(ax: Axes, table: np.ndarray, colours: np.ndarray, annotate: str) -> None:
    luminance = colours[..., :3] @ np.array([0.2126, 0.7152, 0.0722])  # (R, C)
    for (r, c), number in np.ndenumerate(table):
        if np.isfinite(number):
            ink = "w" if luminance[r, c] < 0.5 else "k"
            ax.text(c, r, format(number, annotate), ha="center", va="center", color=ink, fontsize="small")
