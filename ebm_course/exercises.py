"""``check``: one judge for all exercises. It says at once whether an answer is right and, where it can, why not.

It returns where an answer is right or missing and raises :class:`WrongAnswer` where it is wrong, so that a chapter, a
test and a grader use the same function. It knows no exercise: what is right stands where ``check`` is called.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

FACTORS = {
    100.0: "it is 100 times the expected number: a share is asked for, not a percentage",
    0.01: "it is a hundredth of the expected number: is a percentage asked for?",
    2.0: "it is twice the expected number",
    0.5: "it is half the expected number",
    float(np.log(2)): "it is log 2 times the expected number: natural logarithms (nats) are asked for, not bits",
    float(
        1 / np.log(2)
    ): "it is 1 / log 2 times the expected number: natural logarithms (nats) are asked for, not bits",
}
"""What a constant ratio of answer to expected number says."""


@dataclass(frozen=True)
class Answer:
    """What ``check`` found where nothing is wrong: right, or missing. A notebook shows nothing of it.

    >>> bool(Answer(right=True)), bool(Answer(right=False))
    (True, False)
    """

    right: bool

    def __bool__(self) -> bool:
        return self.right

    def _ipython_display_(self) -> None:  # the line that was printed is enough
        pass


class WrongAnswer(AssertionError):
    """An answer that was given and is not right; its text says why. A notebook shows the text and no traceback.

    >>> try:
    ...     check("exercise 1", 2.0, 1.0)
    ... except WrongAnswer as wrong:
    ...     str(wrong)
    'exercise 1: not right yet, you gave 2: it is twice the expected number.'
    """

    def _render_traceback_(self) -> list[str]:  # IPython asks exceptions for this
        return [str(self)]


def check(
    name: str,
    answer: Any,
    right: Any = None,
    *,
    cases: Sequence[tuple[tuple[Any, ...], Any]] = (),
    seen: Callable[[Any], Any] | None = None,
    holds: Callable[[Any], bool | str] | None = None,
    tolerance: float = 1e-3,
    mistakes: Mapping[str, Any] | None = None,
    hint: str = "",
) -> Answer:
    """Print whether ``answer`` is right or missing and return which; raise, with the reason, where it is wrong.

    Args:
        name: what the answer is, the first words of every message.
        answer: a number, several numbers (list, array or tensor) or, with ``cases``, a function. None, or a function
            without a line of its own, counts as missing.
        right: what ``seen(answer)`` has to equal.
        cases: (arguments, right result) pairs for an answer that is a function.
        seen: what of the answer is compared, ``answer`` itself by default. With it a page can check an answer without
            showing it: ``seen=lambda step: 1 / (1 - step / 0.08), right=1.1``.
        holds: a condition instead of ``right``; it returns True, False, or a sentence that says what is wrong.
        tolerance: largest difference in absolute value, of every number.
        mistakes: sentence -> what a known mistake would give in place of ``right``; the sentence is then the reason.
        hint: the reason where nothing more precise is known.

    Raises:
        WrongAnswer: the answer is wrong, or has another type or shape than was asked for.
        TypeError: ``check`` was not told what is right.

    >>> check("exercise 1", None, 0.25)
    exercise 1: not answered yet
    Answer(right=False)
    >>> bool(check("exercise 1", 1 / 4, 0.25))
    exercise 1: right
    True
    >>> check("exercise 1", -1 / 4, 0.25)
    Traceback (most recent call last):
    ebm_course.exercises.WrongAnswer: exercise 1: not right yet, you gave -0.25: the sign is the other way round.
    """
    if (right is None) + (not cases) + (holds is None) != 2:
        raise TypeError(f"check of {name!r} needs exactly one of right, cases and holds.")
    if _missing(answer) or (cases and _missing(_called(name, answer, cases[0][0])) and is_stub(answer)):
        print(f"{name}: not answered yet")
        return Answer(right=False)
    if cases:
        for arguments, expected in cases:
            call = f"{name}({', '.join(_words(argument) for argument in arguments)})"
            found = _called(name, answer, arguments)
            if found is None:
                raise WrongAnswer(f"{call} returns None: a function gives back what stands after return.")
            _compare(call, found, expected, tolerance, mistakes or {}, hint)
    elif holds is not None:
        _hold(name, answer, _asked(name, answer, holds), hint)
    else:
        _compare(name, _asked(name, answer, seen or _same), right, tolerance, mistakes or {}, hint, answer)
    print(f"{name}: right")
    return Answer(right=True)


def _same(answer: Any) -> Any:
    return answer


def is_stub(function: Any) -> bool:
    """Whether a function does nothing: its body is ``...``, ``pass``, ``return None`` or a docstring.

    >>> is_stub(lambda x: None), is_stub(lambda x: print(x))
    (True, False)
    """
    nothing = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    return isinstance(function, FunctionType) and {step.opname for step in dis.get_instructions(function)} <= nothing


def _missing(answer: Any) -> bool:
    """None, or a list or tuple with a None in it."""
    return answer is None or (isinstance(answer, list | tuple) and any(_missing(part) for part in answer))


def _called(name: str, function: Any, arguments: tuple[Any, ...]) -> Any:
    """What the answer, a function, returns; its own error becomes the reason."""
    if not callable(function):
        raise WrongAnswer(f"{name}: a function is asked for, you gave {_words(function)}.")
    copies = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
    try:
        return function(*copies)
    except (Exception, SystemExit) as error:  # whatever a student's code raises is its own fault, not the page's
        given = ", ".join(_words(argument) for argument in arguments)
        raise WrongAnswer(f"{name}({given}) stops with {type(error).__name__}: {error}") from error


def _asked(name: str, answer: Any, question: Callable[[Any], Any]) -> Any:
    """What a page's own function makes of an answer; where it cannot read it, that is the reason."""
    try:
        return question(answer)
    except WrongAnswer:
        raise
    except Exception as error:  # a list for a number, a division by a zero that was given, a wrong shape, ...
        why = f"it cannot be used as an answer ({type(error).__name__}: {error})"
        raise WrongAnswer(f"{name}: not right yet, you gave {_words(answer)}: {why}.") from error


def _hold(name: str, answer: Any, verdict: Any, hint: str) -> None:
    if isinstance(verdict, str) or not bool(verdict):
        why = verdict if isinstance(verdict, str) else hint
        raise WrongAnswer(f"{name}: not right yet, you gave {_words(answer)}{': ' + why if why else ''}.")


def _compare(
    name: str, found: Any, right: Any, tolerance: float, mistakes: Mapping[str, Any], hint: str, answer: Any = None
) -> None:
    """Raise with the most precise reason there is unless ``found`` equals ``right``."""
    given = f"{name}: not right yet, you gave {_words(found if answer is None else answer)}"
    expected = _numbers(right)
    try:
        numbers = _numbers(found)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WrongAnswer(f"{given}: {_asked_for(expected)} asked for.") from error
    if numbers.shape != expected.shape:
        raise WrongAnswer(f"{given}: {_asked_for(expected)} asked for, yours has shape {tuple(numbers.shape)}.")
    if _close(numbers, expected, tolerance):
        return
    known = (why for why, value in mistakes.items() if _close(numbers, _numbers(value), tolerance))
    why = next(known, "") or _reason(numbers, expected, tolerance) or hint
    raise WrongAnswer(f"{given}{': ' + why if why else ''}.")


def _close(x: Tensor, y: Tensor, tolerance: float) -> bool:
    return x.shape == y.shape and bool(((x - y).abs() <= tolerance).all())


def _reason(x: Tensor, right: Tensor, tolerance: float) -> str:
    """What the numbers alone give away: not finite, the other sign, a constant factor, another order."""
    if not bool(x.isfinite().all()):
        return "it holds numbers that are not finite"
    if _close(-x, right, tolerance):
        return "the sign is the other way round"
    for factor, why in FACTORS.items():
        if right.abs().max() > tolerance and _close(x / factor, right, tolerance):
            return why
    if right.ndim == 2 and _close(x, right.T, tolerance):
        return "rows and columns are exchanged"
    if right.numel() > 1 and _close(x.flatten().sort().values, right.flatten().sort().values, tolerance):
        return "the numbers are right and their order is not"
    wrong = ((x - right).abs() > tolerance).flatten()
    if right.numel() > 1 and not bool(wrong.all()):
        return f"{int(wrong.sum())} of {wrong.numel()} numbers are wrong, the first at place {int(wrong.nonzero()[0])}"
    return ""


def _numbers(value: Any) -> Tensor:
    """As float64 on the CPU, without a graph."""
    if isinstance(value, list | tuple):
        return torch.stack([_numbers(part) for part in value]) if value else torch.zeros(0, dtype=torch.float64)
    numbers = torch.as_tensor(value).detach().cpu()
    if numbers.is_complex():
        raise TypeError("complex numbers are no answers here")
    return numbers.to(torch.float64)


def _asked_for(expected: Tensor) -> str:
    """In words: one number is, 3 numbers are, numbers of shape (2, 3) are."""
    if expected.ndim == 0:
        return "one number is"
    return f"{len(expected)} numbers are" if expected.ndim == 1 else f"numbers of shape {tuple(expected.shape)} are"


def _words(value: Any) -> str:
    """A value in at most sixty characters."""
    if callable(value):
        return "a function"
    if isinstance(value, Tensor | np.ndarray | np.generic):
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        if array.ndim >= 2:
            return f"numbers of shape {array.shape}"
        value = array.tolist()
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
