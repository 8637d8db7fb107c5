from __future__ import annotations

import math

import pytest
import torch

from ebm_course.metrics.mixing import _autocovariance, mixing


def autoregression(phi: float, *, n_steps: int, n_chains: int, seed: int = 0) -> torch.Tensor:
    """Stationary chains x_t = phi x_{t-1} + noise with unit variance."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n_steps, n_chains, dtype=torch.float64, generator=generator)
    x = [noise[0]]
    for t in range(1, n_steps):
        x.append(phi * x[-1] + math.sqrt(1 - phi**2) * noise[t])
    return torch.stack(x)


def test_autocovariance_equals_the_sum_written_out():
    x = torch.randn(9, 2, dtype=torch.float64)
    centred = x - x.mean(0)
    expected = torch.stack([(centred[: 9 - t] * centred[t:]).sum(0) / 9 for t in range(9)])
    torch.testing.assert_close(_autocovariance(x), expected)


# relative standard error, from the spread over 30 runs of 1,000 steps, halved for 4,000
@pytest.mark.parametrize(("phi", "error"), [(0.0, 0.011), (0.5, 0.020), (0.9, 0.043)])
def test_autocorrelation_time_of_an_autoregression_is_the_known_one(phi, error):
    result = mixing(autoregression(phi, n_steps=4000, n_chains=16))
    assert result["autocorrelation_time"] == pytest.approx((1 + phi) / (1 - phi), rel=5 * error)
    assert result["ess"] == pytest.approx(4000 * 16 / result["autocorrelation_time"])
    assert result["r_hat"] == pytest.approx(1.0, abs=0.01)


def test_autocorrelation_time_equals_the_recipe_written_out():
    x = autoregression(0.7, n_steps=60, n_chains=2, seed=6)  # pairs that rise again and stop early
    halves = [x[half : half + 30, chain] for half in (0, 30) for chain in (0, 1)]
    within = sum(h.var() for h in halves) / 4
    total = within * 29 / 30 + torch.stack([h.mean() for h in halves]).var()

    def rho(t: int) -> torch.Tensor:
        covariance = sum(((h - h.mean())[: 30 - t] * (h - h.mean())[t:]).sum() / 29 for h in halves) / 4
        return 1 - (within - covariance) / total

    tau, smallest = -1.0, math.inf
    for k in range(15):
        pair = float(rho(2 * k) + rho(2 * k + 1))
        if pair <= 0:
            break
        smallest = min(smallest, pair)
        tau += 2 * smallest
    assert mixing(x)["autocorrelation_time"] == pytest.approx(tau)


def test_ess_predicts_the_variance_of_the_mean():
    runs = autoregression(0.8, n_steps=400, n_chains=4 * 200).split(4, dim=1)
    variance = torch.stack([r.mean() for r in runs]).var().item()
    predicted = sum(1 / mixing(r)["ess"] for r in runs[:40]) / 40
    assert variance == pytest.approx(predicted, rel=5 * math.sqrt(2 / 199))


def test_chains_in_different_places_have_a_large_r_hat():
    x = autoregression(0.0, n_steps=200, n_chains=4)
    assert mixing(x + torch.tensor([0.0, 0.0, 5.0, 5.0]))["r_hat"] > 2.0


def test_one_drifting_chain_is_caught_because_chains_are_split():
    x = autoregression(0.0, n_steps=200, n_chains=1)
    assert mixing(x + torch.linspace(0, 5, 200)[:, None])["r_hat"] > 1.5


def test_frozen_chains_are_worth_less_than_one_draw_each():
    still = torch.arange(4.0).expand(100, 4)
    assert mixing(still)["r_hat"] == math.inf and mixing(still)["ess"] <= 8
    assert math.isnan(mixing(torch.zeros(100, 4))["ess"])


def test_too_short_or_flat_input_is_refused():
    with pytest.raises(ValueError, match=r"T >= 8 were expected, got shape \(7, 2\)"):
        mixing(torch.zeros(7, 2))
    with pytest.raises(ValueError, match=r"got shape \(100,\)"):
        mixing(torch.zeros(100))
    with pytest.raises(ValueError, match=r"got shape \(20, 0\). Pass one number for each step of each of N > 0 chains"):
        mixing(torch.randn(20, 0))


def test_a_sum_that_is_empty_or_negative_stops_at_the_bound_of_stan():
    alternating = torch.tensor([[0.0], [1.0]]).repeat(10, 3)  # the first pair is negative already
    assert mixing(alternating)["autocorrelation_time"] == pytest.approx(1 / math.log10(60))
    assert mixing(alternating)["ess"] == pytest.approx(60 * math.log10(60))
    antithetic = mixing(autoregression(-0.95, n_steps=500, n_chains=4))
    assert antithetic["ess"] == pytest.approx(2000 * math.log10(2000))
    generator = torch.Generator().manual_seed(0)
    short = [mixing(torch.randn(8, 2, generator=generator))["ess"] for _ in range(200)]
    assert min(short) > 0 and max(short) == pytest.approx(16 * math.log10(16))


@pytest.mark.parametrize("scale", [2.0**560, 1e170, 1e308, 2.0**-560, 1e-170, 1e-300])
def test_the_unit_of_the_values_changes_nothing(scale):
    x = autoregression(0.5, n_steps=100, n_chains=2) / 8
    assert mixing(x * scale) == pytest.approx(mixing(x), rel=1e-9)
