"""The drawings outside the notebooks: stored as the code draws them, and the map shows the table of contents."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from matplotlib.colors import to_rgb
from PIL import Image

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "book" / "_static"


def test_stored_drawings_are_what_the_code_draws(script: Callable[[str], ModuleType]):
    drawn = script("draw_static").drawings()
    stored = {name: (STATIC / name).read_text(encoding="utf-8") for name in drawn}
    assert stored == drawn, "run `make figures`"


def test_the_map_links_the_chapters_of_the_table_of_contents_and_no_others(script: Callable[[str], ModuleType]):
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    files = {chapter["file"] for part in parts for chapter in part["chapters"]}
    linked = re.findall(r'href="([^"]+)\.html"', script("draw_map").draw_map())
    assert sorted(linked) == sorted(file for file in files if file[:2].isdigit())


def test_the_picture_of_a_chapter_was_taken_with_the_chapters_that_there_are(script: Callable[[str], ModuleType]):
    picture = Image.open(STATIC / "chapter.png")
    assert picture.text["chapters"] == script("photograph").names(), "run make photograph"
    assert (STATIC / "chapter.png").stat().st_size < 120_000


def test_the_map_numbers_thirteen_chapters(script: Callable[[str], ModuleType]):
    numbers = re.findall(r'map-number">(\d+)<', script("draw_map").draw_map())
    assert [int(number) for number in numbers] == list(range(1, 14))


@pytest.mark.parametrize("name", ["_config.yml", "_toc.yml"])
def test_the_book_reads_the_configuration_at_the_top(name: str):
    inner = ROOT / "book" / name
    assert inner.read_text(encoding="utf-8") == (ROOT / name).read_text(encoding="utf-8"), "run make copies"
    assert not inner.is_symlink(), "archives and Windows know no links"


def test_the_readme_shows_the_cover_and_a_chapter_and_says_what_they_show():
    shown = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(shown) == 2
    assert all((ROOT / path).is_file() and len(words.split()) > 10 for words, path in shown)


def contrast(a: str, b: str) -> float:
    """Contrast of WCAG 2, 1 to 21."""
    linear = [
        [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)] for colour in (a, b)
    ]
    dark, bright = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)
    return (bright + 0.05) / (dark + 0.05)


def test_the_colours_of_the_style_sheet_can_be_read_on_the_ground_of_their_mode():
    css = (STATIC / "course.css").read_text()
    day, night = (css.split(f"html{mode} {{")[1].split("}")[0] for mode in ("", '[data-theme="dark"]'))
    for block, grounds in ((day, ["#ffffff", "#f3f4f5"]), (night, ["#121212", "#14181e", "#222832"])):
        colours = re.findall(r"--course-(?:data|negative): (#[0-9a-f]{6});", block)
        assert len(colours) == 2
        assert all(contrast(colour, ground) >= 4.5 for colour in colours for ground in grounds)
