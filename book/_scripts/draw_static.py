"""Draw what the book shows outside its notebooks: ``make figures`` writes them, a test compares them.

The cover and the logo come from the package, the map of the chapters from the file beside this one.
"""

from __future__ import annotations

from pathlib import Path

from draw_map import draw_map

from ebm_course.figures.cover import cover
from ebm_course.figures.logo import logo

STATIC = Path(__file__).parents[1] / "_static"


def drawings() -> dict[str, str]:
    """File name -> content of every drawing under ``_static``."""
    return {
        "cover.svg": cover(),
        "logo.svg": logo("Energies and\ntheir negatives"),
        "favicon.svg": logo(),
        "map.html": draw_map(),
    }


if __name__ == "__main__":
    for name, content in drawings().items():
        (STATIC / name).write_text(content, encoding="utf-8")
        print(f"book/_static/{name}: {len(content) / 1024:.1f} kB")
