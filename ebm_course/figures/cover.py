"""The cover: the course's one idea as a moving picture, drawn as SVG that needs no script, network or font.

``python -m ebm_course.figures.cover OUT`` writes it to a file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ebm_course.figures.pushed_energy import HALF_WIDTH, PushedEnergy, data_density, train_pushed_energy
from ebm_course.figures.style import DATA, ENERGY, GREY, NEGATIVE

WIDTH, HEIGHT, SECONDS = 960, 420, 17
SKY, GROUND, TALLEST = 70, 384, 4.8  # pixels of the highest energy and of 0 nats; the highest energy drawn, nats
TITLE = "Data push the energy down, negatives push it up, until the energy is minus log p of the data."


def cover(run: PushedEnergy | None = None, *, n_shown: int = 30) -> str:
    """The animated cover: an energy that is trained while one looks, and its state at the end where nothing may move.

    Args:
        run: the recorded training; by default it is run now, which takes about a second.
        n_shown: data and chains drawn of the thousands that train it.

    Returns:
        SVG text; the same for the same run.

    >>> svg = cover(train_pushed_energy(n_records=5, n_data=20, n_chains=20), n_shown=3)
    >>> svg.count("<circle"), svg.count("<script")  # three data and three chains, once moving and once still
    (12, 0)
    """
    run = train_pushed_energy() if run is None else run
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{TITLE}">',
        f"<title>{TITLE}</title>",
        "<style>text{font:600 23px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}.still{display:none}"
        "@media(prefers-reduced-motion:reduce){.still{display:inline}.moving{display:none}}</style>",
        f'<clipPath id="plot"><path d="M0 {SKY - 14}H{WIDTH}V{GROUND}H0z"/></clipPath>',
        _captions(),
        f'<g class="moving">{_scene(run, n_shown, moving=True)}</g>',
        f'<g class="still">{_scene(run, n_shown, moving=False)}</g>',
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def _captions() -> str:
    return (
        f'<text x="40" y="34" fill="{DATA}">↓ data push the energy down</text>'
        f'<text x="{WIDTH - 40}" y="34" fill="{NEGATIVE}" text-anchor="end">negatives push it up ↑</text>'
    )


def _scene(run: PushedEnergy, n_shown: int, *, moving: bool) -> str:
    """The goal, the forces, the curve, data and chains: all moments, or the last one only."""
    energies = run.energies[::2] if moving else run.energies[-1:]
    dotted = f'fill="none" stroke="{GREY}" stroke-width="2.5" stroke-dasharray="2 7"'
    solid = f'fill="{ENERGY}" fill-opacity=".1" stroke="{ENERGY}" stroke-width="4" stroke-linejoin="round"'
    ground = f"V{HEIGHT + 40}H-20z"  # outside the clipped plot, where the stroke is not seen
    parts = [_path([_line(run.grid, run.target)], dotted)]
    for colour, data_wins in ((DATA, True), (NEGATIVE, False)):
        bars = _bars(run, energies, data_wins=data_wins)
        parts.append(_path(bars, f'stroke="{colour}" stroke-width="5" opacity=".55"'))
    parts.append(_path([_line(run.grid, e) + ground for e in energies], solid))
    for x in run.data[:n_shown]:
        parts.append(_dot([x], [float(np.interp(x, run.grid, e)) for e in energies], DATA))
    for chain in (run.negatives if moving else run.negatives[-1:])[:, :n_shown].T:
        fine = _in_time(chain, 2 * len(chain) - 1)  # heights halfway too, or a dot would cut corners of the curve
        drawn = _in_time(energies, len(fine))
        heights = [float(np.interp(x, run.grid, e)) for x, e in zip(fine, drawn, strict=True)]
        parts.append(_dot(chain, heights, NEGATIVE))
    fade = _animate("opacity", ["0", "1", "1", "0"], times="0;.03;.965;1") if moving else ""
    return f'<g clip-path="url(#plot)" stroke-linecap="round">{fade}{"".join(parts)}</g>{_below(moving=moving)}'


def _in_time(moments: np.ndarray, n: int) -> np.ndarray:
    """n moments evenly over those given, in straight lines between them, as SMIL draws them."""
    at = np.linspace(0, len(moments) - 1, n)
    before = np.floor(at).astype(int)
    after, part = np.minimum(before + 1, len(moments) - 1), (at - before).reshape(-1, *[1] * (moments.ndim - 1))
    return (1 - part) * moments[before] + part * moments[after]


def _below(*, moving: bool) -> str:
    """What the dotted line is, and once the curve has reached it, that it has."""
    place = f'x="{WIDTH / 2:.0f}" y="{HEIGHT - 10}" fill="{GREY}" text-anchor="middle"'
    goal = _animate("opacity", ["0", "1", "1", "0", "0"], times="0;.03;.76;.8;1") if moving else ""
    reached = _animate("opacity", ["0", "0", "1", "1", "0"], times="0;.8;.84;.965;1") if moving else ""
    first = f'<text {place} opacity="0">dotted: −log p of the data{goal}</text>' if moving else ""
    return first + f"<text {place}>in balance, the energy is −log p of the data{reached}</text>"


def _bars(run: PushedEnergy, energies: np.ndarray, *, data_wins: bool) -> list[str]:
    """Bars from the curve, as long as p(data) - p(model) where it is positive, or where it is negative."""
    x = np.linspace(-HALF_WIDTH, HALF_WIDTH, 51)[1:-1]
    paths = []
    for e in energies:
        height = np.interp(x, run.grid, e)
        force = data_density(x) - np.exp(-height)
        length = 95 * np.clip(force if data_wins else -force, 0, None) * (1 if data_wins else -1)
        ends = zip(x, height, length, strict=True)
        paths.append("".join(f"M{_across(a)} {_down(b)}v{c:.0f}" for a, b, c in ends))
    return paths


def _line(grid: np.ndarray, energy: np.ndarray) -> str:
    points = (f"{_across(a)} {_down(b)}" for a, b in zip(grid[::4], energy[::4], strict=True))
    return f"M-20 {_down(energy[0])}L" + "L".join(points) + f"H{WIDTH + 20}"


def _across(x: float) -> str:
    return f"{40 + (x + HALF_WIDTH) / (2 * HALF_WIDTH) * (WIDTH - 80):.0f}"


def _down(energy: float) -> str:
    return f"{GROUND - energy / TALLEST * (GROUND - SKY):.0f}"


def _path(values: list[str], style: str) -> str:
    return f'<path d="{values[-1]}" {style}>{_animate("d", values)}</path>'


def _dot(x: Iterable[float], heights: Iterable[float], colour: str) -> str:
    across, down = [_across(a) for a in x], [_down(b) for b in heights]
    return (
        f'<circle cx="{across[-1]}" cy="{down[-1]}" r="6.5" fill="{colour}" opacity=".85">'
        f"{_animate('cx', across)}{_animate('cy', down)}</circle>"
    )


def _animate(attribute: str, values: Iterable[str], *, times: str = "") -> str:
    """SMIL: the attribute runs through the values in SECONDS, evenly unless times are given; one value stands still."""
    values = list(values)
    if len(values) == 1:
        return ""
    when = f' keyTimes="{times}"' if times else ""
    repeat = f'dur="{SECONDS}s" repeatCount="indefinite"'
    return f'<animate attributeName="{attribute}" {repeat}{when} values="{";".join(values)}"/>'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(cover(), encoding="utf-8")
