"""Numbers in hints and solutions are computed: they stand in the chapter's outputs, or the solution's code makes them.

What an exercise asks with is left aside: those numbers are given. It looks at numbers with a decimal point or before a
percent sign, as the test of the other sentences does.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from ebm_course.runtime import Run

LARGEST = 1000  # entries of a tensor or a list that are looked at
BY_HAND = {
    5: [7.25**0.5],  # the Euclidean norm of (-1, 2.5)
    6: [float(stats.t.ppf(0.975, df=2))],  # three runs, 5 % on both sides
}
"""What a sentence computes that the fold's code does not: chapter -> values."""
MEASURED = {
    4: {"0.95", "0.53"},  # three trainings of ten seconds, with the lines that the exercise gives
    5: {
        *("0.94", "0.89", "0.059", "0.016", "0.96"),  # 200 starts; test_chapter_05 repeats it with 80
        *("18.2", "19.0", "0.17", "0.02", "0.135", "0.024", "0.022", "0.017", "-0.002"),  # 100; there 24
    },
}
"""Numbers measured with the fold's code at a size that no test repeats: chapter -> as they are written."""


def sibling(name: str) -> ModuleType:
    """Another file of tests in this folder, as a module."""
    spec = importlib.util.spec_from_file_location(f"book_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PROSE, EXERCISES = sibling("test_prose_numbers"), sibling("test_chapter_exercises")


def values(value: Any, depth: int = 0) -> Iterator[float]:
    """Every finite number in a value, of tensors, arrays, lists and dictionaries that are not large."""
    if isinstance(value, bool | str) or value is None:
        return
    if isinstance(value, int | float | np.number):
        yield from [abs(float(value))] if math.isfinite(value) else []
    elif isinstance(value, torch.Tensor | np.ndarray):
        entries = value.numel() if isinstance(value, torch.Tensor) else value.size
        yield from values(value.tolist(), 3) if entries <= LARGEST else []
    elif isinstance(value, list | tuple | set | dict) and len(value) <= LARGEST and depth < 6:
        for part in value.values() if isinstance(value, dict) else value:
            yield from values(part, depth + 1)


def folds(text: str) -> str:
    """The sentences of hints and solutions, without their code."""
    return "\n\n".join(re.findall(r"</summary>(.*?)</details>", text, flags=re.DOTALL))


def unfounded(chapter: Any, given: dict[str, Any]) -> list[str]:
    """Numbers in folds that nothing shows or computes."""
    shown = PROSE.shown(chapter.notebook.cells) | {Decimal(repr(x)) for x in BY_HAND.get(chapter.number, [])}
    faults = []
    for text, cell in itertools.pairwise(chapter.notebook.cells):
        if "exercise" not in cell.metadata.get("tags", []):
            continue
        names = dict(given)
        exec("from ebm_course.exercises import check", names)
        for code in (cell.source, EXERCISES.solution(text.source)):
            exec(code, names)
        made = {Decimal(repr(x)) for name, value in names.items() if name[0] != "_" for x in values(value)}
        numbers = shown | made | PROSE.found("\n".join(re.findall(r"```.*?```", text.source, flags=re.DOTALL)))
        asked = [(w, p) for w, p in PROSE.asked(folds(text.source)) if w not in MEASURED.get(chapter.number, ())]
        faults += [f"{w} in {text.source[:60]!r}" for w, p in asked if not PROSE.agrees(w, p, numbers)]
    return faults


@pytest.fixture(scope="module")
def given(each_chapter: Any) -> dict[str, Any]:
    names = {"torch": torch, "run": Run(torch.device("cpu"), 0)}
    return each_chapter.run("given", **names) if each_chapter.tagged("given") else names


def test_numbers_of_hints_and_solutions_are_shown_or_computed(each_chapter: Any, given: dict[str, Any]):
    assert unfounded(each_chapter, given) == []


@pytest.mark.parametrize(("number", "faults"), [("2.25", 0), ("2.26", 1), ("225 %", 0), ("0.7", 1)])
def test_a_number_that_no_solution_computes_is_found(sample: Any, number: str, faults: int):
    def plant(cells: list[Any]) -> None:
        fold = "<summary>Solution</summary>\n\nIt is {}.\n\n```python\nx = [1.5**2]\n```\n\n"
        cells[8].update(source=f"Given 0.4.\n\n<details>\n{fold.format(number)}</details>")
        cells[9].update(source="x = None", cell_type="code", outputs=[], execution_count=None)
        cells[9].metadata["tags"] = ["exercise"]

    assert len(unfounded(sample(plant), {})) == faults
