"""Questions read from otter's test files, and what names earn in them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ebm_course.grading.assignment import imported, read_assignment
from ebm_course.grading.checker import Checker
from ebm_course.grading.questions import Question, Verdict, question_of, read_questions, spec_of
from ebm_course.grading.submission import Submission


def test_questions_are_read_in_the_order_of_their_numbers(assignment: Path):
    found = read_questions(assignment / "tests")
    assert [question.name for question in found] == ["q0_1", "q0_2", "q0_10"]
    assert found[0] == Question("q0_1", 2.0, ("assert x is not None\n", "assert x == 1, 'x is 1'\n"))


@pytest.mark.parametrize(
    "names, told",
    [
        ({"x": 2}, "x is 1"),
        ({}, "there is no x: the cell that defines it is missing or has stopped"),
        ({"x": None}, "an assertion of the test fails"),
    ],
)
def test_a_question_gives_all_points_or_none_and_says_why(assignment: Path, names: dict, told: str):
    question = read_questions(assignment / "tests")[0]
    assert question.grade({"x": 1}) == Verdict(2.0)
    assert question.grade(names) == Verdict(0, told)


def test_a_test_that_stops_loses_the_points_and_says_how():
    for error, told in (("1 / 0", "ZeroDivisionError: division by zero"), ("raise SystemExit(1)", "SystemExit: 1")):
        assert Question("q", 1, (error,)).grade({}) == Verdict(0, f"the test stops with {told}")


def test_what_a_test_assigns_or_prints_is_its_own(capsys: pytest.CaptureFixture):
    names = {"x": 1}
    Question("q", 1, ("x = 5\nprint(x)",)).grade(names)
    assert names == {"x": 1}
    assert capsys.readouterr().out == ""


def test_settings_of_torch_that_a_cell_has_left_cost_no_points():
    leaf = torch.ones(2, requires_grad=True)
    case = "loss(leaf).backward()"
    with torch.no_grad(), torch.device("meta"):
        verdict = Question("q", 1, (case, "assert make().sum() == 2")).grade(
            {"leaf": leaf, "loss": lambda x: x.sum(), "make": lambda: torch.ones(2)}
        )
        assert not torch.is_grad_enabled()
    assert verdict == Verdict(1)


def test_a_variable_with_the_name_of_one_of_pythons_functions_costs_no_points():
    names = {"x": [1, 2], "sum": 3, "len": None, "range": torch.arange, 5: 6}
    assert Question("q", 1, ("assert sum(x) == 3 and [k for k in range(len(x))] == [0, 1]",)).grade(names) == Verdict(1)


def test_a_test_file_that_the_course_cannot_keep_is_refused():
    suites = [{"cases": [{"code": ">>> 1\n1"}]}]
    with pytest.raises(ValueError, match="not all or nothing"):
        question_of({"name": "q", "points": 1, "suites": suites})
    with pytest.raises(ValueError, match="prints something"):
        question_of({"name": "q", "points": 1, "suites": suites, "all_or_nothing": True})


def test_a_test_file_is_read_and_not_run(tmp_path: Path):
    (tmp_path / "q.py").write_text("raise SystemExit\ntest = {'name': 'q'}\n")
    assert spec_of(tmp_path / "q.py") == {"name": "q"}
    (tmp_path / "q.py").write_text("tests = 1\n")
    with pytest.raises(ValueError, match="no test file of otter-grader"):
        spec_of(tmp_path / "q.py")
    with pytest.raises(FileNotFoundError, match="make assignments"):
        read_questions(tmp_path / "nowhere")


def test_an_assignment_is_known_by_its_folder_whatever_that_is_called(
    assignment: Path, monkeypatch: pytest.MonkeyPatch
):
    found = read_assignment(assignment)
    copy = assignment.rename(assignment.with_name("auto2"))
    assert read_assignment(copy) == dataclasses.replace(found, name="auto2")
    monkeypatch.chdir(copy)
    assert read_assignment(Path(".")) == read_assignment(copy)
    (copy / "notes.ipynb").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"auto2 holds these notebooks: 0_small\.ipynb, notes\.ipynb; expected"):
        read_assignment(copy)
    (copy / "0_small.ipynb").rename(copy / "auto2.ipynb")
    assert read_assignment(copy).solution == found.solution


def test_imports_of_solution_and_tests_are_found_and_nothing_is_run(assignment: Path):
    read = read_assignment(assignment)
    code = (
        "import colorsys as c\nraise SystemExit",
        "%pip install x",
        "from xml.dom import minidom",
        "def f():\n    import abc",
    )
    tested = (Question("q", 1, ("from json import loads",)),)
    found = imported(dataclasses.replace(read, solution=Submission(code, ()), questions=tested))
    assert found == ["abc", "colorsys", "json", "xml.dom"]


def test_a_student_reads_the_reason_and_the_grader_is_not_disturbed(
    assignment: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    names = {"grader": Checker([spec_of(path) for path in sorted((assignment / "tests").glob("*.py"))])}
    for line in (
        "grader.check('q0_1')",
        "x = 3; grader.check('q0_1')",
        "x = 1; grader.check('q0_1')",
        "grader.check('q7')",
    ):
        exec(line, names)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("q0_1: there is no x")
    assert told[1] == "q0_1: x is 1"
    assert told[2].startswith("q0_1: the public tests pass")
    assert told[3] == "there is no question q7: this assignment has q0_1, q0_10, q0_2"
    monkeypatch.setattr(Checker, "resting", True)
    exec("grader.check('q0_1')", names)
    assert capsys.readouterr().out == ""
