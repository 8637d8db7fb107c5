"""The appendix on parsing: the rules of chapters that hold for it too, and its bare code against the package."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from ebm_course.exercises import WrongAnswer
from ebm_course.samplers.cky import cky
from ebm_course.tasks.tree_language import parses, rule_scores, tree_language, word_scores

NAME, MAX_CELLS = "appendix_parsing", 26
RULES = {
    "test_chapter_text": (
        "test_markdown_is_portable",
        "test_links_are_absolute",
        "test_display_formulas_stand_alone_between_blank_lines",
        "test_the_head_says_what_the_chapter_costs",
        "test_nothing_is_left_to_be_filled_in",
        "test_exercises_have_folded_hints_and_solutions",
    ),
    "test_chapter_cells": (
        "test_all_notebooks_together_are_small",
        "test_cells_are_short",
        "test_figures_have_alternative_text",
        "test_the_method_is_shown_bare",
        "test_claims_are_asserted",
        "test_no_cell_changes_the_path_or_needs_the_network",
    ),
    "test_chapter_compared": (
        "test_most_outputs_are_compared",
        "test_what_is_not_compared_asserts_what_must_hold",
        "test_set_up_and_plotting_are_folded",
    ),
    "test_prose_numbers": (
        "test_numbers_in_sentences_are_those_of_the_outputs",
        "test_quoted_cells_name_their_source",
    ),
    "test_chapter_exercises": ("test_an_untouched_exercise_is_not_answered_yet",),
}


@pytest.fixture(scope="module")
def appendix(chapter: Callable[[str], Any]) -> Any:
    return chapter(NAME)


def of_chapters(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("module, rule", [(module, rule) for module, rules in RULES.items() for rule in rules])
def test_it_keeps_the_rule_of_chapters(appendix: Any, module: str, rule: str) -> None:
    getattr(of_chapters(module), rule)(appendix)


def test_a_refresh_would_write_the_same_and_finds_no_fault(
    appendix: Any, script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert script("refresh_notebooks").refresh(appendix.path, run=False) == []
    monkeypatch.setattr("sys.argv", ["refresh_notebooks.py", "--check", "--only", "appendix"])
    assert script("refresh_notebooks").main() == 0


def test_it_is_short_and_says_first_that_it_reproduces_nothing(appendix: Any) -> None:
    assert len(appendix.notebook.cells) <= MAX_CELLS
    assert "*A worked extension, not a reproduction." in appendix.text[0].source
    text = "\n".join(cell.source for cell in appendix.text)
    tags = re.findall(r"\\tag\{([^}]+)\}", text)
    assert tags == ["A.1"]


def test_the_bare_parser_equals_the_package(appendix: Any) -> None:
    bare = appendix.run("bare")["best_tree"]
    made, (rules, log_p) = tree_language(n_train=2, n_valid=2, n_test=12, seed=3), rule_scores()
    words = word_scores(made.test)
    symbols, best = cky(words, rules, log_p, made.task.test.mask)
    for n, tokens in enumerate(made.test.tokens):
        score, brackets = bare(words[n, : len(tokens)], rules.tolist(), log_p)
        torch.testing.assert_close(score, best[n])
        places = [(i, j) for i, j in (symbols[n] >= 0).nonzero().tolist() if i < j]
        assert sorted((a, i, j) for a, i, j in brackets) == sorted((int(symbols[n, i, j]), i, j + 1) for i, j in places)


def test_the_exercise_has_the_answer_that_its_solution_gives(appendix: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (cell,) = appendix.tagged("exercise")
    text = next(c.source for c in appendix.text if "Exercise 1" in c.source)
    answer = re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert answer is not None
    names: dict[str, Any] = {"parses": parses}
    exec("from ebm_course.exercises import check", names)
    exec(cell.source.replace("n_trees = None", answer[1]), names)
    assert "not answered" not in capsys.readouterr().out
    with pytest.raises(WrongAnswer, match="they multiply"):
        exec(cell.source.replace("n_trees = None", "n_trees = (2, 3, 4)"), names)
