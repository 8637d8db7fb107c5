"""A restricted energy against the energy it restricts, every state of the free positions counted."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from ebm_course.core import energies_of, select
from ebm_course.energies.potts import Potts
from ebm_course.energies.restricted import restricted, taken
from ebm_course.samplers.gibbs import gibbs
from ebm_course.samplers.gibbs_with_gradients import gibbs_with_gradients

L, V = 4, 5
FREE = torch.tensor([False, True, False, True])
VALUES = torch.tensor([4, 1, 2])


def energy() -> Potts:
    return Potts.random(L, V, generator=torch.Generator().manual_seed(0)).double()


def rows(n: int = 3) -> torch.Tensor:
    x = torch.randint(V, (n, L), generator=torch.Generator().manual_seed(1))
    x[:, FREE] = VALUES[torch.randint(3, (n, 2), generator=torch.Generator().manual_seed(2))]
    return x


def test_it_is_the_energy_with_the_free_positions_filled_in_every_state() -> None:
    x = rows(1)
    inner = restricted(energy(), x, FREE, VALUES)
    for y in itertools.product(range(3), repeat=2):
        full = x.clone()
        full[0, 1], full[0, 3] = VALUES[y[0]], VALUES[y[1]]
        assert torch.equal(inner(torch.tensor([y])), energy()(full))


def test_relaxed_states_agree_with_tokens_at_one_hot_rows() -> None:
    x, y = rows(), torch.tensor([[0, 1], [2, 2], [1, 0]])
    inner = restricted(energy(), x, FREE, VALUES)
    hot = F.one_hot(y, 3).double()
    assert torch.allclose(inner(hot), inner(y), rtol=1e-12)


def test_rows_belong_to_conditions_in_blocks_and_chains_may_leave() -> None:
    x, y = rows(), torch.tensor([[0, 1], [2, 2], [1, 0]])
    inner = restricted(energy(), x, FREE, VALUES)
    twice = y.repeat_interleave(2, dim=0)
    assert torch.equal(inner(twice), energies_of(inner, y).repeat_interleave(2))
    assert torch.equal(select(inner, torch.tensor([2]))(y[2:]), inner(y)[2:])


def test_taken_is_the_inverse_of_filling() -> None:
    x = rows()
    y = taken(x, FREE, VALUES)
    assert torch.equal(VALUES[y], x[:, FREE])


@pytest.mark.parametrize("sampler", [gibbs, gibbs_with_gradients])
def test_a_sampler_on_it_follows_the_conditional_law_of_the_free_positions(sampler: object) -> None:
    n = 4000
    x = rows(1).repeat(n, 1)
    inner = restricted(energy(), x, FREE, VALUES)
    generator = torch.Generator().manual_seed(0)
    drawn = sampler(inner, taken(x, FREE, VALUES), n_steps=60, n_values=3, generator=generator).x  # type: ignore[operator]
    states = torch.tensor(list(itertools.product(range(3), repeat=2)))
    law = (-restricted(energy(), x[:9], FREE, VALUES)(states)).softmax(dim=0)
    found = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9) / n
    error = (law * (1 - law) / n).sqrt()
    assert bool(((found - law).abs() < 5 * error + 1e-4).all())  # 5 standard errors; 60 steps leave less than 1e-4


def test_bad_input_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="free marks"):
        restricted(energy(), rows(), torch.zeros(L, dtype=torch.bool), VALUES)
    with pytest.raises(ValueError, match="free marks"):
        restricted(energy(), rows(), FREE.long(), VALUES)
    with pytest.raises(TypeError, match="relaxed states need an energy with n_values"):
        restricted(lambda x: x.sum(dim=1).float(), rows(), FREE, VALUES)(torch.zeros(3, 2, 3))
    outside = rows()
    outside[0, 1] = 3
    with pytest.raises(ValueError, match="not among the values"):
        taken(outside, FREE, VALUES)
