"""`python -m ebm_course grade`, as a teacher runs it, over what students hand in."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "grading" / "conftest.py"
SPEC = importlib.util.spec_from_file_location("small_assignment", HERE)
assert SPEC and SPEC.loader
small = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(small)
assignment, write, text, code = small.assignment, small.write, small.text, small.code
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="grading forks")

RIGHT = ("x = 1", "y = 2", "z = 3")
STUBBORN = "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"
SLOW_TEST = "class Slow:\n    def __eq__(self, other):\n        while True:\n            pass\n\ny = Slow()"
WRITES = """\
import os

for place in range(3, 200):
    try:
        os.write(place, b"100 points\\n")
    except OSError:
        pass
"""
CASES = {  # name: cells, points, and what the message has to say
    "right": (RIGHT, 6, ""),
    "untouched": (("x = ...", "y = ...", "z = ..."), 0, "q0_1: x is 1"),
    "nothing": ((), 0, "q0_10: there is no z"),
    "raises": (("x = 1", "1 / 0", "y = 2", "z = 4"), 4, "code cell 2 stops with ZeroDivisionError: division by zero"),
    "not-python": (("x = 1", "y = = 2", "z = 3"), 4, "code cell 2 is not valid Python, line 1"),
    "null": (("x = 1", "a = '\x00'", "y = 2", "z = 3"), 6, "code cell 2 is not valid Python, line 1: source code"),
    "endless": (("x = 1", "while True:\n    pass", "y = 2", "z = 3"), 6, "code cell 2 was stopped after 3 s"),
    "stubborn": (
        ("x = 1", "y = 2", STUBBORN, "z = 3"),
        6,
        "code cell 3 ended the program or would not stop: everything",
    ),
    "quits": (("x = 1", "import os\n\nos._exit(0)", "y = 2", "z = 3"), 6, "code cell 2 ended the program"),
    "exits": (("x = 1", "import sys\n\nsys.exit()", "y = 2", "z = 3"), 6, "code cell 2 stops with SystemExit"),
    "asks": (("x = 1", "y = int(input())", "z = 3"), 4, "code cell 2 stops with EOFError"),
    "slow-test": (("x = 1", SLOW_TEST, "z = 3"), 4, "q0_2: its test was stopped after 3 s"),
    "reordered": (("y = x + 1", "z = y + 1", "x = 1"), 6, "code cell 2 needs 'y', defined further down"),
    "magics": (("%pip install -q x\n!exit 1\nx = 1", "%%time\ny = 2", "%time z = 3"), 6, ""),
    "hungry": (("x = 1", "import torch\n\ntorch.zeros(500_000_000)", "y = 2", "z = 3"), 6, "stops with RuntimeError"),
    "writes": (("x = 1", WRITES, "y = 2", "z = 3"), 6, "code cell 2 writes where only the grader does"),
    "forks": (("import os\nimport time\n\nif os.fork() == 0:\n    time.sleep(99)", *RIGHT), 6, ""),
    "shows": (
        ("import matplotlib.pyplot as plt\n\nplt.plot([1])\nplt.show()\ndisplay(1)\nprint('x' * 10**6)", *RIGHT),
        6,
        "",
    ),
}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ebm_course", "grade", *map(str, arguments)]


def run(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def here(capsys: pytest.CaptureFixture) -> Iterator[Callable[..., str]]:
    """The command in this process, which has imported torch: what it says, its exit code checked."""
    import torch

    from ebm_course.__main__ import main

    def run(*arguments: object, code: int = 0) -> str:
        try:
            found = main(["grade", *map(str, arguments)])
        except SystemExit as stop:
            found = int(stop.code or 0)
        told = "".join(capsys.readouterr())
        assert found == code, told
        return told

    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_whatever_a_notebook_does_it_gets_a_score_and_a_message(
    tmp_path: Path, assignment: Path, write: Callable[..., Path]
):
    handed_in = tmp_path / "handed in"
    for name, (cells, _, _) in CASES.items():
        write(handed_in / name / "work.ipynb", *cells)
    write(handed_in / "wrote.ipynb", *RIGHT, text("### Question 0.3"), text("Because, *in short*."))
    write(handed_in / "untitled.IPYNB", *RIGHT, title="no heading")
    (handed_in / "broken.ipynb").write_text("x = 1")
    (handed_in / "lost.ipynb").symlink_to(tmp_path / "nowhere.ipynb")
    (handed_in / "folder.ipynb").mkdir()
    write(handed_in / "folder.ipynb" / "work.ipynb", *RIGHT)
    (handed_in / "right" / ".ipynb_checkpoints").mkdir()
    write(handed_in / "right" / ".ipynb_checkpoints" / "work.ipynb", "x = 0")
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": "x = 1"}]}], "nbformat": 3}
    (handed_in / "old.ipynb").write_text(json.dumps(old))
    run(handed_in, "--assignment", assignment, "--seconds", 3, "--workers", 2, "--memory", 1)
    found = rows(handed_in / "grades.csv")
    assert len(found) == len(CASES) + 6
    for name, (_, points, message) in CASES.items():
        row = found[f"{name}/work.ipynb"]
        assert (float(row["points"]), float(row["of"])) == (points, 6), (name, row["messages"])
        assert message in row["messages"] if message else row["messages"] == "", name
    assert found["wrote.ipynb"]["answer q0_3"] == "Because, *in short*."
    assert found["untitled.IPYNB"]["points"] == "6"
    assert found["broken.ipynb"]["points"] == "0"
    assert "this file is no notebook" in found["broken.ipynb"]["messages"]
    assert found["old.ipynb"]["points"] == "2"
    assert found["folder.ipynb/work.ipynb"]["points"] == "6"
    assert (found["lost.ipynb"]["points"], found["lost.ipynb"]["messages"]) == (
        "0",
        "this file cannot be read: No such file or directory",
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_and_keeps_what_a_teacher_entered(
    tmp_path: Path, assignment: Path, write: Callable[..., Path]
):
    handed_in, table = tmp_path / "handed in", tmp_path / "all.csv"
    for k in range(5):
        write(handed_in / f"{k}.ipynb", "import time\n\ntime.sleep(0.5)", *RIGHT)
    options = (handed_in, "--assignment", assignment, "--out", table, "--workers", 1)
    with subprocess.Popen(command(*options), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        while not process.stdout.readline().startswith("2/5"):
            pass
        process.send_signal(signal.SIGKILL)
    before = rows(table)
    assert 2 <= len(before) < 5
    table.write_text(table.read_text().replace("0.ipynb,6,6,2,2,2,,", "0.ipynb,6,6,2,2,2,1.5,"))
    write(handed_in / "1.ipynb", "x = 1", "y = 2")  # handed in again
    told = run(*options)
    assert f"5 submissions, {len(before) - 1} graded before" in told
    after = rows(table)
    assert [row["points"] for row in after.values()] == ["6", "4"] + ["6"] * 3
    assert after["0.ipynb"]["q0_3"] == "1.5"


def test_points_entered_by_hand_are_never_deleted_without_a_word_and_a_copy(
    tmp_path: Path, assignment: Path, write: Callable[..., Path], here: Callable[..., str]
):
    handed_in = tmp_path / "handed in"
    table, options = handed_in / "grades.csv", (handed_in, "--assignment", assignment)
    for name in ("ada", "bob"):
        write(handed_in / f"{name}.ipynb", *RIGHT)
    here(*options)
    table.write_text(table.read_text().replace(",6,6,2,2,2,,", ",6,6,2,2,2,1.5,").rstrip())  # no end of the last line
    (handed_in / "bob.ipynb").rename(tmp_path / "away.ipynb")
    assert "2 rows, 1 of files that are not there now" in here(*options)
    (tmp_path / "away.ipynb").rename(handed_in / "bob.ipynb")
    question = assignment / "tests" / "q0_2.py"
    question.write_text(question.read_text().replace("y == 2", "y == 3"))
    before = table.read_bytes()
    assert "nothing was graded" in here(*options, code=1)  # the solution has another answer yet
    assert table.read_bytes() == before
    write(assignment / "0_small.ipynb", "x = 1", "y = 3", "z = 3")
    told = here(*options)
    assert "2 submissions, 0 graded before" in told and "no longer stand" not in told
    assert [(row["points"], row["q0_3"]) for row in rows(table).values()] == [("4", "1.5"), ("4", "1.5")]
    before = table.read_bytes()
    write(handed_in / "bob.ipynb", "x = 1", "y = 3", "z = 3")
    told = here(*options)
    assert "points that were entered no longer stand in grades.csv" in told
    assert f"damaged: bob.ipynb. The table as it was: {table}.bak\n" in told
    assert Path(f"{table}.bak").read_bytes() == before
    assert [(row["points"], row["q0_3"]) for row in rows(table).values()] == [("4", "1.5"), ("6", "")]
    assert "no longer stand" not in here(*options)


def test_nothing_is_graded_where_the_solution_itself_loses_points(
    tmp_path: Path, assignment: Path, write: Callable[..., Path]
):
    write(assignment / "0_small.ipynb", "x = 1", "import no_such_module\n\ny = 2", "z = 3")
    write(tmp_path / "handed in" / "a.ipynb", *RIGHT)
    told = run(tmp_path / "handed in", "--assignment", assignment, code=1)
    assert "the solution itself loses points here, so nothing was graded. code cell 2 stops with ModuleNotFound" in told
    assert not (tmp_path / "handed in" / "grades.csv").exists()


def test_what_cannot_be_graded_is_said_in_one_sentence(
    tmp_path: Path,
    assignment: Path,
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    from ebm_course.__main__ import main
    from ebm_course.commands import grade

    def refused(*arguments: object) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["grade", *map(str, arguments)])
        assert stop.value.code == 2
        return capsys.readouterr().err

    handed_in, empty = tmp_path / "handed in", tmp_path / "empty"
    empty.mkdir()
    write(handed_in / "a.ipynb", "x = 1", title="# Homework")
    monkeypatch.setattr(grade, "ASSIGNMENTS", assignment.parent)
    assert "is no folder" in refused(tmp_path / "nowhere")
    assert "holds no notebooks" in refused(empty)
    assert "titles of assignments in these notebooks: none. Name one of 0_small" in refused(handed_in)
    assert "holds no assignment to grade with" in refused(handed_in, "--assignment", "1_small")
    for option, value in (
        ("--workers", "0"),
        ("--workers", "5000"),
        ("--seconds", "nan"),
        ("--seconds", "1e+12"),
        ("--seconds", "-1"),
        ("--total", "inf"),
        ("--memory", "inf"),
    ):
        assert f"{option} {value}: expected a number larger than 0 and at most" in refused(handed_in, option, value)
    monkeypatch.setattr(grade, "ASSIGNMENTS", empty)
    assert "run `make assignments`" in refused(handed_in)
    write(handed_in / "b.ipynb", "x = 1")
    monkeypatch.setattr(grade, "ASSIGNMENTS", assignment.parent)
    (handed_in / "grades.csv").write_text("name,points\n")
    assert main(["grade", str(handed_in)]) == 1
    assert "has other columns" in capsys.readouterr().err
