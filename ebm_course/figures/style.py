"""The look of every figure, and the colours that mean something. It knows no numbers.

>>> with plt.rc_context():
...     use_style()
...     ax = axes_or_new(None, figsize=(4, 3))
>>> ax.figure.get_size_inches().tolist(), axes_or_new(ax) is ax, bool(ax.spines["top"].get_visible())
([4.0, 3.0], True, False)
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

STYLE = Path(__file__).with_name("course.mplstyle")

# Each may colour text: its contrast is 4.5 to 1 on white and on black at once, which leaves little choice of lightness.
DATA = "#0B7BBD"
"""Blue: data, the right answer, what pulls the energy down."""
NEGATIVE = "#C25500"
"""Vermilion: negatives, the wrong answer, what is pushed up."""
ENERGY = "#008661"
"""Green: a quantity of the model that is neither side, such as the energy itself."""
GREY = "#757575"
"""Text and axes: the grey that reads best on white and on black at once."""


def use_style() -> None:
    """Set matplotlib to the course's style for this process; call it once, before the first figure."""
    plt.style.use(STYLE)


def axes_or_new(ax: Axes | None, *, figsize: tuple[float, float] | None = None) -> Axes:
    """The axes given, or those of a new figure of ``figsize`` inches."""
    if ax is not None:
        return ax
    return plt.subplots(figsize=figsize)[1]
