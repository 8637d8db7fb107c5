"""The logo: an energy pushed down where a datum lies and up where a negative lies, computed and drawn as SVG.

``python -m ebm_course.figures.logo OUT [WORDS]`` writes it to a file.

>>> pushed(np.array([DATUM, NEGATIVE_AT])).round(2).tolist()  # both would be at 0.14 without a push
[-0.85, 1.14]
>>> svg = logo("Energies")
>>> svg.count("<circle"), ">Energies</text>" in svg
(2, True)
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

import numpy as np

from ebm_course.figures.style import DATA, ENERGY, GREY, NEGATIVE

DATUM, NEGATIVE_AT = -0.85, 0.85
SIZE = 120


def pushed(x: np.ndarray) -> np.ndarray:
    """E(x) = x^2 / 5 - phi(x - datum) + phi(x - negative) with phi(d) = exp(-d^2 / (2 * 0.45^2)): one push each way."""
    return x**2 / 5 - _bump(x - DATUM) + _bump(x - NEGATIVE_AT)


def logo(words: str = "") -> str:
    """The logo as SVG text: one curve, one dot in its valley, one on its hill, and an arrow for each push.

    Args:
        words: written beside the mark, one line for each line of them; without words the mark is a square.
    """
    x = np.linspace(-2.0, 2.0, 61)
    curve = "M" + "L".join(f"{_across(a):.1f} {_down(b):.1f}" for a, b in zip(x, pushed(x), strict=True))
    lines = words.splitlines()
    width = SIZE + (14 + 15 * max(map(len, lines)) if lines else 0)
    label = f"{' '.join(lines)}: " if lines else ""
    label += "an energy curve, pushed down at a datum and up at a negative"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {SIZE}" role="img"',
        f' aria-label="{escape(label)}">',
        f'<path d="{curve}" fill="none" stroke="{ENERGY}" stroke-width="9" stroke-linecap="round"/>',
        _pushed_dot(DATUM, DATA, arrow_from=-56),
        _pushed_dot(NEGATIVE_AT, NEGATIVE, arrow_from=56),
    ]
    for number, line in enumerate(lines):
        y = SIZE / 2 + 9 + 32 * (number - (len(lines) - 1) / 2)
        style = "font:600 27px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif"
        parts.append(f'<text x="{SIZE + 8}" y="{y:.0f}" fill="{GREY}" style="{style}">{escape(line)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _pushed_dot(x: float, colour: str, *, arrow_from: float) -> str:
    """A dot on the curve and an arrow that ends at it; ``arrow_from`` is where the arrow starts, pixels below."""
    across, down = _across(x), _down(float(pushed(np.array(x))))
    tip, head = down + 0.37 * arrow_from, np.sign(arrow_from) * 7
    arrow = f"M{across:.1f} {down + arrow_from:.1f}V{tip:.1f}m-7 {head:.0f}l7 {-head:.0f}l7 {head:.0f}"
    return (
        f'<path d="{arrow}" fill="none" stroke="{colour}" stroke-width="7" stroke-linecap="round"'
        f' stroke-linejoin="round"/><circle cx="{across:.1f}" cy="{down:.1f}" r="12" fill="{colour}"/>'
    )


def _bump(distance: np.ndarray) -> np.ndarray:
    return np.exp(-(distance**2) / (2 * 0.45**2))


def _across(x: float) -> float:
    return SIZE / 2 + x * 26


def _down(energy: float) -> float:
    return 0.56 * SIZE - energy * 36


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(logo("\n".join(sys.argv[2:])), encoding="utf-8")
