"""The table of grades: what reading it leaves behind, and signs that a file of text cannot hold."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ebm_course.grading.questions import Question, Verdict
from ebm_course.grading.table import Table
from ebm_course.grading.workers import Graded


def test_reading_leaves_the_limit_of_a_field_to_the_process(tmp_path: Path) -> None:
    path, usual = tmp_path / "grades.csv", csv.field_size_limit()
    table = Table(path, [Question("q1", 2, ())], [])
    table.write()
    table.read()
    path.write_text("another,table\n", encoding="utf-8")
    with pytest.raises(ValueError, match="other columns"):
        table.read()
    assert csv.field_size_limit() == usual


def test_zero_bytes_of_a_message_do_not_make_the_table_unreadable(tmp_path: Path) -> None:
    table, version = Table(tmp_path / "grades.csv", [Question("q1", 2, ())], ["q2"]), f"{'a' * 16}-{'0' * 16}"
    table.add(Graded("a.ipynb", {"q1": Verdict(0, "\0 is no number")}), {"q2": "because\0"}, version)
    again = Table(table.path, table.questions, ["q2"])
    again.read()
    assert again.rows == table.rows and again.rows["a.ipynb"]["answer q2"] == "because\\x00"


def test_files_whose_names_a_spreadsheet_would_compute_have_a_row_each(tmp_path: Path) -> None:
    table, version = Table(tmp_path / "grades.csv", [Question("q1", 2, ())], []), f"{'a' * 16}-{'0' * 16}"
    for name in ("=a.ipynb", "'=a.ipynb"):
        table.add(Graded(name, {"q1": Verdict(2)}), {}, version)
    assert list(table.rows) == ["'=a.ipynb", "''=a.ipynb"]
