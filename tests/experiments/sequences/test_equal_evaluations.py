"""Samplers compared at equal evaluations: none asks its energy more often than it may, none touches the operands."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ebm_course.experiments.sequences.equal_evaluations import quality_against_evaluations, samplers
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic import Format, arithmetic
from ebm_course.tasks.arithmetic_score import correctness

LAYOUT = Format(1)
N, G, BUDGET = 5, 8, 60
REPORTS = 4  # rows a chain that samplers ask besides: the state they begin with, and the energy they report


class Truth(nn.Module):
    """0 where the answer is right and 20 nats for every wrong digit; counts rows scored, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.n_values, self.rows = 16, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        if x.ndim == 2:
            return 20 * 2 * (1 - correctness(x, 1))
        tokens = x.argmax(dim=2)
        e = 20 * 2 * (1 - correctness(tokens, 1)) + 0.01 * x[:, LAYOUT.first_answer :, 5].sum(dim=1)
        if e.requires_grad:
            e.register_hook(self._count)
        return e

    def _count(self, grad: Tensor) -> None:
        self.rows += len(grad)


def starts() -> Tensor:
    x = arithmetic(1, n_train=N * G, n_valid=1, n_test=1).train.x.clone()
    x[:, LAYOUT.first_answer : -1] = 4 + torch.randint(10, (N * G, 2), generator=torch.Generator().manual_seed(0))
    return x.view(N, G, -1)


@pytest.mark.parametrize("name", sorted(samplers(1)))
@pytest.mark.parametrize("budget", [0, 1, 30, BUDGET])
def test_no_sampler_asks_more_often_than_it_may_nor_moves_operands(name: str, budget: int) -> None:
    energy, x = Truth(), starts()
    drawn = samplers(1)[name](energy, x, budget, torch.Generator().manual_seed(0))
    reports = REPORTS * (4 if "then" in name else 1)  # four attacked samples report
    assert energy.rows <= N * (budget + reports)
    if budget == BUDGET and "memory" not in name and name not in ("attack", "attack, then resampling", "resampling"):
        assert energy.rows > N * budget / 2  # nor does it get much less; attacks end early, resampling is capped
    operands = x[:, :, : LAYOUT.first_answer]
    assert bool((drawn[:, None, : LAYOUT.first_answer] == operands).all(dim=2).any(dim=1).all())


def test_with_the_true_energy_attack_and_gibbs_find_every_answer() -> None:
    run = Run(torch.device("cpu"), 0)
    curves = quality_against_evaluations(Truth(), starts(), n_digits=1, budgets=(0, 330), run=run, name="truth")
    assert curves["attack with memory"][1] == 1.0
    assert curves["Gibbs"][1] == 1.0
    assert curves["Gibbs"][0] == curves["attack"][0] < 0.5
