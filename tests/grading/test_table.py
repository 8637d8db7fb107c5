"""The table of grades leaves nothing behind in the process that reads it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ebm_course.grading.questions import Question
from ebm_course.grading.table import Table


def test_reading_leaves_the_limit_of_a_field_to_the_process(tmp_path: Path) -> None:
    path, usual = tmp_path / "grades.csv", csv.field_size_limit()
    table = Table(path, [Question("q1", 2, ())], [])
    table.write()
    table.read()
    path.write_text("another,table\n", encoding="utf-8")
    with pytest.raises(ValueError, match="other columns"):
        table.read()
    assert csv.field_size_limit() == usual
