"""The drawings outside the notebooks: stored as the code draws them, and the map shows the table of contents."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

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


def test_the_map_numbers_thirteen_chapters(script: Callable[[str], ModuleType]):
    numbers = re.findall(r'map-number">(\d+)<', script("draw_map").draw_map())
    assert [int(number) for number in numbers] == list(range(1, 14))


@pytest.mark.parametrize("link", ["_config.yml", "_toc.yml"])
def test_the_book_reads_the_configuration_at_the_top(link: str):
    assert (ROOT / "book" / link).readlink() == Path("..") / link
