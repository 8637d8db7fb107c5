from __future__ import annotations

import functools
import math

import pytest
import torch

from ebm_course.tasks.toy2d_densities import Spots, ring, two_moons

DENSITIES = [ring(), two_moons()]
every_density = pytest.mark.parametrize("density", DENSITIES, ids=lambda d: d.name)
N = 50_000


@functools.cache
def draws(density) -> torch.Tensor:
    return density.sample(N, generator=torch.Generator().manual_seed(0))


@functools.cache
def quadrature(density, n: int = 400) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Midpoint rule on the plane: borders of 20 intervals an axis, log p and mass of the midpoints, both (n, n)."""
    end = 1.6 * density.extent
    axis = ((torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1) * end
    log_p = density.log_prob(torch.cartesian_prod(axis, axis)).view(n, n)
    return torch.linspace(-end, end, 21, dtype=torch.float64), log_p, log_p.exp() * (2 * end / n) ** 2


@every_density
def test_the_density_integrates_to_one(density):
    _, _, mass = quadrature(density)
    assert mass.sum().item() == pytest.approx(1, abs=2e-4)


@every_density
def test_draws_fall_into_cells_as_often_as_the_density_says(density):
    borders, _, mass = quadrature(density)
    mass = mass.view(20, 20, 20, 20).sum((1, 3))  # of 20 x 20 cells
    row, column = torch.searchsorted(borders[1:-1], draws(density).double().T.contiguous())
    count = torch.bincount(row * 20 + column, minlength=400).view(20, 20)
    common = mass * N > 25  # rarer cells are counted together
    for found, exact in ((count[common] / N, mass[common]), (count[~common].sum() / N, mass[~common].sum())):
        standard_error = (exact * (1 - exact) / N).clamp_min(0).sqrt()
        quadrature_error = 2e-4 * exact + 1e-6
        assert ((found - exact).abs() <= 5 * standard_error + quadrature_error).all()


@every_density
def test_mean_log_density_of_draws_is_minus_the_entropy(density):
    _, log_p, mass = quadrature(density)
    minus_entropy = (mass * log_p).nan_to_num(0.0).sum().item()
    found = density.log_prob(draws(density))
    standard_error = found.std().item() / math.sqrt(N)
    assert found.mean().item() == pytest.approx(minus_entropy, abs=5 * standard_error + 1e-3)


@every_density
def test_the_square_of_its_extent_holds_99_percent(density):
    outside = (draws(density).abs() > density.extent).any(1).double().mean().item()
    assert outside < 0.01


@every_density
def test_the_same_generator_gives_the_same_draws_in_the_chosen_number(density):
    x = density.sample(7, generator=torch.Generator().manual_seed(3))
    assert x.shape == (7, 2) and x.dtype == torch.float32
    assert torch.equal(x, density.sample(7, generator=torch.Generator().manual_seed(3)))


@every_density
def test_the_log_density_has_a_gradient_and_the_dtype_of_its_points(density):
    x = draws(density)[:50].double().requires_grad_()
    log_p = density.log_prob(x)
    assert log_p.shape == (50,) and log_p.dtype == torch.float64 and log_p.isfinite().all()
    (grad,) = torch.autograd.grad(log_p.sum(), x)
    assert grad.isfinite().all()


def test_one_spot_by_hand():
    spot = Spots("one", ((1.0, 0.0),), 0.5)
    log_p = spot.log_prob(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    torch.testing.assert_close(log_p, torch.tensor([0.0, -2.0]) - math.log(2 * math.pi * 0.25))
