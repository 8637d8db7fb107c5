"""A legend that covers nothing: below the axes, in room of its own. It knows the figure, not what is drawn."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.legend import Legend

ROOM = 26
"""Letters that a name may have where two stand side by side in a figure of the style's width."""


def legend_below(figure: Figure, *, title: str | None = None) -> Legend:
    """Name everything that has a label, below all axes; the figure grows by the height of the legend.

    Args:
        figure: laid out by matplotlib's constrained layout, as the course's style does; legends of its axes go.
        title: what holds for all names.

    Returns:
        The legend, in two columns where names are short.

    >>> figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    >>> lines = ax.plot([0, 1], [[0, 1], [1, 0]], label=["up", "down"])
    >>> [text.get_text() for text in legend_below(figure).get_texts()]
    ['up', 'down']
    >>> plt.close(figure)
    """
    named: dict[str, Any] = {}
    for ax in figure.axes:
        if own := ax.get_legend():
            own.remove()
        handles, labels = ax.get_legend_handles_labels()
        named.update(zip(labels, handles, strict=True))
    columns = 2 if max(map(len, named), default=0) <= ROOM else 1
    legend = figure.legend(named.values(), named, loc="outside lower center", ncols=columns, title=title)
    rows = math.ceil(len(named) / columns) + (title is not None)
    figure.set_figheight(figure.get_figheight() + 1.6 * rows * plt.rcParams["font.size"] / 72)
    return legend
