"""What the chapters say of the recorded runs is asserted there, and another outcome would be noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ebm_course.figures.curves import curves
from ebm_course.figures.style import DATA, ENERGY, GREY, NEGATIVE
from ebm_course.results import ledger
from ebm_course.results.record import Record

NAMES = {"plt": plt, "np": np, "curves": curves, "DATA": DATA, "ENERGY": ENERGY, "GREY": GREY, "NEGATIVE": NEGATIVE}
CHAPTERS = {
    2: "02_likelihood_gradients",
    3: "03_a_language_model_that_cannot_carry",
    4: "04_residual_energies_by_noise_contrast",
    5: "05_the_discrete_attack",
    6: "06_adversarial_training",
    7: "07_a_classifier_is_an_energy",
}
PLANTED = [
    (2, "words/nce/kl", 0.03),
    (2, "moons/pcd-1/kl", 1.0),
    (2, "moons/cd-1/kl", 10.0),
    (2, "claims/words/pcd-1-cd-1", 0.05),
    (3, "lm/last/recited", 0.0),
    (3, "energy/columns", 8.0),
    (4, "claims/figure-1b/residual", 0.2),
    (4, "resampling/residual-long", 0.3),
    (4, "masked/contrast/pooled/auroc_lm", 0.8),
    (4, "next-token/contrast/pooled/auroc_lm", 0.95),
    (4, "next-token/contrast/surprise/auroc_lm", 0.9),
    (4, "next-token/contrast/surprise/exact", 0.97),
    (4, "next-token/likelihood/auroc_lm", 0.9),
    (4, "claims/masked/contrast/pooled/resampling", 0.1),
    (5, "likelihood/memory/answer", 0.5),
    (5, "likelihood/literal/answer", 0.9),
    (5, "options/likelihood/gain-improve/answer", 0.5),
    (5, "equal/likelihood/Gibbs with gradients", 0.5),
    (5, "equal/likelihood/attack", 0.95),
    (5, "residual/auroc_attacked", 0.5),
    (5, "next-token/grown/pooled/exact", 0.5),
    (5, "masked/grown/pooled/exact", 0.2),
    (5, "masked/likelihood/exact", 0.3),
    (6, "next-token/likelihood/exact", 0.5),
    (6, "next-token/grown/local/exact", 0.3),
    (6, "next-token/printed/pooled/exact", 0.3),
    (6, "masked/likelihood/exact", 0.5),
    (6, "claims/masked/grown/local/contrast", -0.1),
    (6, "next-token/printed/pooled/free", 0.5),
    (6, "next-token/grown/pooled/free", 0.2),
    (6, "claims/figure-1a", 0.1),
    (6, "next-token/likelihood/free", 0.5),
    (6, "claims/masked/contrast/pooled/resampling", 0.1),
    (6, "next-token/printed/pooled/operands_moved", 0.0),
    (6, "next-token/printed/surprise/exact", 0.99),
    (6, "next-token/corrected-memory/exact", 0.9),
    (6, "claims/next-token/grown/surprise/untrained", 0.01),
    (6, "next-token-4/likelihood/exact", 0.5),
    (6, "next-token-2/likelihood/exact", 0.5),
    (6, "masked-8/grown/local/exact", 0.3),
    (6, "next-token-8/contrast/local/exact", 0.3),
    (6, "masked/nll", 0.1),
    (6, "masked/contrast/pooled/auroc_lm", 0.5),
    (6, "next-token/grown/surprise/last/exact", 0.9),
    (6, "masked/contrast/pooled/near", 0.5),
    (6, "next-token/baseline-rows/pooled/auroc_lm", 0.5),
    (6, "next-token/baseline-epochs/pooled/auroc_lm", 0.9),
    (6, "masked/baseline-epochs/pooled/exact", 0.1),
    (6, "next-token/baseline-epochs/pooled/exact", 0.1),
    (6, "next-token/likelihood/exact", 0.99),
    (6, "masked/likelihood/auroc_lm", 0.94),
    (6, "masked/contrast/pooled/exact", 0.45),
    (6, "masked/grown/local/last/exact", 0.9),
    (6, "masked-x2/likelihood/fooled", 0.5),
    (6, "masked-x2/contrast/pooled/fooled", 0.1),
    (6, "masked-x2/baseline-rows/pooled/fooled", 0.5),
    (6, "masked-x2/nll", 0.5),
    (6, "masked-x2/likelihood/exact", 0.3),
    (6, "masked-x2/contrast/pooled/correctness", 0.8),
    (6, "masked-x2/baseline-epochs/pooled/correctness", 0.6),
    (6, "masked-x2/baseline-rows/pooled/exact", 0.1),
    (6, "masked-x2/printed/pooled/correctness", 0.91),
    (6, "masked-x2/printed/pooled/exact", 0.3),
    (6, "masked-x2/printed/pooled/fooled", 0.5),
    (6, "masked-x2/printed/pooled/free", 0.2),
    (6, "masked-x2/printed/pooled/free", 0.7),
    (6, "masked-x2/printed/pooled/near", 0.3),
    (6, "masked-x2/printed/pooled/distance", 40.0),
    (6, "masked-x2/likelihood/free", 0.5),
    (6, "masked/gibbs/pooled/correctness", 0.2),
    (6, "claims/masked/grown/pooled/contrast", -0.1),
    (6, "claims/masked/grown/local/untrained", 0.1),
    (6, "masked/grown/local/exact/tuning-2", 0.9),
    (6, "masked/contrast/pooled/exact/tuning-1", 0.6),
    (7, "digits/jem/noise/distance", 5.0),
    (7, "digits/classifier/noise/distance", 5.0),
    (7, "digits/jem/short/recall", 0.9),
    (7, "digits/classifier/short/score", 5.0),
    (7, "digits/jem/calibration", 0.01),
    (7, "digits/classifier/foreign/inverted/logsumexp", 1.0),
    (7, "digits/jem/foreign/mixes/logsumexp", 0.99),
]
"""Chapter, an entry or a curve, and a value that would make one of its sentences untrue."""


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))


@pytest.mark.parametrize("number", CHAPTERS)
def test_what_a_chapter_says_of_the_recorded_run_holds(chapter: Callable[[str], Any], number: int):
    chapter(CHAPTERS[number]).run("recorded", **NAMES)


@pytest.mark.parametrize("number, name, value", PLANTED)
def test_another_outcome_would_be_noticed(
    chapter: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, number: int, name: str, value: float
):
    read = ledger.read
    monkeypatch.setattr(ledger, "read", lambda key: planted(read(key), name, value))
    with pytest.raises(AssertionError):
        chapter(CHAPTERS[number]).run("recorded", **NAMES)


ON_NEW_ROWS = [
    ("claims/masked/grown/pooled/contrast", -0.01),
    ("claims/masked/grown/local/contrast", 0.0),
    ("claims/masked/grown/pooled/untrained", 0.1),
    ("claims/masked/grown/local/untrained", -0.5),
    ("masked/nll", 0.5),
    ("claims/next-token/printed/pooled/lifts", 0.1),
    ("claims/next-token/printed/pooled/no-attack", -0.1),
    ("claims/next-token/contrast/pooled/resampling", 0.3),
    ("claims/next-token/grown/local/contrast", 0.3),
    ("claims/next-token/grown/local/untrained", 0.1),
    ("claims/next-token/grown/surprise/untrained", 0.1),
]
"""Of the record on new rows alone, which chapter 6 reads beside two others with the same entries."""


@pytest.mark.parametrize("name, value", ON_NEW_ROWS)
def test_another_outcome_on_new_rows_would_be_noticed(
    chapter: Callable[[str], Any], plant: Callable[..., None], name: str, value: float
):
    plant(name, value, "ablation-fresh")
    with pytest.raises(AssertionError):
        chapter(CHAPTERS[6]).run("recorded", **NAMES)


def planted(record: Record, name: str, value: float) -> Record:
    """The record with ``value`` in every run of the entries and curves of this name."""
    entries = (
        replace(e, value=value, values=(value,) * len(e.values)) if e.name == name else e for e in record.entries
    )
    lines = (replace(c, runs=[[value] * len(c.x) for _ in c.runs]) if c.name == name else c for c in record.curves)
    return replace(record, entries=tuple(entries), curves=tuple(lines))
