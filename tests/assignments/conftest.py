"""Assignments as `make assignments` leaves them, made once for all tests here, and their wrong answers."""

from __future__ import annotations

import importlib
import re
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from ebm_course.grading.assignment import Assignment, read_assignment
from ebm_course.grading.checker import Checker
from ebm_course.grading.running import run_cell

ROOT = Path(__file__).parents[2]
MASTERS = sorted((ROOT / "book" / "assignments").glob("[0-9]_*.ipynb"))
WRONG = {
    path.stem: runpy.run_path(str(path))["WRONG"] for path in sorted((Path(__file__).parent / "wrong").glob("*.py"))
}


@dataclass(frozen=True)
class Wrong:
    """A wrong answer, as a student's cell, and words of the reason to be given."""

    name: str
    question: str
    code: str
    reason: str


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``name`` runs for every assignment, one that asks for ``wrong`` for every wrong answer."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", [path.stem for path in MASTERS])
    if "wrong" in metafunc.fixturenames:
        cases = [
            pytest.param(Wrong(name, question, code, reason), id=f"{question}-{reason.replace(' ', '-')}")
            for name, questions in WRONG.items()
            for question, answers in questions.items()
            for code, reason in answers
        ]
        metafunc.parametrize("wrong", cases)


@pytest.fixture(scope="session")
def wrong_answers() -> dict[str, dict[str, list[tuple[str, str]]]]:
    """Assignment -> question -> wrong answers as (code, reason)."""
    return WRONG


@dataclass(frozen=True)
class Made:
    """An assignment in all its versions."""

    master: Path
    student: Path
    autograder: Path

    @property
    def assignment(self) -> Assignment:
        return read_assignment(self.autograder)

    @property
    def questions(self) -> dict[str, tuple[dict[str, Any], list[NotebookNode]]]:
        """Name -> its configuration and its cells, from the master notebook."""
        found, cells = dict[str, tuple[dict[str, Any], list[NotebookNode]]](), None
        for cell in nbformat.read(self.master, as_version=4).cells:
            if cell.source.startswith("# BEGIN QUESTION"):
                config = dict(re.findall(r"^(\w+): (.+)$", cell.source, flags=re.MULTILINE))
                found[config["name"]] = (config, cells := [])
            elif cells is not None:
                cells.append(cell)
        return found


@pytest.fixture(scope="session")
def make() -> ModuleType:
    """The script that makes assignments; skipped where otter-grader is not installed."""
    pytest.importorskip("otter")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "book" / "_scripts")
        return importlib.import_module("make_assignments")


@pytest.fixture(scope="session")
def made(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Make an assignment, by its name; a second time it is there."""
    out, done = tmp_path_factory.mktemp("assignments"), dict[str, Made]()

    def of(name: str) -> Made:
        if name not in done:
            master = ROOT / "book" / "assignments" / f"{name}.ipynb"
            make.make(master, out)
            done[name] = Made(master, out / "student" / name, out / "autograder" / name)
        return done[name]

    return of


@pytest.fixture(scope="session")
def solved(made: Callable[[str], Made]) -> Callable[[str], dict[str, Any]]:
    """What the solution of an assignment defines, by its name; computed once."""
    done = dict[str, dict[str, Any]]()

    def of(name: str) -> dict[str, Any]:
        if name not in done:
            done[name] = {"__name__": "__main__"}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Checker, "resting", True)
                patch.setenv("EBM_COURSE_DEVICE", "cpu")
                for source in made(name).assignment.solution.code:
                    run_cell(source, done[name])
        return done[name]

    return of
