from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from ebm_course.core import energy_grad
from ebm_course.energies.gaussian_mixture import GaussianMixture
from ebm_course.samplers.langevin import langevin

MEANS = torch.tensor([[0.0, 0.0], [2.0, -1.0], [-1.0, 3.0]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[1.0, 0.6], [0.6, 1.0]], [[0.3, 0.0], [0.0, 2.0]], [[0.5, -0.2], [-0.2, 0.4]]], dtype=torch.float64
)
WEIGHTS = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)


def test_energy_equals_minus_log_density_of_torch_distributions():
    x = torch.randn(50, 2, dtype=torch.float64)
    parts = [MultivariateNormal(m, c).log_prob(x) for m, c in zip(MEANS, COVARIANCES, strict=True)]
    log_p = torch.logsumexp(torch.stack(parts, 1) + WEIGHTS.log(), 1)
    torch.testing.assert_close(GaussianMixture(MEANS, COVARIANCES, 10 * WEIGHTS)(x), -log_p)


def test_energy_by_hand_at_the_mean_of_one_gaussian():
    model = GaussianMixture(torch.zeros(1, 3), 4.0)
    assert model(torch.zeros(1, 3)).item() == pytest.approx(1.5 * math.log(2 * math.pi * 4))
    assert model(torch.tensor([[2.0, 0, 0]])).item() == pytest.approx(1.5 * math.log(2 * math.pi * 4) + 0.5)


def test_the_constant_moves_log_z_and_leaves_the_density():
    plain, moved = (GaussianMixture(MEANS, COVARIANCES, WEIGHTS, constant=c) for c in (0.0, 1.7))
    axis = torch.linspace(-9, 9, 181, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    cell = (axis[1] - axis[0]) ** 2
    for model in (plain, moved):
        assert torch.logsumexp(-model(grid), 0).exp().item() * cell == pytest.approx(model.log_z().exp().item(), 1e-4)
    torch.testing.assert_close(plain.log_prob(grid), moved.log_prob(grid))
    assert moved.log_z().item() == pytest.approx(-1.7)


def test_exact_draws_have_the_exact_mean_and_covariance():
    n, model = 100_000, GaussianMixture(MEANS, COVARIANCES, WEIGHTS)
    x = model.sample(n, generator=torch.Generator().manual_seed(0)).detach()
    mean = WEIGHTS @ MEANS
    assert ((x.mean(0) - mean).abs() < 5 * x.std(0) / math.sqrt(n)).all()
    second = torch.einsum("k,kij->ij", WEIGHTS, COVARIANCES + MEANS[:, :, None] * MEANS[:, None])
    products = x[:, :, None] * x[:, None]
    assert ((products.mean(0) - second).abs() < 5 * products.std(0) / math.sqrt(n)).all()


def test_gradient_of_one_gaussian_is_the_whitened_distance():
    model = GaussianMixture(MEANS[:1], COVARIANCES[0])
    x = torch.randn(5, 2, dtype=torch.float64)
    _, grad = energy_grad(model, x)
    torch.testing.assert_close(grad, x @ torch.linalg.inv(COVARIANCES[0]))


def test_far_points_have_finite_energies_and_gradients():
    e, grad = energy_grad(GaussianMixture(MEANS.float()), torch.full((1, 2), 1e4))
    assert e.isfinite().all() and grad.isfinite().all()


def test_the_density_stays_normalised_while_the_weights_are_trained():
    model, x = GaussianMixture(MEANS, COVARIANCES, WEIGHTS), torch.randn(5, 2, dtype=torch.float64)
    before = model(x)
    with torch.no_grad():
        model.logits += 1.3
    torch.testing.assert_close(model(x), before)


def test_arguments_are_copied():
    means = MEANS.clone()
    model = GaussianMixture(means)
    means += 1
    torch.testing.assert_close(model.means.detach(), MEANS)


def test_what_makes_no_mixture_is_refused():
    with pytest.raises(ValueError, match=r"\(K, d\): got \(2,\)"):
        GaussianMixture(torch.zeros(2))
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            GaussianMixture(MEANS, weights=torch.tensor([1.0, bad, 1.0]))
    with pytest.raises(ValueError, match="positive definite"):
        GaussianMixture(MEANS, torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(ValueError, match="positive definite"):
        GaussianMixture(MEANS, torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match=r"got \(3, 3\)"):
        GaussianMixture(MEANS, torch.eye(3))
    with pytest.raises(ValueError, match=r"reads points \(N, 2\): got shape \(4, 3\)"):
        GaussianMixture(MEANS)(torch.zeros(4, 3))


def test_points_that_the_parameters_cannot_take_are_refused_and_others_are_not():
    energy, x = GaussianMixture(MEANS.float()), torch.tensor([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"got torch.float64. Use x.to\(torch.float32\), or energy.to\(torch.float64"):
        langevin(energy, x.double(), n_steps=1, step_size=0.1, generator=torch.Generator())
    for same in (x.long(), x.bfloat16(), x.half()):
        assert torch.equal(energy(same), energy(x))
    assert energy.double()(x).dtype == torch.float64
    for means, got in ((torch.tensor([[0, 1]]), "torch.int64"), ([[0.0, 1.0]], "a list")):
        with pytest.raises(ValueError, match=rf"means are a tensor of real numbers: got {got}. Pass torch.as_tensor"):
            GaussianMixture(means)
