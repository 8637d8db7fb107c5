"""Runs pretrained side by side are the runs pretrained alone, by next tokens and by hidden ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from ebm_course.recipes.sequences import language_model, masked_language_model
from ebm_course.recipes.sequences.parts import task_for
from ebm_course.recipes.sequences.pretraining import rows_for
from ebm_course.recipes.sequences.pretraining_side_by_side import fit_side_by_side
from ebm_course.runtime import Run, setup

RUNS = [Run(torch.device("cpu"), seed) for seed in (3, 4)]
SMALL: dict[str, Any] = {"width": 8, "n_heads": 2, "dropout": 0.0, "rate": 0.03, "n_epochs": 4, "decay": True}
CONFIGS = {
    "next token": (language_model, replace(language_model.SMOKE, **SMALL)),
    "hidden": (masked_language_model, replace(masked_language_model.SMOKE, **SMALL, mask_share=0.4)),
    "rows of their own": (language_model, replace(language_model.SMOKE, **SMALL, draw_rows=True)),
    "last weights": (language_model, replace(language_model.SMOKE, **SMALL, keep_best=False)),
}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_run_has_the_weights_and_the_log_of_the_run_alone(name: str) -> None:
    recipe, config = CONFIGS[name]
    for run, found in zip(RUNS, fit_side_by_side(config, RUNS, progress=False), strict=True):
        expected = recipe.fit(config, setup(run.seed, device="cpu", quiet=True), progress=False)
        assert (found.last is None) == (expected.last is None)
        for key, p in expected.module.state_dict().items():
            torch.testing.assert_close(found.module.state_dict()[key], p, rtol=1e-4, atol=1e-6)
            if expected.last is not None:
                torch.testing.assert_close(found.last[key], expected.last[key], rtol=1e-4, atol=1e-6)
        for row, other in zip(found.rows, expected.rows, strict=True):
            assert row == pytest.approx(other, rel=1e-5, abs=1e-7)


def test_rows_drawn_for_a_seed_are_distinct_rows_of_the_task_to_train_on_and_others_for_another_seed() -> None:
    task, config = task_for(2), replace(language_model.SMOKE, n_digits=2, n_rows=500)
    drawn = replace(config, draw_rows=True)

    def rows_of_seed(config: language_model.Config, seed: int) -> set[tuple[int, ...]]:
        return set(map(tuple, rows_for(config, Run(torch.device("cpu"), seed))[0].x.tolist()))

    there = set(map(tuple, task.train.x.tolist()))
    first, second = (rows_of_seed(drawn, seed) for seed in (0, 1))
    assert len(first) == len(second) == 500 and first | second <= there and first == rows_of_seed(drawn, 0)
    assert len(first & second) < 500 * 500 / len(there) + 60  # as many as two independent draws share, and spread
    assert rows_of_seed(config, 0) == rows_of_seed(config, 1) == set(map(tuple, task.train.x[:500].tolist()))
    given = task.valid[:5], task.valid[5:9]
    assert torch.equal(rows_for(drawn, RUNS[0], given)[0].x, given[0].x)


def test_what_cannot_be_pretrained_side_by_side_is_refused() -> None:
    with pytest.raises(ValueError, match="got n_heads=0"):
        fit_side_by_side(language_model.SMOKE, RUNS, progress=False)
    with pytest.raises(ValueError, match="got 0 runs"):
        fit_side_by_side(CONFIGS["hidden"][1], [], progress=False)
