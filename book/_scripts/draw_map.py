"""The map of the chapters: boxes on four lines, as HTML that takes its colours from the page and wraps on a telephone.

It knows the order of the chapters and who supplies their negatives; which of them can be read yet it asks the table of
contents. How the map looks is in ``_static/course.css``.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

import yaml

TOC = Path(__file__).parents[2] / "_toc.yml"


@dataclass(frozen=True)
class Stop:
    """A chapter on the map: its number, its title, and who supplies its negatives."""

    number: int
    title: str
    negatives: str


TRUNK = (
    Stop(1, "What is an energy", "all other answers"),
    Stop(2, "Likelihood gradients", "a Markov chain"),
)
BRANCHES = {
    "Sequences": (
        Stop(3, "A language model that cannot carry", "none yet"),
        Stop(4, "Residual energies by noise contrast", "a language model"),
        Stop(5, "The discrete attack", "a substitution attack"),
        Stop(6, "Adversarial training", "the attack, at every step"),
    ),
    "Images": (
        Stop(7, "A classifier is an energy", "Langevin chains in a buffer"),
        Stop(8, "Robust JEM", "projected gradient descent"),
    ),
    "Structures": (
        Stop(9, "Structured prediction energy networks", "descent on the answer"),
        Stop(10, "Joint inference networks", "an inference network"),
    ),
    "Text": (
        Stop(11, "Adversarial training of text classifiers", "embedding perturbations"),
        Stop(12, "Contrast and reconstruction", "a memory bank"),
    ),
}
LAST = Stop(13, "Scaling out", "the same, on many devices")


def pages() -> dict[int, str]:
    """Chapter number -> name of its page, for the chapters that are in the table of contents."""
    parts = yaml.safe_load(TOC.read_text(encoding="utf-8"))["parts"]
    names = [chapter["file"] for part in parts for chapter in part["chapters"]]
    return {int(name[:2]): f"{name}.html" for name in names if name[:2].isdigit()}


def draw_stop(stop: Stop, page: str | None) -> str:
    """One box: a link where there is a page, marked "to come" where there is none."""
    inner = (
        f'<span class="map-number">{stop.number}</span>'
        f'<span class="map-title">{escape(stop.title)}</span>'
        f'<span class="map-from">{escape(stop.negatives)}</span>'
    )
    if page is None:
        return f'<div class="map-stop map-later" title="to come">{inner}</div>'
    return f'<a class="map-stop" href="{page}">{inner}</a>'


def draw_map() -> str:
    """The whole map, to be put inline into a page."""
    found = pages()
    lines = ['<nav class="course-map" aria-label="Map of the chapters">', '<div class="map-trunk">']
    lines += [draw_stop(stop, found.get(stop.number)) for stop in TRUNK]
    lines += ["</div>", '<div class="map-branches">']
    for name, stops in BRANCHES.items():
        lines += ['<div class="map-branch">', f'<span class="map-name">{escape(name)}</span>']
        lines += [*(draw_stop(stop, found.get(stop.number)) for stop in stops), "</div>"]
    return "\n".join([*lines, "</div>", draw_stop(LAST, found.get(LAST.number)), "</nav>"]) + "\n"
