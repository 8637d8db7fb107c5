"""How much of a chapter's output is compared; what is not has a condition. Each rule is shown to catch an error."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import pytest
from nbformat import v4

MAX_CELLS = 90
MAX_SHARE = 0.25  # of code cells whose output is not compared
MAX_PLOT_LINES = 4
IGNORED = "nbval-ignore-output"
PLOTS = {"plt", "ax", "axes", "figure", "fig"}


def tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def parsed(cell: Any) -> ast.Module:
    """The cell as Python; lines of IPython's magics are left out."""
    return ast.parse("\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!"))))


def conditions(cell: Any) -> int:
    """Assertions that name something: ``assert True`` is none."""
    found = [node for node in ast.walk(parsed(cell)) if isinstance(node, ast.Assert)]
    return sum(any(isinstance(part, ast.Name) for part in ast.walk(node.test)) for node in found)


def plot_lines(cell: Any) -> int:
    """Statements that do nothing but call a method of a figure, of axes or of pyplot."""
    count = 0
    for node in ast.walk(parsed(cell)):
        if isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Call):
            names = [part.id for part in ast.walk(node.value.func) if isinstance(part, ast.Name)]
            count += (node.end_lineno or node.lineno) - node.lineno + 1 if PLOTS & set(names) else 0
    return count


def test_a_chapter_is_short(each_chapter: Any):
    assert len(each_chapter.notebook.cells) <= MAX_CELLS


def test_most_outputs_are_compared(each_chapter: Any):
    ignored = [cell for cell in each_chapter.code if IGNORED in tags(cell)]
    assert len(ignored) <= MAX_SHARE * len(each_chapter.code), f"{len(ignored)} of {len(each_chapter.code)}"


def test_what_is_not_compared_asserts_what_must_hold(each_chapter: Any):
    silent = [cell.source[:80] for cell in each_chapter.code if IGNORED in tags(cell) and not conditions(cell)]
    assert not silent


def test_set_up_and_plotting_are_folded(each_chapter: Any):
    for cell in each_chapter.code:
        if "setup" in tags(cell) or plot_lines(cell) > MAX_PLOT_LINES:
            assert "hide-input" in tags(cell), cell.source[:200]


def several(n: int, source: str, *names: str) -> Callable[[list[Any]], None]:
    """Plant ``n`` more code cells with this source and these tags."""

    def plant(cells: list[Any]) -> None:
        for _ in range(n):
            cells.append(v4.new_code_cell(source, metadata={"tags": list(names)}))

    return plant


PLANTED = [
    (test_a_chapter_is_short, several(91, "x = 1")),
    (test_most_outputs_are_compared, several(3, "assert x", IGNORED)),
    (test_what_is_not_compared_asserts_what_must_hold, several(1, "print(x)", IGNORED)),
    (test_what_is_not_compared_asserts_what_must_hold, several(1, "assert True", IGNORED)),
    (test_set_up_and_plotting_are_folded, several(1, "\n".join(["ax.plot(x)"] * 5))),
    (test_set_up_and_plotting_are_folded, several(1, "axes[0].plot(\n    x,\n    y,\n    z,\n)")),
    (test_set_up_and_plotting_are_folded, several(1, "run = setup(seed=0)", "setup")),
]


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, _ in PLANTED), ids=lambda rule: rule.__name__[5:])
def test_a_chapter_can_keep_the_rule(sample: Callable[..., Any], rule: Callable[[Any], None]):
    rule(sample())


@pytest.mark.parametrize("rule, plant", PLANTED)
def test_a_planted_error_is_caught(sample: Callable[..., Any], rule: Callable[[Any], None], plant: Callable):
    chapter = sample(plant)
    with pytest.raises(AssertionError):
        rule(chapter)
