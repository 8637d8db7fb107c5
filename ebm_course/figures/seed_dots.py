"""A number of several methods, one dot a seed, so that the spread is seen and not only told."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy.stats import sem

from ebm_course.figures.style import GREY, axes_or_new


def seed_dots(
    values: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    references: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw each method as a row of dots, one a seed, with its mean and the standard error of that mean.

    Equal numbers stand above one another, so that every dot is seen.

    Args:
        values: method -> (S,), one number a seed; the first method is on top.
        xlabel: the quantity with its unit.
        references: name -> number drawn as a dotted vertical line, such as chance or a paper's result.
        ax: axes to draw on; by default a new figure, as high as there are methods.

    Returns:
        The axes.

    Raises:
        ValueError: a method has no numbers.

    >>> ax = seed_dots({"ours": [0.8, 0.9, 0.9], "base": [0.7]}, xlabel="accuracy", references={"chance": 0.5})
    >>> [label.get_text() for label in ax.get_yticklabels()], [float(x) for x in ax.lines[0].get_xdata()]
    (['ours', 'base'], [0.8, 0.9, 0.9])
    """
    ax = axes_or_new(ax, figsize=(6.4, 1.2 + 0.5 * len(values)))
    for row, (name, given) in enumerate(values.items()):
        seeds = np.asarray(given, dtype=float).reshape(-1)
        if len(seeds) == 0:
            raise ValueError(f"{name!r} has no numbers: expected one a seed.")
        error = sem(seeds) if len(seeds) > 1 else 0.0
        ax.plot(seeds, row + _stacked(seeds), "o", color=f"C{row % 6}", alpha=0.7, markeredgewidth=0)
        ax.errorbar(seeds.mean(), row, xerr=error, fmt="|", color=f"C{row % 6}", markersize=18, capsize=4)
    for name, number in (references or {}).items():
        ax.axvline(number, color=GREY, linestyle=":")
        ax.text(number, 1.0, f" {name}", transform=ax.get_xaxis_transform(), ha="left", va="bottom", fontsize="small")
    ax.set(xlabel=xlabel, yticks=range(len(values)), yticklabels=list(values), ylim=(len(values) - 0.5, -0.5))
    ax.grid(visible=False, axis="y")
    return ax


def _stacked(numbers: np.ndarray) -> np.ndarray:
    """Offsets from the middle of a row, at most 0.35, that part equal numbers."""
    offsets = np.zeros(len(numbers))
    for number in np.unique(numbers):
        (equal,) = np.nonzero(numbers == number)
        if len(equal) > 1:
            reach = min(0.35, 0.06 * (len(equal) - 1))
            offsets[equal] = np.linspace(-reach, reach, len(equal))
    return offsets
