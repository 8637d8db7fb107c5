"""Chains that move over an energy, and the page that plays them without a kernel, a network or a white card.

>>> path = np.linspace([[0.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 2.0]], 11)  # two chains of ten steps, (11, 2, 2)
>>> film = animate_chains(path, n_frames=3)
>>> page = animation_html(film, alt="Two chains leave each other.")
>>> [int(step) for step in film.new_frame_seq()], page.count("data:image/png"), "<link" in page
([0, 5, 10], 3, False)
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tempfile
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, HTMLWriter
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from ebm_course.figures.style import NEGATIVE, axes_or_new

GLYPHS = {"minus": "&minus;", "plus": "+", "pause": "❚❚", "play": "▶", "flip": "◀"}
GLYPHS |= {"fast-backward": "|◀◀", "step-backward": "|◀", "step-forward": "▶|", "fast-forward": "▶▶|"}
"""The name of an icon in the font that matplotlib loads from the network -> what is written instead."""

MAY_MOVE = '!matchMedia("(prefers-reduced-motion: reduce)").matches'


def animate_chains(
    path: ArrayLike, *, n_frames: int = 40, trail: int = 8, interval: int = 120, ax: Axes | None = None
) -> FuncAnimation:
    """Chains as crosses with a short trail, moving over what the axes already show.

    Args:
        path: positions (T + 1, N, 2), as in ``Negatives.path``.
        n_frames: frames at most; steps between them are skipped.
        trail: steps of the trail behind each chain.
        interval: time between frames, milliseconds.
        ax: axes to move on, for instance those of ``energy_contour``; by default a new figure. The figure is closed:
            the animation holds it, and a notebook would show it a second time.

    Raises:
        ValueError: positions are not in the plane, none, or not finite; or a number is out of its range.
    """
    path = np.asarray(path, dtype=float)
    for name, number, least in (("n_frames", n_frames, 1), ("trail", trail, 0), ("interval", interval, 1)):
        if number != int(number) or number < least:
            raise ValueError(f"{name} is a whole number: expected {least} or larger, got {number}.")
    if path.ndim != 3 or path.shape[2] != 2:
        raise ValueError(f"chains in the plane have shape (T + 1, N, 2), got {path.shape}. Sample with keep_path=True.")
    if not path.size or not np.isfinite(path).all():
        what = f"{path.shape}" if not path.size else f"{int((~np.isfinite(path)).sum())} of {path.size} that are not"
        raise ValueError(f"chains that can be drawn are there and finite: got {what}. Shorten or drop steps.")
    steps = np.unique(np.linspace(0, len(path) - 1, n_frames).round().astype(int))
    if ax is None:
        ax = axes_or_new(ax, figsize=(5.4, 4.4))
        ax.set(xlabel="$x_1$", ylabel="$x_2$", xlim=_limits(path[..., 0]), ylim=_limits(path[..., 1]))
    trails = [ax.plot([], [], color=NEGATIVE, linestyle="-", linewidth=1)[0] for _ in range(path.shape[1])]
    (heads,) = ax.plot([], [], "X", color=NEGATIVE, markersize=7, markeredgecolor="w", markeredgewidth=0.7)
    title = ax.set_title(" ")

    def draw(step: int) -> list[Artist]:
        for chain, line in enumerate(trails):
            line.set_data(*path[max(0, step - trail) : step + 1, chain].T)
        heads.set_data(*path[step].T)
        title.set_text(f"step {step} of {len(path) - 1}")
        return [*trails, heads, title]

    figure = cast(Figure, ax.figure)
    plt.close(figure)
    return FuncAnimation(figure, draw, frames=steps, interval=interval)


def _limits(x: np.ndarray) -> tuple[float, float]:
    room = 0.05 * max(float(np.ptp(x)), 1e-9)
    return float(x.min()) - room, float(x.max()) + room


class _ClearWriter(HTMLWriter):
    """matplotlib's page of frames, with a transparent ground: ``Animation.save`` paints white behind every frame."""

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        super().grab_frame(**{**savefig_kwargs, "facecolor": "none"})


def animation_html(
    animation: FuncAnimation, *, alt: str = "", limit_mb: float = 1.5, fps: int = 8, dpi: float = 75
) -> str:
    """The animation as HTML that stands alone and plays by itself, unless the reader asked for less motion.

    Frames are inside, and symbols instead of an icon font from the network.

    Args:
        animation: finished, for instance from :func:`animate_chains`.
        alt: what moves and where it ends, for readers who do not see it; by default the names of the axes.
        limit_mb: size of the page at most, megabytes.
        fps: frames a second.
        dpi: pixels an inch of the figure.

    Returns:
        HTML; the same animation gives the same text, so stored notebooks do not change without a reason.

    Raises:
        ValueError: the page is larger than the limit.
    """
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "animation.html"
        animation.save(page, writer=_ClearWriter(fps=fps, embed_frames=True, embed_limit=1000), dpi=dpi)
        html = re.sub(r"data:image/png;base64,([^\"]+)", _smaller, page.read_text())
    if len(html) > limit_mb * 1e6:
        raise ValueError(
            f"the animation takes {len(html) / 1e6:.1f} MB: expected {limit_mb} MB at most, because notebooks store "
            f"it. Ask for fewer frames or a smaller figure."
        )
    html = re.sub(r"<link[^>]*>", "", html)
    figure = animation._fig  # type: ignore[attr-defined]  # no public name leads to it
    words = alt or _in_words(animation.new_frame_seq(), figure)
    html = html.replace("<img ", f'<img alt="{escape(words)}" ', 1).replace("<input ", '<input aria-label="Frame" ', 1)
    html = re.sub(r'<i class="fa fa-([a-z-]+?)( fa-flip-horizontal)?"></i>', _glyph, html)
    html = re.sub(
        r"(anim[0-9a-f]{32}) = new Animation\([^;]*;", rf"\g<0> if ({MAY_MOVE}) {{ \1.play_animation(); }}", html
    )
    (name,) = set(re.findall(r"_anim_img([0-9a-f]{32})", html))
    return html.replace(name, hashlib.sha256(html.replace(name, "").encode()).hexdigest()[:32])


def _in_words(frames: Iterable[object], figure: Figure) -> str:
    """What an animation shows, as far as its axes say."""
    names = [(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes]
    shown = dict.fromkeys(f"{y} against {x}" for x, y in names if x and y)  # a colour bar has one name
    words = f": {'; '.join(shown)}" if shown else ""
    return f"Animation of {sum(1 for _ in frames)} frames{words}.".replace("$", "")


def _smaller(match: re.Match[str]) -> str:
    """The same frame with 64 colours, transparency among them: about a third of the bytes."""
    frame, small = Image.open(io.BytesIO(base64.b64decode(match[1]))), io.BytesIO()
    frame.quantize(64, method=Image.Quantize.FASTOCTREE).save(small, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()


def _glyph(match: re.Match[str]) -> str:
    return GLYPHS["flip" if match[2] else match[1]]
