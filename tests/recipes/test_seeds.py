"""Batches and draws of a training are those of the run's seed and of the recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.core import Task
from ebm_course.recipes.images import classifier, jem
from ebm_course.recipes.structured import bilstm, crf
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.runtime import SINGLE_PROCESS

PAIRS = [(classifier, jem), (bilstm, crf), (finetune, freelb), (carl, rar)]


def of_seed_0(task: Callable[..., Task], *, seed: int) -> Task:
    """The same task whatever the run's seed: what differs then is how it is drawn from."""
    return task(seed=0)


@pytest.mark.parametrize("recipe, another", PAIRS, ids=["images", "structured", "text", "text with banks"])
def test_batches_and_draws_are_those_of_the_run_s_seed_and_of_the_recipe(
    monkeypatch: pytest.MonkeyPatch, recipe: ModuleType, another: ModuleType
) -> None:
    seen: list[tuple[Tensor, int]] = []

    def noted(step: Any, batches: Any, *, generator: torch.Generator, **_: Any) -> list[Any]:
        seen.append((batches[0].x, generator.initial_seed()))
        return []

    monkeypatch.setattr("ebm_course.training.fit.fit", noted)
    for of, seed in ((recipe, 0), (recipe, 0), (recipe, 1), (another, 0)):
        config = replace(of.SMOKE, task=partial(of_seed_0, of.SMOKE.task), keep_best=False)
        of.fit(config, replace(SINGLE_PROCESS, seed=seed), progress=False)
    (one, first), (again, second), (other, third), (_, fourth) = seen
    assert torch.equal(one, again) and not (one.shape == other.shape and torch.equal(one, other))
    assert first == second and len({first, third, fourth}) == 3
