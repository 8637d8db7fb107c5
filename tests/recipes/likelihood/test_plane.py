from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ebm_course.energies.mlp import MLP
from ebm_course.recipes.likelihood import plane
from ebm_course.recipes.likelihood.plane import SMOKE, kl, nll, uniform, wide_gaussian
from ebm_course.recipes.likelihood.ways import exact_gradient, noise_contrastive, persistent_chains
from ebm_course.runtime import setup
from ebm_course.tasks.toy2d_densities import Spots

ONE_SPOT = Spots("one", ((0.8, -0.4),), 0.5)


def one_spot():
    """The density by its name, as a configuration holds it."""
    return ONE_SPOT


def test_nll_of_a_bowl_is_that_of_the_gaussian_it_is():
    model = MLP(2, width=2, confinement=4.0)  # exp(-2 |x|^2): variance 1/4
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    x = torch.randn(50, 2)
    expected = (2 * x.square().sum(1)).mean() + math.log(2 * math.pi / 4)
    assert nll(model, x, replace(ONE_SPOT, points=((0.0, 0.0),))) == pytest.approx(expected.item(), abs=1e-4)


def test_uniform_points_fill_the_square():
    x = uniform(10_000, torch.Generator().manual_seed(0), extent=3.0)
    assert x.abs().max() <= 3 and ((x.mean(0)).abs() < 5 * 3 / math.sqrt(3 * 10_000)).all()


def test_kl_is_zero_for_the_density_itself_and_that_of_two_gaussians_for_another():
    class Known(MLP):
        def forward(self, x):
            return -replace(ONE_SPOT, std=self.std).log_prob(x) + 3.0  # the level does not count

    model = Known(2, width=2)
    for std in (0.5, 0.6):
        model.std = std
        expected = 2 * math.log(std / 0.5) + 0.25 / std**2 - 1
        assert kl(model, ONE_SPOT) == pytest.approx(expected, abs=2e-3)


def test_the_noise_is_wider_than_the_data_and_knows_its_own_density():
    x = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)) @ torch.tensor([[1.0, 0.5], [0.0, 0.5]])
    noise = wide_gaussian(x, widening=2.0)
    drawn = noise.draw(20_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn.T.cov(), 4 * x.T.cov(), rtol=0.06, atol=0.06)
    cells = uniform(200_000, torch.Generator().manual_seed(2), extent=8.0)
    integral = noise.log_prob(cells).exp().mean() * 16**2
    assert integral.item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("way", [persistent_chains, exact_gradient, noise_contrastive])
def test_a_short_training_comes_near_the_density_of_the_data(way):
    config = replace(
        SMOKE, density=one_spot, n_train=2_000, width=32, n_layers=2, batch_size=128, buffer_size=128, n_points=30,
        n_sampler_steps=5, step_size=0.03, n_steps=150, validate_every=75, rate=1e-2, way=way,
    )  # fmt: skip
    rows = plane.fit(config, setup(0, device="cpu", quiet=True), progress=False).rows
    entropy = math.log(2 * math.pi * math.e * 0.25)  # nats
    uniform_nll = 2 * math.log(2 * ONE_SPOT.extent)
    assert (uniform_nll - rows[-1]["valid_nll"]) / (uniform_nll - entropy) > 0.85
    assert rows[-1]["valid_kl"] < 0.2


def test_a_run_comes_back_from_its_folder(tmp_path):
    run = setup(0, device="cpu", quiet=True)
    first, second = (plane.fit(SMOKE, run, folder=tmp_path, progress=False) for _ in "12")
    assert first.rows == second.rows
    assert all(torch.equal(p, q) for p, q in zip(first.module.parameters(), second.module.parameters(), strict=True))
