"""What pages say of the chapters' costs and prerequisites is what the chapters say; syllabi share the weeks fairly."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbformat import v4

from ebm_course.results import ledger

BOOK = Path(__file__).parents[2] / "book"
TEXTS = (
    "# 5. A title",
    "*Open this chapter:* so.\n\n*To read:* 52 minutes (200 words and 20 lines of code a minute).",
    "**Cost.** About 85 s and 1,170 MB on 2 CPU cores. On a GPU: not measured, the chapter stays on the\nCPU.",
    "**You need** chapters 2 (two forces)\nand 4, what a sum is (chapter 1), and patience.",
    "### Exercise 1. Sums (★, 5 minutes)\n\nTake 100 minutes.",
    "**Exercise 2** (★★★, 15 minutes and 1 minute of training). Differences.",
)


@pytest.fixture
def minutes(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("write_minutes")


@pytest.fixture
def heads(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("chapters")


def chapter(folder: Path, *texts: str) -> Path:
    path = folder / "05_x.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell(text) for text in texts]), path)
    return path


def some(heads: ModuleType, *minutes: int) -> list[Any]:
    """Chapters 1, 2, ... that take so many minutes to read; each needs the one before."""
    return [
        heads.Chapter(k, f"0{k}_x", "Part", f"Title {k}", m, 0, 60, 500, False, "patience", (k - 1,) if k > 1 else ())
        for k, m in enumerate(minutes, 1)
    ]


def test_the_pages_say_what_the_chapters_and_records_say(minutes: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["write_minutes.py", "--check"])
    assert minutes.main() == 0, "run make minutes"


def test_the_limits_say_how_many_runs_the_records_have():
    words = dict(
        enumerate(
            ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
        )
    )
    runs = [len(record.seeds) for record in ledger.records()]
    found = re.search(r"\*\*Few independent runs\.\*\* (\w+) to (\w+),", (BOOK / "limits.md").read_text())
    assert (found[1].lower(), found[2]) == (words[min(runs)], words[max(runs)])


def test_a_head_is_read_with_its_minutes_memory_and_prerequisites(heads: ModuleType, tmp_path: Path):
    found = heads.read(chapter(tmp_path, *TEXTS), "Part")
    assert (found.number, found.title, found.reading, found.exercises) == (5, "A title", 52, 21)
    assert (found.seconds, found.megabytes, found.gpu) == (85, 1170, False)
    assert found.before == (1, 2, 4)
    assert found.needs == "chapters 2 (two forces) and 4, what a sum is (chapter 1), and patience."


@pytest.mark.parametrize("words, gpu", [("GPU: not needed.", False), ("On a GPU: 20 s and 3 GB.", True)])
def test_whether_a_gpu_helps_is_what_the_head_says(heads: ModuleType, tmp_path: Path, words: str, gpu: bool):
    texts = [*TEXTS[:2], f"**Cost.** About 85 s and 170 MB of memory. {words}", *TEXTS[3:]]
    assert heads.read(chapter(tmp_path, *texts)).gpu is gpu


@pytest.mark.parametrize(
    "without, missing",
    [((0,), "# 5. Title"), ((1,), "To read:"), ((2,), "Cost"), ((3,), "You need"), ((4, 5), "★, 5 minutes")],
)
def test_a_chapter_without_what_a_page_needs_is_refused(
    heads: ModuleType, tmp_path: Path, without: tuple[int, ...], missing: str
):
    texts = ["text" if k in without else text for k, text in enumerate(TEXTS)]
    with pytest.raises(ValueError, match=f"05_x.ipynb: expected a .*{missing}.* and found none"):
        heads.read(chapter(tmp_path, *texts))


@pytest.mark.parametrize(
    "sentence, found",
    [
        ("chapters 1 to 4", (1, 2, 3, 4)),
        ("chapters 1, 2 and 7", (1, 2, 7)),
        ("Chapter 2, and 16 hours", (2,)),
        ("sums (chapter 3) and 2 cores", (3,)),
        ("patience", ()),
    ],
)
def test_numbers_of_chapters_are_told_from_other_numbers(heads: ModuleType, sentence: str, found: tuple[int, ...]):
    assert heads.numbers(sentence) == found


def test_the_way_to_a_chapter_has_all_that_it_needs_and_no_more(heads: ModuleType):
    book = some(heads, 10, 10, 10)
    assert heads.path_to(3, book) == [1, 2, 3]
    assert heads.path_to(2, [*book[:2], *some(heads, 1, 1, 1, 1)[3:]]) == [1, 2]


def test_the_chapters_are_those_of_the_table_of_contents(heads: ModuleType):
    names = [found.name for found in heads.chapters()]
    assert names == sorted(path.stem for path in BOOK.glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize(
    "loads, n, split", [((9, 1, 1, 1, 9), 3, [1, 3, 1]), ((5, 5), 2, [1, 1]), ((1, 1, 1), 1, [3]), ((4, 4), 5, [1, 1])]
)
def test_weeks_are_as_even_as_whole_chapters_in_order_can_be(
    minutes: ModuleType, heads: ModuleType, loads: tuple[int, ...], n: int, split: list[int]
):
    book = some(heads, *loads)
    weeks = minutes.weeks(book, n)
    assert [len(week) for week in weeks] == split
    assert [c for week in weeks for c in week] == book


def test_weeks_left_over_go_to_projects(minutes: ModuleType, heads: ModuleType):
    assert minutes.syllabus(some(heads, 60, 60), 5).splitlines()[-1].startswith("| 3 to 5 | Projects |")
    assert minutes.syllabus(some(heads, 60, 60), 3).splitlines()[-1].startswith("| 3 | Projects |")
    assert "Projects" not in minutes.syllabus(some(heads, 60, 60), 2)


def test_a_page_keeps_its_words_and_gets_its_tables(minutes: ModuleType, heads: ModuleType):
    page = "# A\n\n% begin costs\nold\n% end costs\n\nwords\n"
    once = minutes.written(page, some(heads, 60))
    assert "old" not in once
    assert once.startswith("# A\n\n% begin costs, written by make minutes\n\n| |")
    assert once.endswith("% end costs\n\nwords\n")
    assert minutes.written(once, some(heads, 60)) == once


def test_a_table_that_nobody_makes_is_refused(minutes: ModuleType, heads: ModuleType):
    with pytest.raises(ValueError, match="there is no table 'cost': expected one of costs, "):
        minutes.written("% begin cost\n% end cost\n", some(heads, 60))


def test_every_table_is_on_some_page(minutes: ModuleType):
    asked = {found[1] for path in BOOK.glob("*.md") for found in minutes.BLOCK.finditer(path.read_text())}
    assert asked == set(minutes.BLOCKS)
