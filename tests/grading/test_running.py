"""Cells in the processes of the grader: those that wait by ``await``, and those that write where the grader does."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

import pytest

from ebm_course.grading.questions import Question, Verdict
from ebm_course.grading.running import Magics, run_cell
from ebm_course.grading.submission import Submission
from ebm_course.grading.workers import Limits, grade_all

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="grading forks")

STUBBORN = """\
import asyncio

async def stay():
    while True:
        try:
            await asyncio.sleep(1)
        except BaseException:
            pass

await stay()
"""
CASES = {  # name: cells, and what the notes have to say
    "waits": (("import asyncio\nx = await asyncio.sleep(0, 1)", "%time y = await asyncio.sleep(0, 2)"), []),
    "long": (("import asyncio\nawait asyncio.sleep(99)", "x = 1; y = 2"), ["code cell 1 was stopped after 1 s"]),
    "stubborn": ((STUBBORN, "x = 1; y = 2"), ["code cell 1 was stopped after 1 s"]),
    "stops": (("x = await None", "x = 1; y = 2"), ["code cell 1 stops with TypeError: "]),
    "late": (("x = await f()", "async def f():\n    return 1\ny = 2"), ["code cell 1 needs 'f', defined further down"]),
}


def test_a_cell_may_wait_as_in_a_notebook_and_no_longer_than_other_cells():
    submissions = {name: Submission(cells, ()) for name, (cells, _) in CASES.items()}
    question = Question("q", 2, ("assert (x, y) == (1, 2)",))
    found = list(grade_all(submissions, [question], n_workers=5, limits=Limits(seconds=1)))
    assert {one.name for one in found} == set(CASES)
    for one in found:
        told = CASES[one.name][1]
        assert one.verdicts == {"q": Verdict(2)}, one
        assert len(one.notes) == len(told) and all(map(str.startswith, one.notes, told)), one


@pytest.mark.parametrize(
    "line",
    [
        '["verdict", ["q", 2, ""]]',
        '["verdict", ["bonus", 1000, ""]]',
        '["verdict", 3]',
        '["note", 3]',
        '["done", null]',
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("x" * 3_000_000, id="long"),
    ],
)
def test_what_a_cell_writes_where_the_grader_does_gives_no_points_and_stops_nobody(line: str):
    new = sorted(set(range(3, 60)) - set(open_files()))  # not those of the tests themselves, such as their output
    write = f"for k in {new}:\n    try:\n        os.write(k, text)\n    except OSError:\n        pass"
    cell = f"import json, os\ntext = json.loads({json.dumps(json.dumps(line))}).encode()"
    forged = Submission((f"{cell}\n{write}\ntext = b'\\n' + text + b'\\n'\n{write}", "x = 0"), ())
    question = Question("q", 2, ("assert x == 1, 'x is 1'",))
    (found,) = grade_all({"a": forged}, [question], n_workers=1, limits=Limits(seconds=5))
    assert found.verdicts == {"q": Verdict(0, "x is 1")}
    assert found.notes == ["code cell 1 writes where only the grader does: look at it"]


def open_files() -> Iterator[int]:
    for k in range(60):
        with contextlib.suppress(OSError):
            os.fstat(k)
            yield k


def test_what_a_notebook_asks_of_ipython_is_there_and_does_nothing():
    names: dict = {}
    names["get_ipython"] = lambda: Magics(names)
    run_cell("get_ipython().magic('%time x = 1')\nget_ipython().events.register('post_run_cell', print)", names)
    run_cell("y = 'IPKernelApp' in get_ipython().config", names)
    assert (names["x"], names["y"]) == (1, False)


def test_a_message_is_no_longer_than_a_spreadsheet_can_show():
    question = Question("q", 2, ("assert False, 'x' * 10**6",))
    (found,) = grade_all({"a": Submission((), ())}, [question], n_workers=1, limits=Limits(seconds=5))
    assert found.verdicts["q"].message == "x" * 2_000


def test_a_file_that_a_cell_writes_is_bounded():
    cell = "with open('log', 'wb') as file:\n    file.write(b' ' * 300_000)\n    file.write(b' ' * 300_000)"
    limits = Limits(seconds=5, memory=500_000)
    (found,) = grade_all({"a": Submission((cell,), ())}, [Question("q", 2, ("",))], n_workers=1, limits=limits)
    assert found.notes == ["code cell 1 stops with OSError: [Errno 27] File too large"]
