"""``check``: right, missing and wrong answers, each with its reason, in a notebook without a traceback."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from ebm_course.exercises import Answer, WrongAnswer, check

PAIR = torch.tensor([0.5, 0.3])


@pytest.mark.parametrize("answer", [0.25, 0.2505, np.float32(0.25), torch.tensor(0.25), torch.tensor(0.25).double()])
def test_a_number_of_any_kind_can_be_right(answer: Any, capsys: pytest.CaptureFixture[str]):
    assert check("one", answer, 0.25) == Answer(right=True)
    assert capsys.readouterr().out == "one: right\n"


@pytest.mark.parametrize("answer", [None, (None, 1.0), [1.0, [None]]])
def test_a_missing_answer_is_told_and_does_not_raise(answer: Any, capsys: pytest.CaptureFixture[str]):
    assert check("one", answer, 0.25) == Answer(right=False)
    assert capsys.readouterr().out == "one: not answered yet\n"


def empty(x):
    """Says what it would do."""


def no_return(x):
    y = x + 1  # noqa: F841 - the mistake


def sometimes(x):
    if x == 1:
        return 2


@pytest.mark.parametrize("stub", [lambda x: None, empty])
def test_a_function_without_a_line_of_its_own_is_missing(stub: Any):
    assert check("f", stub, cases=[((1,), 2)]) == Answer(right=False)


@pytest.mark.parametrize(("function", "where"), [(no_return, 1), (sometimes, 2), ([].append, 1)])
def test_a_forgotten_return_is_told(function: Any, where: int):
    with pytest.raises(
        WrongAnswer, match=rf"f\({where}\) returns None: a function gives back what stands after return"
    ):
        check("f", function, cases=[((1,), 2), ((2,), 3)])


def test_a_function_that_ends_the_program_is_wrong():
    with pytest.raises(WrongAnswer, match=r"f\(1\) stops with SystemExit: 0"):
        check("f", lambda x: sys.exit(0), cases=[((1,), 2)])


WRONG = {
    "sign": (-0.25, 0.25, "the sign is the other way round"),
    "percent": (25.0, 0.25, "not a percentage"),
    "rounded percent": (9.9, 8 / 81, "not a percentage"),
    "bits": (1.0, np.log(2), "not bits"),
    "twice": (0.5, 0.25, "twice"),
    "not finite": (float("nan"), 0.25, "not finite"),
    "type": ("a half", 0.25, "one number is asked for"),
    "list for a number": ([1, 2], 0.25, r"one number is asked for, yours has shape \(2,\)"),
    "number for a list": (0.5, PAIR, "2 numbers are asked for"),
    "complex": (0.25j, 0.25, "one number is asked for"),
    "ragged": ([[1, 2], [3]], PAIR, "2 numbers are asked for"),
    "order": ([0.3, 0.5], PAIR, "their order is not"),
    "one of them": ([0.5, 0.7], PAIR, "1 of 2 numbers are wrong, the first at place 1"),
    "transposed": ([[1.0, 3.0], [2.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]], "rows and columns are exchanged"),
    "a shape": (PAIR, torch.zeros(2, 2), r"numbers of shape \(2, 2\) are asked for"),
    "a function for a number": (len, 0.25, "you gave a function"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_raises_and_says_why(case: str):
    answer, right, why = WRONG[case]
    with pytest.raises(WrongAnswer, match=why):
        check("one", answer, right)


def test_a_known_mistake_comes_before_a_guess():
    with pytest.raises(WrongAnswer, match="you forgot the prior"):
        check("one", -0.25, 0.25, mistakes={"you forgot the prior": -0.25})


def test_a_hint_is_said_where_nothing_else_is_known():
    with pytest.raises(WrongAnswer, match=r"you gave 0.9: set the gradient to zero\.$"):
        check("one", 0.9, 0.25, hint="set the gradient to zero")


def test_an_answer_that_the_page_cannot_read_is_a_reason():
    with pytest.raises(WrongAnswer, match="ZeroDivisionError"):
        check("step", 0.08, 1.1, seen=lambda step: 1 / (1 - step / 0.08))
    with pytest.raises(WrongAnswer, match="you gave 'x': it cannot be used"):
        check("step", "x", holds=lambda step: step > 0)


def test_a_condition_can_say_why():
    assert check("step", 0.1, holds=lambda step: step > 0)
    with pytest.raises(WrongAnswer, match="a step is positive"):
        check("step", -1.0, holds=lambda step: step > 0 or "a step is positive")
    with pytest.raises(WrongAnswer, match=r"you gave -1: think of a line\.$"):
        check("step", -1.0, holds=lambda step: step > 0, hint="think of a line")


def test_a_function_is_tried_on_every_case_and_the_first_that_fails_is_named():
    cases = [((1, 2), 3), ((2, 2), 4)]
    assert check("add", lambda a, b: a + b, cases=cases)
    with pytest.raises(WrongAnswer, match=r"add\(2, 2\): not right yet, you gave 5"):
        check("add", lambda a, b: a + b if a == 1 else 5, cases=cases)
    with pytest.raises(WrongAnswer, match=r"add\(1, 2\) stops with KeyError"):
        check("add", lambda a, b: {}[a], cases=cases)
    with pytest.raises(WrongAnswer, match="a function is asked for"):
        check("add", 3, cases=cases)


def test_a_function_cannot_change_the_tensors_it_is_tried_on():
    x = torch.zeros(2)
    assert check("f", lambda x: x.add_(1), cases=[((x,), [1.0, 1.0])])
    assert x.eq(0).all()


@pytest.mark.parametrize("given", [{}, {"right": 1.0, "holds": bool}, {"right": 1.0, "cases": [((1,), 1)]}])
def test_a_check_that_does_not_know_what_is_right_is_refused(given: dict[str, Any]):
    with pytest.raises(TypeError, match="exactly one of right, cases and holds"):
        check("one", 1.0, **given)


def test_a_notebook_shows_nothing_of_what_a_check_returns():
    assert InteractiveShell().display_formatter.format(Answer(right=False)) == ({}, {})


def test_a_notebook_shows_the_reason_and_no_traceback(capsys: pytest.CaptureFixture[str]):
    shell = InteractiveShell()
    shell.run_cell("from ebm_course.exercises import check\ncheck('one', -0.25, 0.25)")
    shown = capsys.readouterr().out
    assert re.sub(r"\s+$", "", shown) == "one: not right yet, you gave -0.25: the sign is the other way round."
