"""Exercises: one judge for all; as stored nothing is answered; solutions are right; answers that are off are refused.

A cell with the tag ``exercise`` follows a Markdown cell whose fold "Solution" holds the code that answers it. Cells
with the tag ``given`` make what exercises use; they are run once a chapter and have to be quick.
"""

from __future__ import annotations

import ast
import itertools
import re
from typing import Any

import pytest
import torch

from ebm_course.exercises import WrongAnswer
from ebm_course.runtime import Run


def solution(text: str) -> str:
    """The code in the fold called Solution; empty where there is none."""
    fold = re.search(r"<summary>Solution</summary>(.*?)</details>", text, flags=re.DOTALL)
    return "\n".join(re.findall(r"```python\n(.*?)```", fold[1], flags=re.DOTALL)) if fold else ""


def exercises(chapter: Any) -> list[tuple[str, str]]:
    """(solution, cell) of every exercise in order."""
    cells = chapter.notebook.cells
    return [
        (solution(a.source), b.source) for a, b in itertools.pairwise(cells) if "exercise" in b.metadata.get("tags", [])
    ]


def checks(source: str) -> list[str]:
    """The statements of a cell that call ``check``."""
    body = ast.parse(source).body
    return [ast.unparse(node) for node in body if any(called(part) for part in ast.walk(node))]


def called(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check"


def placeholders(source: str) -> list[str]:
    """Names that a cell sets to None, alone or several in one line."""
    names = []
    for node in (node for node in ast.parse(source).body if isinstance(node, ast.Assign)):
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        if all(isinstance(value, ast.Constant) and value.value is None for value in values):
            names += [part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    return names


def nudged(value: Any) -> Any:
    """An answer that is off: numbers moved, a function's result too."""
    if callable(value):
        return lambda *args, **kwargs: nudged(value(*args, **kwargs))
    if isinstance(value, list | tuple):
        return type(value)(nudged(part) for part in value)
    if isinstance(value, bool | str):
        return not value if isinstance(value, bool) else value + "?"
    return value * 2 + 1.5 if isinstance(value, float) or torch.is_tensor(value) else value * 2 + 3


@pytest.fixture(scope="module")
def given(each_chapter: Any) -> dict[str, Any]:
    run = Run(torch.device("cpu"), 0)
    return (
        each_chapter.run("given", torch=torch, run=run)
        if each_chapter.tagged("given")
        else {"torch": torch, "run": run}
    )


def test_one_function_judges_all_exercises(each_chapter: Any):
    code = "\n".join(cell.source for cell in each_chapter.code)
    assert not re.search(r"^\s*def check|^\s*check\w*\s*=", code, flags=re.MULTILINE)
    assert "from ebm_course.exercises import check" in code
    tagged = [cell.source for cell in each_chapter.code if "exercise" in cell.metadata.get("tags", [])]
    assert len(tagged) >= 3
    for cell in each_chapter.code:
        calls = any(
            called(node)
            for node in ast.walk(ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)))
        )
        assert not calls or cell.source in tagged, cell.source[:200]


def test_an_untouched_exercise_is_not_answered_yet(each_chapter: Any):
    for cell in each_chapter.tagged("exercise"):
        lines = "".join(output.get("text", "") for output in cell.outputs).splitlines()
        assert lines and all(line.endswith(": not answered yet") for line in lines), cell.source[:200]


def test_solutions_are_right_and_answers_that_are_off_are_refused(
    each_chapter: Any, given: dict[str, Any], capsys: Any
):
    for answer, cell in exercises(each_chapter):
        names = {**given}
        exec("from ebm_course.exercises import check", names)
        exec(cell, names)
        assert "right" not in capsys.readouterr().out, cell
        exec(answer, names)
        lines = checks(cell)
        exec("\n".join(lines), names)
        assert capsys.readouterr().out.splitlines() == [f"{name}: right" for name in labels(lines, names)], cell
        for name in placeholders(cell):
            with pytest.raises(WrongAnswer):
                exec("\n".join(lines), {**names, name: nudged(names[name])})
        capsys.readouterr()


def labels(lines: list[str], names: dict[str, Any]) -> list[str]:
    """The first argument of every check."""
    calls = [next(node for node in ast.walk(ast.parse(line)) if called(node)) for line in lines]
    return [eval(ast.unparse(call.args[0]), names) for call in calls]


def test_an_answer_that_is_off_is_another():
    assert nudged(2.0) == 5.5 and nudged((1, 0)) == (5, 3) and nudged(lambda x: x)(1) == 5
    assert nudged(torch.tensor([1.0])).tolist() == [3.5]


def test_placeholders_and_checks_are_found():
    source = "a, b = None, None\nc = None\nd = 1\ncheck('a', a, 1)\nprint(a)\nfor k in (1, 2):\n    check('c', c, k)"
    assert placeholders(source) == ["a", "b", "c"]
    assert len(checks(source)) == 2
