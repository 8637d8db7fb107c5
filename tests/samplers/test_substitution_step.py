"""One step of the attack, by hand: the position, its candidates, the lowest of them, and who stays."""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.core import Energy
from ebm_course.samplers.substitution_proposals import by_saliency
from ebm_course.samplers.substitution_scores import StepEnergy
from ebm_course.samplers.substitution_step import Substituted, substitute

COST = torch.tensor([[0.0, 2.0, 1.0], [0.0, 9.0, -8.0]])  # of 3 values at 2 positions; the second is the salient one


def cost(x: Tensor) -> Tensor:
    hot = torch.nn.functional.one_hot(x, 3).float() if x.ndim == 2 else x
    return (hot * COST).sum(dim=(1, 2))


def step(x: Tensor, *, eligible: Tensor | None = None, must_fall: bool = False, energy: Energy = cost) -> Substituted:
    eligible = torch.ones_like(x).bool() if eligible is None else eligible
    table = torch.tensor([[1, 2], [0, 2], [0, 1]])
    return substitute(StepEnergy(energy, max_rows=100), x, eligible, table, propose=by_saliency, must_fall=must_fall)


def test_the_salient_position_takes_its_cheapest_other_value() -> None:
    found = step(torch.tensor([[0, 0], [1, 2]]))
    assert found.x.tolist() == [[0, 2], [1, 0]]  # the second chain is at the minimum there and is pushed out
    assert found.energy.tolist() == [-8.0, 2.0]
    assert found.tried.tolist() == [[False, True], [False, True]] and found.changed.all()


def test_a_chain_at_its_minimum_stays_where_the_energy_must_fall() -> None:
    found = step(torch.tensor([[0, 0], [1, 2]]), must_fall=True)
    assert found.x.tolist() == [[0, 2], [1, 2]] and found.energy.tolist() == [-8.0, -6.0]
    assert found.changed.tolist() == [True, False]


def test_a_chain_without_an_eligible_position_stays_and_says_so() -> None:
    found = step(torch.tensor([[0, 0], [0, 0]]), eligible=torch.tensor([[True, False], [False, False]]))
    assert found.x.tolist() == [[2, 0], [0, 0]] and found.none_left.tolist() == [False, True]


def test_a_nan_is_noted_and_an_infinite_energy_is_never_taken() -> None:
    def walled(x: Tensor) -> Tensor:
        hot = torch.nn.functional.one_hot(x, 3).float() if x.ndim == 2 else x
        wall = torch.where(hot[:, 1, 2] > 0.5, torch.inf, 0.0)
        return cost(x) + torch.where(hot[:, 0, 1] > 0.5, torch.nan, wall)

    found = step(torch.tensor([[0, 0], [1, 0]]), energy=walled)
    assert found.x[0].tolist() == [0, 1] and found.met_nan.tolist() == [False, True]
