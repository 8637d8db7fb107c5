"""Images in rows and columns, and the same grid as a film. Knows pixels, not what drew them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ebm_course.figures.style import axes_or_new

GAP = 1
"""Pixels between two images."""
INCHES = 0.62
"""Side of an image in a figure of its own."""


def image_grid(
    images: ArrayLike,
    *,
    columns: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    limits: tuple[float, float] = (-1.0, 1.0),
    ax: Axes | None = None,
) -> Axes:
    """Draw images (R, C, channels, H, W) as R rows of C; what lies outside the limits is drawn as the nearer of them.

    Args:
        images: of one channel, drawn grey, or of three.
        columns: C names above the grid.
        rows: R names at its left.
        limits: the values of black and of white.
        ax: axes to draw on; by default a new figure that fits the grid.

    Returns:
        The axes, with one picture: all images, with gaps of one pixel that show the ground.

    Raises:
        ValueError: images of another shape, names that do not fit, or limits that hold no interval.

    >>> ax = image_grid(np.zeros((2, 3, 1, 8, 8)), rows=["data", "negatives"])
    >>> ax.images[0].get_array().shape  # two rows and three columns of 8 pixels with gaps of one
    (17, 26, 4)
    """
    tiles = _tiles(np.asarray(images, dtype=float), limits)
    n_rows, n_columns, height, width = tiles.shape[:4]
    for name, names, n in (("columns", columns, n_columns), ("rows", rows, n_rows)):
        if names is not None and len(names) != n:
            raise ValueError(f"{name}: expected {n} names, one for each, got {len(names)}. Pass as many, or None.")
    room = 0.1 * max(map(len, rows)) if rows is not None else 0.0
    ax = axes_or_new(ax, figsize=(0.4 + INCHES * n_columns + room, 0.4 + INCHES * n_rows))
    ax.imshow(_joined(tiles), interpolation="nearest")
    middles = [size / 2 + np.arange(n) * (size + GAP) - 0.5 for size, n in ((width, n_columns), (height, n_rows))]
    ax.set_xticks(middles[0] if columns is not None else [], columns)
    ax.set_yticks(middles[1] if rows is not None else [], rows)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)
    return ax


def animate_images(
    path: ArrayLike,
    *,
    every: int = 1,
    title: str = "step {step} of {last}",
    interval: int = 120,
    ax: Axes | None = None,
    **options: Any,
) -> FuncAnimation:
    """A grid of images that change from step to step.

    Args:
        path: (T + 1, R, C, channels, H, W), as ``Negatives.path`` of R x C chains, reshaped.
        every: steps between two frames; the last step always has one.
        title: of a frame; ``{step}`` and ``{last}`` are its number and the last one.
        interval: time between frames, milliseconds.
        ax: axes to draw on; by default a new figure. The figure is closed: the animation holds it.
        options: of :func:`image_grid`.

    Raises:
        ValueError: as :func:`image_grid`, or ``every`` is no count.

    >>> from ebm_course.figures.animation import animation_html
    >>> film = animate_images(np.zeros((6, 1, 2, 1, 8, 8)), every=3)
    >>> list(film.new_frame_seq()), animation_html(film).count("data:image/png")
    ([0, 3, 5], 3)
    """
    path = np.asarray(path, dtype=float)
    if path.ndim != 6 or not len(path) or every < 1:
        raise ValueError(
            f"a film takes images (T + 1, R, C, channels, H, W) and every >= 1: got shape {path.shape} and {every}. "
            f"Sample with keep_path=True and reshape its path."
        )
    last = len(path) - 1
    steps = [*range(0, last, every), last]
    ax = image_grid(path[0], ax=ax, **options)
    (picture,), limits = ax.images, options.get("limits", (-1.0, 1.0))
    heading = ax.set_title(title.format(step=last, last=last))

    def draw(step: int) -> list[Any]:
        picture.set_data(_joined(_tiles(path[step], limits)))
        heading.set_text(title.format(step=step, last=last))
        return [picture, heading]

    figure = ax.figure
    assert isinstance(figure, Figure)
    plt.close(figure)
    return FuncAnimation(figure, draw, frames=steps, interval=interval)


def _tiles(images: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Colours (R, C, H, W, 3) of 0 to 1."""
    low, high = limits
    if images.ndim != 5 or images.shape[2] not in (1, 3) or not images.size or not low < high:
        raise ValueError(
            f"a grid takes images (R, C, channels, H, W) of 1 or 3 channels and limits low < high: got shape "
            f"{images.shape} and {limits}. Reshape (N, channels, H, W) to rows and columns."
        )
    colours = ((images - low) / (high - low)).clip(0, 1).transpose(0, 1, 3, 4, 2)
    return np.broadcast_to(colours, (*colours.shape[:-1], 3))


def _joined(tiles: np.ndarray) -> np.ndarray:
    """One picture (H, W, 4), transparent between the images."""
    n_rows, n_columns, height, width, _ = tiles.shape
    picture = np.zeros((n_rows * (height + GAP) - GAP, n_columns * (width + GAP) - GAP, 4))
    for r, c in np.ndindex(n_rows, n_columns):
        top, left = r * (height + GAP), c * (width + GAP)
        picture[top : top + height, left : left + width, :3] = tiles[r, c]
        picture[top : top + height, left : left + width, 3] = 1
    return picture
