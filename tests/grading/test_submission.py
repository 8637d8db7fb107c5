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


def test_a_file_of_brackets_alone_is_no_notebook_either(tmp_path: Path):
    (tmp_path / "a.ipynb").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="this file is no notebook: it is JSON nested too deep"):
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


V1, V2, V1_OTHER_TESTS = (f"{own * 16}-{tests * 16}" for own, tests in ("11", "21", "12"))
"""Versions of rows: of a submission and its tests; of another submission; of the first one after its tests changed."""
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
    one.add(graded("a.ipynb"), {"q3": "=SUM(A1)"}, V1)
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
        "version": V1,
    }


def test_half_a_sign_in_an_answer_stops_no_table(table: Callable[[], Table], tmp_path: Path):
    (tmp_path / "a.ipynb").write_text(r'{"cells": [{"cell_type": "markdown", "source": ["# Q", "\ud83d"]}]}')
    (answer,) = read_submission(tmp_path / "a.ipynb").text
    one = table()
    one.write()
    one.add(graded("\udcff.ipynb"), {"q3": answer}, V1)  # such a name is one that the system cannot decode
    (row,) = rows(one.path)
    assert (row["file"], row["answer q3"]) == ("\\udcff.ipynb", "# Q\\ud83d")
    again = table()
    again.read()
    assert again.keep({"\udcff.ipynb": V1}) == []


def filled(table: Callable[[], Table], *names: str, entered: str = "1.5") -> Path:
    """The path of a table with rows of these names, and what a teacher has entered in each."""
    first = table()
    first.write()
    for name in names:
        first.add(graded(name), {"q3": "because, and\nbecause"}, V1)
    first.path.write_text(first.path.read_text().replace(",2,3,2,0,,", f",2,3,2,0,{entered},"))
    return first.path


def test_rows_that_are_whole_and_of_this_version_are_kept_with_what_a_teacher_entered(table: Callable[[], Table]):
    path = filled(table, "a.ipynb", "b.ipynb", "-c.ipynb")
    path.write_text(path.read_text() + 'd.ipynb,2,3,"2,0')  # a killed run
    again = table()
    again.read()
    assert again.keep({"a.ipynb": V2, "b.ipynb": V1, "-c.ipynb": V1, "d.ipynb": V1}) == ["a.ipynb", "d.ipynb"]
    again.write()
    assert {row["file"]: row["q3"] for row in rows(path)} == {"'-c.ipynb": "1.5", "b.ipynb": "1.5"}


def test_a_last_line_without_an_end_is_a_row_where_it_is_whole(table: Callable[[], Table]):
    path = filled(table, "a.ipynb", "b.ipynb")
    whole = path.read_text().rstrip()
    for cut, left in ((0, []), (1, ["b.ipynb"]), (17, ["b.ipynb"]), (40, ["b.ipynb"])):
        path.write_text(whole[: len(whole) - cut])
        again = table()
        again.read()
        assert again.keep({"a.ipynb": V1, "b.ipynb": V1}) == left, cut
        assert again.rows["a.ipynb"]["q3"] == "1.5"
        assert again.dropped == set(left)  # the row had been written whole: its points were entered later


def test_entered_points_stay_while_the_file_is_away_and_when_the_tests_change(table: Callable[[], Table]):
    path = filled(table, "a.ipynb", "b.ipynb", "c.ipynb", entered="-1")
    again = table()
    again.read()
    assert again.keep({"a.ipynb": V1_OTHER_TESTS, "c.ipynb": V1}) == ["a.ipynb"]
    again.write()
    waiting = rows(path)[0]
    assert (waiting["points"], waiting["q1"], waiting["q3"], waiting["messages"]) == ("", "", "-1", "not graded yet")
    for k in (1, 2):  # killed once before the new points were written
        again = table()
        again.read()
        assert again.keep(dict.fromkeys(("a.ipynb", "b.ipynb"), V1_OTHER_TESTS)) == ["a.ipynb", "b.ipynb"], k
    again.add(graded("b.ipynb", 0), {"q3": ""}, V1_OTHER_TESTS)
    again.add(graded("a.ipynb", 0), {"q3": ""}, V1_OTHER_TESTS)
    found = [(row["file"], row["points"], row["q3"], row["version"]) for row in rows(path)]
    same = V1_OTHER_TESTS
    assert found == [("a.ipynb", "0", "-1", same), ("b.ipynb", "0", "-1", same), ("c.ipynb", "2", "-1", V1)]
    assert again.back_up() is None


def test_entered_points_of_another_submission_go_and_the_table_is_copied_each_time(table: Callable[[], Table]):
    path = filled(table, "a.ipynb", "b.ipynb")
    whole = path.read_bytes()
    for suffix in (".bak", ".bak1"):
        again = table()
        again.read()
        again.keep({"a.ipynb": V2, "b.ipynb": V1})
        assert again.dropped == {"a.ipynb"}
        copy = again.back_up()
        assert copy == path.with_name(path.name + suffix) and copy.read_bytes() == whole
    assert again.add(graded("a.ipynb"), {"q3": ""}, V2)["q3"] == ""


def test_entered_points_of_a_second_row_of_one_name_are_not_lost_in_silence(table: Callable[[], Table]):
    path = filled(table, "a.ipynb")
    row = path.read_text().partition("\n")[2]
    for second, dropped in ((row, set()), (row.replace(",1.5,", ",,"), {"a.ipynb"})):
        path.write_text(path.read_text() + second)
        again = table()
        again.read()
        assert again.dropped == dropped


def test_a_long_answer_does_not_make_the_table_unreadable(table: Callable[[], Table]):
    first = table()
    first.write()
    first.add(graded("a.ipynb"), {"q3": "word " * 50_000}, V1)
    again = table()
    again.read()
    assert again.rows == first.rows


def test_the_table_of_another_assignment_is_not_overwritten(table: Callable[[], Table]):
    table().path.write_text("file,points,of,p1\na,1,1,1\n")
    with pytest.raises(ValueError, match="other columns than this assignment"):
        table().read()


@pytest.mark.parametrize("begin, separator", [("\ufeff", ";"), ("", "\t"), ("\ufeff", ",")])
def test_a_table_saved_by_another_spreadsheet_is_read_and_stays_as_that_reads_it(
    table: Callable[[], Table], begin: str, separator: str
):
    path = filled(table, "é.ipynb", entered="1")
    cells = list(csv.reader(path.read_text(encoding="utf-8").splitlines(keepends=True)))
    cells[1][5] = "1,5"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(begin)
        csv.writer(file, delimiter=separator).writerows(cells)
    before = path.read_bytes()
    again = table()
    again.read()
    assert again.keep({"é.ipynb": V1}) == []
    assert again.rows["é.ipynb"]["q3"] == "1,5"
    again.write()
    assert path.read_bytes() == before


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le"])
def test_a_table_in_another_encoding_is_named_with_what_to_do(table: Callable[[], Table], encoding: str):
    path = filled(table, "é.ipynb" if encoding == "cp1252" else "a.ipynb")
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    with pytest.raises(ValueError, match=r'grades\.csv is not in UTF-8 .*save it as "CSV UTF-8"'):
        table().read()


def test_a_run_killed_in_the_middle_of_a_sign_goes_on(table: Callable[[], Table]):
    path = filled(table, "a.ipynb")
    path.write_bytes(path.read_bytes() + "é.ipynb,2,3,é".encode()[:-1])
    again = table()
    again.read()
    assert list(again.rows) == ["a.ipynb"] and again.dropped == set()


def test_a_fingerprint_changes_with_any_byte_and_with_the_order(tmp_path: Path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    seen = {fingerprint(a), fingerprint(b), fingerprint(a, b), fingerprint(b, a)}
    assert len(seen) == 4
    assert {len(one) for one in seen} == {16}
