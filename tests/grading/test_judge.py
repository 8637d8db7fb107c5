"""What tests of assignments say: nothing where an answer is right, the reason where it is not."""

from __future__ import annotations

import sys

import pytest
import torch

from ebm_course.exercises import WrongAnswer
from ebm_course.grading.judge import choose, chosen, differentiable, judge, judge_function, several


@pytest.mark.parametrize("missing", [None, ..., [None, 1.0]])
def test_a_missing_answer_is_wrong(missing: object):
    with pytest.raises(WrongAnswer, match="q: not answered yet"):
        judge("q", missing, 1.0)
    with pytest.raises(WrongAnswer, match=r"f: (not answered yet|a function is asked for)"):
        judge_function("f", missing, abs, [(1,)])


def test_a_right_answer_prints_nothing(capsys: pytest.CaptureFixture):
    judge("q", 0.5, 0.5)
    judge_function("f", torch.abs, torch.abs, [(torch.tensor([-1.0]),)])
    choose("c", " b", "B", {"A": "no", "B": ""})
    assert capsys.readouterr().out == ""


def test_a_known_mistake_of_a_function_is_named():
    def double(x):
        return 2 * x

    x = torch.tensor([1.0, 3.0])
    with pytest.raises(WrongAnswer, match=r"f\(numbers of shape \(2,\)\).*the square is asked for"):
        judge_function("f", double, torch.square, [(x,)], mistakes={"the square is asked for": double})


def test_a_function_that_changes_its_argument_is_wrong_though_its_value_is_right():
    x = torch.tensor([1.0, 3.0])
    with pytest.raises(WrongAnswer, match="f changes its argument number 1 in place"):
        judge_function("f", lambda x: x.mul_(2), lambda x: 2 * x, [(x,)])
    assert x.tolist() == [1.0, 3.0]


def test_a_function_that_raises_is_wrong_and_its_error_is_told():
    with pytest.raises(WrongAnswer, match=r"f\(0\) stops with ZeroDivisionError: division by zero"):
        judge_function("f", lambda x: 1 / x, lambda x: x, [(0,)])


def test_a_function_that_ends_the_program_is_wrong():
    with pytest.raises(WrongAnswer, match=r"f\(0\) stops with SystemExit: 3"):
        judge_function("f", lambda x: sys.exit(3), lambda x: x, [(0,)])


def test_a_forgotten_return_is_told_and_an_empty_function_is_no_answer():
    def forgot(x):
        y = x + 1  # noqa: F841 - the mistake

    def untouched(x):
        return ...

    with pytest.raises(WrongAnswer, match=r"f\(0\) returns None: a function gives back what stands after return"):
        judge_function("f", forgot, lambda x: x, [(0,)])
    for stub in (untouched, lambda x: None):
        with pytest.raises(WrongAnswer, match=r"f\(0\): not answered yet"):
            judge_function("f", stub, lambda x: x, [(0,)])


def test_answer_and_reference_draw_the_same_numbers():
    def draw(n, generator):
        return torch.randn(n, generator=generator)

    stream = torch.Generator().manual_seed(1)
    judge_function("f", draw, draw, [(3, stream), (3, stream)])
    with pytest.raises(WrongAnswer):
        judge_function("f", lambda n, generator: draw(n + 1, generator)[1:], draw, [(3, stream)])


@pytest.mark.parametrize(
    "answer, why",
    [("A", "gave 'A': no."), ("E", "one of the letters"), (2, "one of the letters"), ("", "one of the letters")],
)
def test_a_wrong_letter_is_told_why(answer: object, why: str):
    with pytest.raises(WrongAnswer, match=why):
        choose("c", answer, "B", {"A": "no", "B": ""})


def test_a_public_test_of_a_choice_says_only_whether_it_is_one():
    for letter in "ABCD":
        chosen("c", letter, "ABCD")
    for other, why in (
        (..., "not answered"),
        ("AB", "one letter"),
        ("E", "one of the letters"),
        (1, "one of the letters"),
    ):
        with pytest.raises(WrongAnswer, match=why):
            chosen("c", other, "ABCD")


@pytest.mark.parametrize(
    "value, told",
    [
        (..., "not answered yet"),
        (0.5, "loss returns a float, expected a tensor"),
        (torch.ones(2).numpy(), "loss returns a ndarray, expected a tensor"),
        (torch.ones(()), "no gradient goes through what it returns"),
    ],
)
def test_what_cannot_be_trained_with_is_refused_and_told_why(value: object, told: str):
    differentiable("loss", torch.ones(2, requires_grad=True).sum())
    with pytest.raises(WrongAnswer, match=told):
        differentiable("loss", value)


@pytest.mark.parametrize("answer", [(1.0, 2.0), [1, "x"], torch.ones(2), torch.ones(2).numpy(), "AB"])
def test_so_many_values_pass_whatever_holds_them(answer: object):
    several("pair", answer, 2)


@pytest.mark.parametrize(
    "answer, told",
    [
        (..., "pair: not answered yet"),
        ((1.0, None), "pair: not answered yet"),
        (1.38, r"a list of 2 is asked for, such as \(\.\.\., \.\.\.\), got 1.38"),
        (torch.tensor(1.0), "a list of 2 is asked for"),
        ((1, 2, 3), r"got \(1, 2, 3\)"),
    ],
)
def test_another_number_of_values_is_refused_in_words(answer: object, told: str):
    with pytest.raises(WrongAnswer, match=told):
        several("pair", answer, 2)
