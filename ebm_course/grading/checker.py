"""``grader.check("q1_1")`` in a student's notebook: the public tests of a question, and what they say."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ebm_course.grading.questions import question_of


class Checker:
    """The public tests of an assignment, as its notebook holds them; hidden ones stay with the grader.

    Args:
        specs: dictionaries of otter test files, one a question.

    >>> Checker([]).check("q1_1")
    there is no question q1_1: this assignment has none
    """

    resting: ClassVar[bool] = False
    """Set by whoever grades: the tests are run after all cells, and not twice."""

    def __init__(self, specs: Iterable[Mapping[str, Any]]):
        self.questions = {spec["name"]: question_of(spec) for spec in specs}

    def check(self, name: str) -> None:
        """Print what the public tests say of what the notebook has defined so far."""
        if self.resting:
            return
        if name not in self.questions:
            print(f"there is no question {name}: this assignment has {', '.join(self.questions) or 'none'}")
            return
        frame = inspect.currentframe()
        caller = frame.f_back if frame else None
        verdict = self.questions[name].grade(caller.f_globals if caller else {})
        print(f"{name}: {verdict.message or 'the public tests pass (hidden tests decide about the points)'}")
