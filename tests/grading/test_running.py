"""Cells that wait by ``await``, as they may in a notebook, in the processes of the grader."""

from __future__ import annotations

import os

import pytest

from ebm_course.grading.questions import Question, Verdict
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
