from __future__ import annotations

import torch

from ebm_course.samplers.categorical import draw_categorical


def test_draws_follow_softmax_of_minus_energy():
    e, n = torch.tensor([0.0, 1.0, -0.5, 3.0]), 200_000
    k = draw_categorical(e.expand(n, 4), generator=torch.Generator().manual_seed(0))
    p = torch.softmax(-e, 0)
    frequency = torch.bincount(k, minlength=4) / n
    assert ((frequency - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()


def test_an_infinite_energy_has_no_chance_and_a_nan_is_always_taken():
    generator = torch.Generator().manual_seed(0)
    e = torch.tensor([torch.inf, 2.0, 0.0]).repeat(20_000, 1)
    assert (draw_categorical(e, generator=generator) > 0).all()
    e[:, 1] = torch.nan
    assert (draw_categorical(e, generator=generator) == 1).all()


def test_a_large_energy_gap_leaves_one_choice_and_energies_are_not_changed():
    e = torch.tensor([[0.0, 500.0], [500.0, 0.0]]).repeat(5000, 1)
    before = e.clone()
    assert torch.equal(
        draw_categorical(e, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1]).repeat(5000)
    )
    assert torch.equal(e, before)
