"""The guide for instructors: every chapter has its section, and its recipe does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

BOOK = Path(__file__).parents[2] / "book"
GUIDE = (BOOK / "instructors.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted(BOOK.glob("[0-9][0-9]_*.ipynb"))


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
