"""Figures of samples are drawn from what lies beside a record: a figure a way, a row an arm, words from the record."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType

import pytest

from ebm_course.results import ledger, samples

KEY = "images-cpu-data=digits"


@pytest.fixture
def figures(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("sample_figures")


def test_each_way_has_a_figure_with_a_row_for_each_arm_below_the_data(figures: ModuleType) -> None:
    found = figures.sample_figures(ledger.read(KEY))
    assert [figures.way_of(name) for name in found] == ["short", "long", "noise", "towards", "combined", "buffer"]
    rows = list(found[f"results-{KEY}-samples-short.svg"])
    assert rows[:3] == ["held-out images", "where chains begin", "digits/classifier"]
    assert len(rows) == 2 + 6


def test_the_words_of_a_way_are_those_of_the_record_without_its_arm(figures: ModuleType) -> None:
    record = ledger.read(KEY)
    words = {
        figures.way_of(name): figures.words_of_way(record, name, rows)
        for name, rows in figures.sample_figures(record).items()
    }
    assert words["short"] == "10 Langevin steps from class Gaussians"
    assert words["combined"].startswith("combined inference: that attack, contrast 0.8, 50 Langevin steps")
    assert words["buffer"] == "the first chains of the replay buffer"


def test_a_changed_pixel_changes_the_mark_of_a_figure(figures: ModuleType) -> None:
    rows = {"a": samples.read(KEY)["digits/data"]}
    before = figures.fingerprint(rows)
    rows["a"][0, 0, 0, 0] += 1
    assert figures.fingerprint(rows) != before
    assert figures.fingerprint(rows) in figures.draw(rows).decode()


def test_a_record_without_samples_has_no_figure_of_them(figures: ModuleType) -> None:
    record = ledger.read("carry-cpu")
    assert figures.sample_figures(record) == {} and figures.markdown(record) == ""
    assert re.findall(r"!\[", figures.markdown(ledger.read(KEY)))
