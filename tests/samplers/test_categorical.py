from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ebm_course.samplers.categorical import draw_categorical, exponential_of_two


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64])
def test_equal_columns_are_drawn_alike_in_every_precision(dtype: torch.dtype) -> None:
    n, k = 4_000, 4_096
    drawn = draw_categorical(torch.zeros(n, k, dtype=dtype), generator=torch.Generator().manual_seed(0))
    first = (drawn < k // 10).double().mean()  # bfloat16 noise would give 54 %
    p = (k // 10) / k
    assert abs(first - p) < 5 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("gap", [15.0, 19.0, 40.0])
def test_noise_decides_however_far_the_energies_are_apart(gap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # To see a tail 19 nats up takes 10^9 draws, so the noise is set: column 1 wins where T_1 < exp(-gap) T_0.
    e, threshold = torch.tensor([[0.0, gap]]), math.exp(-gap)
    for shorter, winner in ((0.9, 1), (1.1, 0)):
        noise = torch.tensor([[1.0, shorter * threshold]])
        monkeypatch.setattr(torch.Tensor, "exponential_", lambda x, *, generator, noise=noise: x.copy_(noise))
        assert draw_categorical(e, generator=torch.Generator()).item() == winner


def other_devices(e: Tensor, *, generator: torch.Generator) -> Tensor:
    """The race with the noise of devices whose own exponential numbers are coarse."""
    return (e + exponential_of_two(e, generator).log()).argmin(dim=1)


@pytest.mark.parametrize("draw", [draw_categorical, other_devices])
def test_a_tail_of_many_unlikely_columns_is_drawn_as_often_as_its_mass_says(draw) -> None:
    n, k, gap = 10_000, 500, 8.0
    e = torch.cat([torch.zeros(n, 1), torch.full((1, 1), gap).expand(n, k)], dim=1)
    drawn = int((draw(e, generator=torch.Generator().manual_seed(1)) > 0).sum())
    mass = k * math.exp(-gap) / (1 + k * math.exp(-gap))
    assert abs(drawn - n * mass) < 5 * math.sqrt(n * mass * (1 - mass))


def test_draws_of_float32_are_those_that_recorded_runs_have_seen() -> None:
    e = 3 * torch.randn(5_000, 7, generator=torch.Generator().manual_seed(1))
    waiting = torch.empty_like(e).exponential_(generator=torch.Generator().manual_seed(0))
    before = (e + waiting.clamp_min(torch.finfo(e.dtype).eps / 4).log()).argmin(dim=1)
    assert torch.equal(draw_categorical(e, generator=torch.Generator().manual_seed(0)), before)


def test_noise_of_other_devices_is_exponential_near_zero_and_far_out() -> None:
    n, generator = 2_000_000, torch.Generator().manual_seed(0)
    waiting = exponential_of_two(torch.empty(n), generator)
    for t in (1e-6, 1e-5, 1e-3, 0.1, 1.0, 5.0, 12.0):
        p = -math.expm1(-t)
        assert abs(int((waiting < t).sum()) - n * p) < 5 * math.sqrt(n * p * (1 - p)) + 1
    assert (waiting > 0).all() and waiting.isfinite().all()
    small = waiting[waiting < 2.0**-12]
    assert len(small.unique()) == len(small)  # multiples of 2^-24 would repeat: 488 draws of 4,096 values


def test_extreme_uniform_numbers_leave_the_noise_positive_and_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    for k, v in ((0.0, 2.0**-24), (2.0**24 - 1, 1 - 2.0**-24)):
        monkeypatch.setattr(torch, "randint", lambda *_, k=k, **__: torch.tensor([k]))
        monkeypatch.setattr(torch, "rand", lambda *_, v=v, **__: torch.tensor([v]))
        waiting = exponential_of_two(torch.zeros(1), torch.Generator())
        assert waiting > 0 and waiting.isfinite()


def test_of_several_generators_each_draws_for_its_block_as_it_would_alone() -> None:
    e = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    seeds = (3, 4, 5)
    both = draw_categorical(e, generator=[torch.Generator().manual_seed(seed) for seed in seeds])
    alone = [
        draw_categorical(rows, generator=torch.Generator().manual_seed(seed))
        for rows, seed in zip(e.split(2), seeds, strict=True)
    ]
    assert torch.equal(both, torch.cat(alone))
    assert len(draw_categorical(e[:0], generator=[torch.Generator()])) == 0
