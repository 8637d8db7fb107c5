"""Notebooks as students hand them in, and the table that their grades stand in."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ebm_course.grading.questions import Question, Verdict
from ebm_course.grading.submission import Submission, fingerprint, read_submission
from ebm_course.grading.table import Table
from ebm_course.grading.workers import Graded


def test_cells_are_all_that_is_asked_of_a_notebook(tmp_path: Path):
    path = tmp_path / "a.ipynb"
    sheets = [
        {"cells": [{"cell_type": "code", "input": ["x = 1\n", "y = 2"]}, {"cell_type": "markdown", "source": "Hi"}]}
    ]
    for notebook in (
        {"worksheets": sheets},
        {"cells": [{"cell_type": "code", "source": "x = 1\ny = 2"}, sheets[0]["cells"][1]]},
    ):
        path.write_text("\ufeff" + json.dumps(notebook), encoding="utf-8")
        assert read_submission(path) == Submission(("x = 1\ny = 2",), ("Hi",))


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "x = 1", '{"cells": [{}]}', '{"cells": 3}', '{"worksheets": null}', b'{"cells": "\xff"}'],
)
def test_what_is_no_notebook_is_said_to_be_none_and_why(tmp_path: Path, content: str | bytes):
    (tmp_path / "a.ipynb").write_bytes(content if isinstance(content, bytes) else content.encode())
    json_at_all = isinstance(content, str) and content[:1] in ("{", "[")
    reason = "it is JSON, and holds no cells" if json_at_all else "it is not JSON in UTF-8"
    with pytest.raises(ValueError, match=f"this file is no notebook: {reason}"):
        read_submission(tmp_path / "a.ipynb")


def test_a_written_answer_is_found_under_the_heading_of_its_question():
    prompt = "_Type your answer here, replacing this text._"
    cells = (
        "# Title",
        "### Question 1.1",
        "a",
        "### Question 1.10",
        "b",
        "#### My thoughts",
        "c",
        "<!-- END -->",
        "## Part 2",
        "d",
    )
    written = Submission((), cells)
    assert written.title == "Title"
    assert written.written("Question 1.1") == "a"
    assert written.written("Question 1.10") == "b\n\n#### My thoughts\n\nc"
    assert Submission((), ("### Question 1.1 (2 points)", prompt)).written("Question 1.1") == ""
    assert Submission((), ("a",)).written("Question 1.1") == Submission((), ("a",)).title == ""


QUESTIONS = (Question("q1", 2, ()), Question("q2", 1, ()))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def graded(name: str, points: float = 2) -> Graded:
    return Graded(name, {"q1": Verdict(points), "q2": Verdict(0, "the sign")}, ["code cell 3 stops"])


@pytest.fixture
def table(tmp_path: Path) -> Callable[[], Table]:
    return lambda: Table(tmp_path / "grades.csv", QUESTIONS, ["q3"])


def test_a_row_holds_points_answers_and_all_reasons(table: Callable[[], Table]):
    one = table()
    one.write()
    one.add(graded("a.ipynb"), {"q3": "=SUM(A1)"}, "v")
    (row,) = rows(one.path)
    assert row == {
        "file": "a.ipynb",
        "points": "2",
        "of": "3",
        "q1": "2",
        "q2": "0",
        "q3": "",
        "answer q3": "'=SUM(A1)",
        "messages": "code cell 3 stops\nq2: the sign",
        "version": "v",
    }


def test_rows_that_are_whole_and_of_this_version_are_kept_with_what_a_teacher_entered(table: Callable[[], Table]):
    first = table()
    first.write()
    for name in ("a.ipynb", "b.ipynb", "-c.ipynb"):
        first.add(graded(name), {"q3": "because, and\nbecause"}, "v1")
    text = first.path.read_text()
    first.path.write_text(text.replace("b.ipynb,2,3,2,0,,", "b.ipynb,2,3,2,0,1.5,") + 'd.ipynb,2,3,"2,0')
    again = table()
    again.read()
    left = again.keep({"a.ipynb": "v2", "b.ipynb": "v1", "-c.ipynb": "v1", "d.ipynb": "v1"})
    assert left == ["a.ipynb", "d.ipynb"]
    assert again.rows["b.ipynb"]["q3"] == "1.5"
    again.write()
    assert [row["file"] for row in rows(again.path)] == ["'-c.ipynb", "b.ipynb"]


def test_the_table_of_another_assignment_is_not_overwritten(table: Callable[[], Table]):
    table().path.write_text("file,points,of,p1\na,1,1,1\n")
    with pytest.raises(ValueError, match="other columns than this assignment"):
        table().read()


def test_a_fingerprint_changes_with_any_byte_and_with_the_order(tmp_path: Path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    seen = {fingerprint(a), fingerprint(b), fingerprint(a, b), fingerprint(b, a)}
    assert len(seen) == 4
    assert {len(one) for one in seen} == {16}
