"""Questions of an assignment, read from otter-grader's test files, and what a student's names earn in each.

A test file holds one question: its points and cases, some of them hidden from students. The course's questions are all
or nothing: the points are earned where every case passes. It knows no notebook.

>>> import tempfile
>>> code = f"{'>' * 3} assert x == 1, 'x is 1'"  # otter-grader writes its tests as examples
>>> spec = {"name": "q1", "points": 2, "all_or_nothing": True, "suites": [{"cases": [{"code": code}]}]}
>>> question_of(spec).grade({"x": 1}) == Verdict(2), question_of(spec).grade({"x": 3}) == Verdict(0, "x is 1")
(True, True)
>>> with tempfile.TemporaryDirectory() as folder:
...     for name in ("q1_10", "q1_9"):
...         _ = (path := Path(folder) / f"{name}.py").write_text(f"test = {spec | {'name': name}}")
...     [question.name for question in read_questions(Path(folder))], spec_of(path)["name"]
(['q1_9', 'q1_10'], 'q1_9')
"""

from __future__ import annotations

import ast
import builtins
import doctest
import io
import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebm_course.ambient import usual_settings


@dataclass(frozen=True)
class Verdict:
    """The points earned in a question, and the reason where they are fewer than all."""

    points: float
    message: str = ""


@dataclass(frozen=True)
class Question:
    """A question that a program grades: its cases are code, run in turn until one raises."""

    name: str
    points: float
    cases: tuple[str, ...]

    def grade(self, names: Mapping[str, Any]) -> Verdict:
        """What ``names``, those that a student's cells have defined, earn. A case works on a copy of the mapping.

        What a cell has set in torch and left so, such as ``torch.set_grad_enabled(False)``, is no answer's fault; nor
        is a variable called ``sum``: in a case, names of Python's own functions stay theirs.

        >>> question = Question("q1", 2, ("assert x == 1, 'x is 1'",))
        >>> question.grade({"x": 1}), question.grade({"x": 0}).message
        (Verdict(points=2, message=''), 'x is 1')
        """
        own = {name: value for name, value in names.items() if name not in vars(builtins)}
        for number, case in enumerate(self.cases):
            try:
                with redirect_stdout(io.StringIO()), usual_settings():
                    exec(compile(case, f"<{self.name}, case {number}>", "exec"), dict(own))
            except AssertionError as wrong:
                return Verdict(0, str(wrong) or "an assertion of the test fails")
            except NameError as missing:
                return Verdict(0, f"there is no {missing.name}: the cell that defines it is missing or has stopped")
            except (Exception, SystemExit) as error:
                return Verdict(0, f"the test stops with {type(error).__name__}: {error}")
        return Verdict(self.points)


def question_of(spec: Mapping[str, Any]) -> Question:
    """A question from the dictionary of an otter test file (its OK format).

    Raises:
        ValueError: the file asks for what the course's questions do not have.
    """
    name = spec["name"]
    if not spec.get("all_or_nothing"):
        raise ValueError(f"question {name} is not all or nothing: write `all_or_nothing: true` in its configuration.")
    (suite,) = spec["suites"]
    parsed = [doctest.DocTestParser().get_examples(case["code"]) for case in suite["cases"]]
    if any(example.want for examples in parsed for example in examples):
        raise ValueError(f"a test of question {name} prints something: tests here are silent or raise.")
    return Question(name, float(spec["points"]), tuple("".join(e.source for e in case) for case in parsed))


def read_questions(folder: Path) -> list[Question]:
    """The questions of all test files in ``folder``, in order: q1_10 comes after q1_9.

    Raises:
        FileNotFoundError: there is no test file.
    """
    paths = sorted(folder.glob("*.py"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no test files: run `make assignments`, or name the right folder.")
    found = [question_of(spec_of(path)) for path in paths]
    return sorted(found, key=lambda question: [int(part) for part in re.findall(r"\d+", question.name)])


def spec_of(path: Path) -> dict[str, Any]:
    """The dictionary that a test file assigns to ``test``; nothing of the file is run."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "test":
            found: dict[str, Any] = ast.literal_eval(node.value)
            return found
    raise ValueError(f"{path} is no test file of otter-grader: it assigns nothing to `test`.")
