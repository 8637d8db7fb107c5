"""A small assignment of three questions and one for a person, as `make assignments` leaves one, written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def code(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}


def text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def spec(name: str, *cases: str) -> dict[str, Any]:
    shown = [{"code": f">>> {case}", "hidden": k > 0} for k, case in enumerate(cases)]
    return {"name": name, "points": 2, "all_or_nothing": True, "suites": [{"cases": shown}]}


@pytest.fixture
def write() -> Callable[..., Path]:
    """Write a notebook of cells, strings being code, below the title of the small assignment."""

    def notebook(path: Path, *cells: str | dict[str, Any], title: str = "# Assignment 0. Small") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        all_of_them = [text(title), *(code(cell) if isinstance(cell, str) else cell for cell in cells)]
        path.write_text(json.dumps({"cells": all_of_them, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return path

    return notebook


@pytest.fixture
def assignment(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """Its folder: ``x`` is to be 1, ``y`` 2, ``z`` 3."""
    folder = tmp_path / "autograder" / "0_small"
    write(folder / "0_small.ipynb", "x = 1", "y = 2", "z = 3")
    (folder / "tests").mkdir()
    for name, variable, value in (("q0_1", "x", 1), ("q0_2", "y", 2), ("q0_10", "z", 3)):
        told = spec(name, f"assert {variable} is not None", f"assert {variable} == {value}, '{variable} is {value}'")
        (folder / "tests" / f"{name}.py").write_text(f"OK_FORMAT = True\n\ntest = {told!r}\n")
    about = {"title": "Assignment 0. Small", "manual": {"q0_3": "Question 0.3"}}
    (folder / "assignment.json").write_text(json.dumps(about))
    return folder
