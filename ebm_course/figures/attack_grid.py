"""An attack on a sequence as a film strip: one row a step, one column a position. Knows texts, not tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from ebm_course.figures.style import GREY, NEGATIVE, axes_or_new


def attack_grid(texts: Sequence[str], *, energies: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """Write each step's text below the one before and mark what changed.

    A box marks a position changed by that very step; vermilion letters are positions that differ from the start.

    Args:
        texts: one text a step (T + 1), all of one length.
        energies: energy after each step (T + 1,), nats, written at the right.
        ax: axes to draw on; by default a new figure that fits the texts.

    Raises:
        ValueError: texts differ in length, or energies do not belong to them.

    >>> ax = attack_grid(["1+1=2", "1+1=3", "1+2=3"], energies=[0.1, 6.0, 0.2])
    >>> len(ax.patches), [text.get_text() for text in ax.texts if text.get_color() == NEGATIVE]  # boxes, letters
    (2, ['3', '2', '3'])
    """
    if not texts or len({len(t) for t in texts}) != 1:
        raise ValueError(
            f"an attack keeps a text's length: expected texts of one length, got {sorted({*map(len, texts)})}."
        )
    n_steps, length = len(texts), len(texts[0])
    ax = axes_or_new(ax, figsize=(0.9 + 0.2 * length + 0.7 * (energies is not None), 0.8 + 0.25 * n_steps))
    letters = np.array([list(text) for text in texts])  # (T + 1, L)
    moved = np.zeros_like(letters, dtype=bool)
    moved[1:] = letters[1:] != letters[:-1]
    for (step, position), letter in np.ndenumerate(letters):
        differs = letter != letters[0, position]
        colour, weight = (NEGATIVE, "bold") if differs else (GREY, "normal")
        ax.text(position, step, letter, color=colour, weight=weight, ha="center", va="center", family="monospace")
        if moved[step, position]:
            ax.add_patch(Rectangle((position - 0.45, step - 0.45), 0.9, 0.9, fill=False, edgecolor=NEGATIVE, lw=1.2))
    ax.set(xlim=(-0.7, length - 0.3), ylim=(n_steps - 0.3, -0.7), xlabel="position", ylabel="attack step")
    ax.set_yticks(range(0, n_steps, max(1, n_steps // 10)))
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.grid(visible=False)
    if energies is not None:
        _write_energies(ax, np.asarray(energies, dtype=float), n_steps)
    return ax


def _write_energies(ax: Axes, energies: np.ndarray, n_steps: int) -> None:
    if energies.shape != (n_steps,):
        raise ValueError(f"one energy a text was expected, shape ({n_steps},): got {energies.shape}.")
    right = ax.secondary_yaxis("right")
    right.set_yticks(range(n_steps), [f"{e:.2f}" for e in energies])
    right.set_ylabel("energy (nats)")
    right.spines["right"].set_visible(False)
    right.tick_params(length=0)
