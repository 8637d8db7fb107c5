"""Appendices that are notebooks keep the rules of chapters that hold for them too."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BOOK = Path(__file__).parents[2] / "book"
RECORDED, LIVE = "appendix_entities", "appendix_parsing"
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
NOTHING_LIVE = (
    "test_exercises_have_folded_hints_and_solutions",
    "test_the_method_is_shown_bare",
    "test_an_untouched_exercise_is_not_answered_yet",
)
"""Rules that ask for a method or an exercise: an appendix of records alone has neither."""
KEPT = [
    (name, module, rule)
    for name in (LIVE, RECORDED)
    for module, rules in RULES.items()
    for rule in rules
    if name == LIVE or rule not in NOTHING_LIVE
]


def of_chapters(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_appendix_that_is_a_notebook_is_looked_at() -> None:
    assert {path.stem for path in BOOK.glob("appendix_*.ipynb")} == {LIVE, RECORDED}


@pytest.mark.parametrize("name, module, rule", KEPT)
def test_it_keeps_the_rule_of_chapters(chapter: Callable[[str], Any], name: str, module: str, rule: str) -> None:
    getattr(of_chapters(module), rule)(chapter(name))


def test_a_refresh_would_write_the_same_and_finds_no_fault(
    chapter: Callable[[str], Any], script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (LIVE, RECORDED):
        assert script("refresh_notebooks").refresh(chapter(name).path, run=False) == []
    monkeypatch.setattr("sys.argv", ["refresh_notebooks.py", "--check", "--only", "appendix"])
    assert script("refresh_notebooks").main() == 0
