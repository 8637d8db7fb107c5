r"""An assignment as `make assignments` leaves it for whoever grades: tests, title, and what is graded by hand.

>>> import tempfile
>>> test = {"name": "q1", "points": 2, "all_or_nothing": True, "suites": [{"cases": []}]}
>>> solution = {"cells": [{"cell_type": "code", "source": "import torch\nx = torch.ones(3)"}]}
>>> with tempfile.TemporaryDirectory() as folder:
...     home = Path(folder) / "1_energies"
...     (home / "tests").mkdir(parents=True)
...     _ = (home / "tests" / "q1.py").write_text(f"test = {test}")
...     _ = (home / "assignment.json").write_text(json.dumps({"title": "Energies", "manual": {}}))
...     _ = (home / "1_energies.ipynb").write_text(json.dumps(solution))
...     found: Assignment = read_assignment(home)
...     read_assignments(Path(folder)) == [found]
True
>>> found.name, found.title, found.questions[0].points, imported(found)
('1_energies', 'Energies', 2.0, ['torch'])
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ebm_course.grading.questions import Question, read_questions
from ebm_course.grading.submission import Submission, fingerprint, read_submission

ABOUT = "assignment.json"


@dataclass(frozen=True)
class Assignment:
    """What grading needs of an assignment.

    Args:
        manual: name of a question that a person grades -> its heading, under which the answer stands.
        solution: the notebook with all answers.
        version: a fingerprint of its tests.
    """

    name: str
    title: str
    questions: tuple[Question, ...]
    manual: dict[str, str]
    solution: Submission
    version: str


def read_assignment(folder: Path) -> Assignment:
    """The assignment in ``folder``, whatever its name is now.

    Raises:
        FileNotFoundError: it holds none, or several notebooks and none of the folder's name.
    """
    folder = folder.resolve()  # "." has a name too
    about = folder / ABOUT
    if not about.is_file():
        raise FileNotFoundError(f"{folder} holds no assignment to grade with: run `make assignments`.")
    told, tests = json.loads(about.read_text(encoding="utf-8")), sorted((folder / "tests").glob("*.py"))
    solution, notebooks = folder / f"{folder.name}.ipynb", sorted(folder.glob("*.ipynb"))
    if not solution.is_file():
        if len(notebooks) != 1:
            names = ", ".join(path.name for path in notebooks) or "none"
            raise FileNotFoundError(f"{folder} holds these notebooks: {names}; expected one, the solution.")
        (solution,) = notebooks
    return Assignment(
        folder.name,
        told["title"],
        tuple(read_questions(folder / "tests")),
        told["manual"],
        read_submission(solution),
        fingerprint(about, *tests),
    )


def read_assignments(folder: Path) -> list[Assignment]:
    """All assignments below ``folder``, by name."""
    return [read_assignment(path.parent) for path in sorted(folder.glob(f"*/{ABOUT}"))]


def imported(assignment: Assignment) -> list[str]:
    """Modules that the solution and the tests import, so that whoever grades can import them once for all."""
    sources = [*assignment.solution.code, *(case for question in assignment.questions for case in question.cases)]
    return sorted(set(_imported(sources)))


def _imported(sources: Iterable[str]) -> Iterable[str]:
    for source in sources:
        with suppress(SyntaxError):  # a cell with a line of IPython's
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module
