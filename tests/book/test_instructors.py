"""The guide for instructors: the minutes of its table are those of the chapters, and its recipes do what they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbformat import v4

BOOK = Path(__file__).parents[2] / "book"
GUIDE = (BOOK / "instructors.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted(BOOK.glob("[0-9][0-9]_*.ipynb"))
ROWS = "| | Chapter | To read | Exercises | Before it |\n|---|---|---|---|---|\n| 5 | Old | 1 min | 2 min | sums |\n"


@pytest.fixture
def minutes(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("write_minutes")


def chapter(folder: Path, *texts: str) -> Path:
    path = folder / "05_x.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell(text) for text in texts]), path)
    return path


TEXTS = (
    "# 5. A title",
    "*Open this chapter:* so.\n\n*To read:* 52 minutes (200 words and 20 lines of code a minute).",
    "### Exercise 1. Sums (★, 5 minutes)\n\nTake 100 minutes.",
    "**Exercise 2** (★★★, 15 minutes and 1 minute of training). Differences.",
)


def test_the_minutes_of_every_chapter_are_those_of_its_head_and_its_exercises(minutes: ModuleType):
    assert minutes.table(GUIDE, NOTEBOOKS) == GUIDE, "run make minutes"


def test_a_row_gets_title_reading_minutes_and_the_sum_of_the_exercises(minutes: ModuleType, tmp_path: Path):
    row = minutes.table(ROWS, [chapter(tmp_path, *TEXTS)]).splitlines()[-1]
    assert row == "| 5 | A title | 52 min | 21 min | sums |"


@pytest.mark.parametrize("without, missing", [(0, "# 5. Title"), (1, "To read:.* 52 minutes"), (2, "★, 5 minutes")])
def test_a_chapter_without_what_a_row_needs_is_refused(minutes: ModuleType, tmp_path: Path, without: int, missing: str):
    texts = ["text" if k == without or (k == 3 and without == 2) else text for k, text in enumerate(TEXTS)]
    with pytest.raises(ValueError, match=f"05_x.ipynb: expected a .*{missing}.* and found none"):
        minutes.table(ROWS, [chapter(tmp_path, *texts)])


def test_a_table_that_leaves_a_chapter_out_is_refused(minutes: ModuleType, tmp_path: Path):
    with pytest.raises(ValueError, match=r"rows for chapters \[\], the book has \[5\]"):
        minutes.table(ROWS.replace("| 5 |", "| five |"), [chapter(tmp_path, *TEXTS)])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_chapter_has_goals_misconceptions_and_a_question(path: Path):
    sections = re.split(r"^### (?=\d+\. )", GUIDE, flags=re.MULTILINE)
    (section,) = [part for part in sections if part.startswith(f"{int(path.stem[:2])}. ")]
    assert re.findall(r"^(Goals|Misconceptions|Ask)\n: ", section, flags=re.MULTILINE) == [
        "Goals",
        "Misconceptions",
        "Ask",
    ]


def test_the_recipe_for_handing_out_leaves_hints_and_takes_solutions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (recipe,) = re.findall(r"^```python\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "book").symlink_to(BOOK)
    monkeypatch.chdir(tmp_path)
    exec(recipe, {})
    for path in NOTEBOOKS:
        whole: Any = nbformat.read(path, as_version=4)
        handed: Any = nbformat.read(tmp_path / "handout" / path.name, as_version=4)
        nbformat.validate(handed)
        before, after = ("\n".join(cell.source for cell in nb.cells) for nb in (whole, handed))
        assert before.count("<summary>Solution") > 0
        assert after.count("<summary>Solution") == 0
        assert after.count("<summary>Hint") == before.count("<summary>Hint")
        assert after.count("<details>") == after.count("</details>") == after.count("<summary>")
        code = [[cell.source for cell in nb.cells if cell.cell_type == "code"] for nb in (whole, handed)]
        assert code[0] == code[1]
        assert not any(cell.get("outputs") for cell in handed.cells)
