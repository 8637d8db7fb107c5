"""Pretraining by the recipe's step against a plain loop with the same net: the same updates, tokens a second."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.experiments.speed.attack import random_equations
from ebm_course.experiments.speed.training import plain_loop, recipe_loop
from ebm_course.recipes.sequences import language_model
from ebm_course.runtime import Run
from ebm_course.training.batches import Batches

PAPER, RUN, N_UPDATES, ROUNDS = language_model.PAPER_ENERGY, Run(torch.device("cpu"), 0), 2, 5


def pair(config: language_model.Config) -> tuple[list[Any], list[Callable[[], None]]]:
    """Two nets with the same weights and what trains them: the recipe and the plain loop."""
    torch.manual_seed(0)
    start = language_model.build(config)
    nets: list[Any] = [copy.deepcopy(start), copy.deepcopy(start)]
    x = random_equations(4 * config.batch_size, config.n_digits, RUN)
    batches = Batches(Batch(x), config.batch_size, seed=0)
    return nets, [
        recipe_loop(nets[0], config, batches, N_UPDATES, RUN),
        plain_loop(nets[1], config, batches, N_UPDATES),
    ]


@pytest.mark.parametrize("precision", language_model.PRECISIONS)
def test_pretraining_against_a_plain_loop(benchmark: Any, times_faster: Callable[..., float], precision: str) -> None:
    same = replace(PAPER, dropout=0.0, weight_decay=0.0, precision=precision)
    nets, acts = pair(same)
    for act in acts:
        act()
    # Two updates of size 6e-4 at most: Adam divides rounding by rounding where a gradient is 0 but for it.
    tolerance = 0.1 * PAPER.rate if precision == "float32" else 2 * N_UPDATES * PAPER.rate
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=tolerance)

    _, (fast, slow) = pair(replace(PAPER, precision=precision))
    times_faster(f"pretraining in {precision}: times as fast as a plain loop in float32", fast, slow, rounds=ROUNDS)
    tokens = N_UPDATES * PAPER.batch_size * 34
    benchmark.extra_info["tokens_a_second"] = tokens / min(benchmark.stats.stats.data)
    print(f"tokens a second: {benchmark.extra_info['tokens_a_second']:,.0f}")
