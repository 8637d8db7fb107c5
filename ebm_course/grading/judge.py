"""What the tests of assignments call: silent where an answer is right, one sentence with the reason where it is not.

They are :func:`ebm_course.exercises.check` for a grader: a missing answer is wrong here, and nothing is printed. It
knows no assignment: what is right stands in the test.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout, suppress
from typing import Any

import torch
from torch import Tensor

from ebm_course.exercises import WrongAnswer, check, is_stub


def judge(name: str, answer: Any, right: Any = None, **options: Any) -> None:
    """Raise with the reason unless ``answer`` is right; ``options`` are those of ``check``.

    Raises:
        WrongAnswer: the answer is wrong, or there is none: None, or ``...`` as a student's version has it.

    >>> judge("question 1", 0.25, 1 / 4)
    >>> judge("question 1", ..., 1 / 4)
    Traceback (most recent call last):
    ebm_course.exercises.WrongAnswer: question 1: not answered yet.
    """
    with redirect_stdout(io.StringIO()):
        answered = answer is not ... and check(name, answer, right, **options)
    if not answered:
        raise WrongAnswer(f"{name}: not answered yet.")


def judge_function(
    name: str,
    answer: Any,
    reference: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    *,
    mistakes: Mapping[str, Callable[..., Any]] | None = None,
    tolerance: float = 1e-4,
    hint: str = "",
) -> None:
    """Raise with the reason unless ``answer`` is a function that returns what ``reference`` does.

    Args:
        arguments: one tuple a call; every call gets copies, random generators in the same state among them.
        mistakes: sentence -> a function with a known mistake; where the answer returns the same, the sentence is the
            reason.

    Raises:
        WrongAnswer: it returns something else, changes what it is given, stops, or is no function.

    >>> judge_function("f", lambda x: x + 1, lambda x: x + 1, [(torch.zeros(2),)])
    >>> judge_function("f", lambda x: x, lambda x: x + 1, [(torch.zeros(2),)], mistakes={"one is added": lambda x: x})
    Traceback (most recent call last):
    ebm_course.exercises.WrongAnswer: f(numbers of shape (2,)): not right yet, you gave [0.0, 0.0]: one is added.
    """
    if answer is ... or not callable(answer):
        raise WrongAnswer(
            f"{name}: not answered yet." if answer in (..., None) else f"{name}: a function is asked for."
        )
    for given in arguments:
        right = reference(*_copies(given))
        known = {why: wrong(*_copies(given)) for why, wrong in (mistakes or {}).items()}
        told = {"tolerance": tolerance, "hint": hint, "mistakes": known}
        judge(_called(name, given), _returned(name, answer, given), right, **told)


def differentiable(name: str, value: Any) -> None:
    """Raise unless ``value``, which an answer returned, is a tensor through which gradients go.

    >>> differentiable("loss", torch.ones(2, requires_grad=True).mean())
    >>> differentiable("loss", 0.5)
    Traceback (most recent call last):
    ebm_course.exercises.WrongAnswer: loss returns a float, expected a tensor, to be trained with: no .item(), no NumPy.
    """
    _check_answered(name, value)
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise WrongAnswer(f"{name} returns a {kind}, expected a tensor, to be trained with: no .item(), no NumPy.")
    if not value.requires_grad:
        raise WrongAnswer(
            f"{name}: no gradient goes through what it returns: leave out .detach(), no_grad() and torch.tensor()."
        )


def choose(name: str, answer: Any, right: str, options: Mapping[str, str]) -> None:
    """Raise with the reason unless ``answer`` is the letter that is right.

    Args:
        options: letter -> why it is wrong; of the right one it is not read.

    >>> choose("question 2", "b", "B", {"A": "Z depends on the parameters", "B": ""})
    >>> choose("question 2", "A", "B", {"A": "Z depends on the parameters", "B": ""})
    Traceback (most recent call last):
    ebm_course.exercises.WrongAnswer: question 2: not right, you gave 'A': Z depends on the parameters.
    """
    _check_answered(name, answer)
    letter = answer.strip().upper() if isinstance(answer, str) else ""
    if letter not in options:
        raise WrongAnswer(f"{name}: one of the letters {', '.join(options)} is asked for, in quotes, got {answer!r}.")
    if letter != right:
        raise WrongAnswer(f"{name}: not right, you gave {letter!r}: {options[letter]}.")


def chosen(name: str, answer: Any, options: str) -> None:
    """Raise unless ``answer`` is one of the letters in ``options``, right or not: what a public test may say.

    >>> chosen("question 2", "c", "ABC")
    >>> chosen("question 2", "D", "ABC")
    Traceback (most recent call last):
    ebm_course.exercises.WrongAnswer: question 2: one of the letters A, B, C is asked for, in quotes, got 'D'.
    """
    if isinstance(answer, str) and len(answer.strip()) != 1:
        raise WrongAnswer(f"{name}: one letter is asked for, got {answer!r}.")
    letter = answer.strip().upper() if isinstance(answer, str) else answer
    choose(name, answer, letter, dict.fromkeys(options, ""))


def several(name: str, answer: Any, n: int) -> None:
    """Raise unless ``answer`` holds ``n`` parts, right or not: what a public test may say.

    >>> several("question 3", (1.0, 2.0), 2)
    >>> several("question 3", 1.0, 2)
    Traceback (most recent call last):
    ebm_course.exercises.WrongAnswer: question 3: a list of 2 is asked for, such as (..., ...), got 1.0.
    """
    _check_answered(name, answer)
    parts = list[Any]()
    with suppress(TypeError):  # a single number
        parts = list(answer)
    for part in parts:
        _check_answered(name, part)
    if len(parts) != n:
        raise WrongAnswer(f"{name}: a list of {n} is asked for, such as ({', '.join(['...'] * n)}), got {answer!r}.")


def _check_answered(name: str, answer: Any) -> None:
    if answer is ... or answer is None:
        raise WrongAnswer(f"{name}: not answered yet.")


def _returned(name: str, answer: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    """What the answer returns for copies of its arguments, which it has to leave as they are."""
    copies = _copies(given)
    try:
        value = answer(*copies)
    except (Exception, SystemExit) as error:  # whatever a student's code raises is an answer's fault
        raise WrongAnswer(f"{_called(name, given)} stops with {type(error).__name__}: {error}") from error
    for number, (before, after) in enumerate(zip(given, copies, strict=True), start=1):
        if isinstance(before, Tensor) and not torch.equal(before, after):
            raise WrongAnswer(f"{name} changes its argument number {number} in place: work on a copy.")
    if value is None and not is_stub(answer):
        raise WrongAnswer(f"{_called(name, given)} returns None: a function gives back what stands after return.")
    return None if value is ... else value


def _copies(given: tuple[Any, ...]) -> list[Any]:
    return [_copy(value) for value in given]


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, torch.Generator):
        return torch.Generator().set_state(value.get_state())
    return value


def _called(name: str, given: tuple[Any, ...]) -> str:
    return f"{name}({', '.join(_word(value) for value in given)})"


def _word(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"numbers of shape {tuple(value.shape)}" if value.ndim else f"{value.item():.6g}"
    if isinstance(value, torch.Generator):
        return "a generator"
    return "a function" if callable(value) else repr(value)
