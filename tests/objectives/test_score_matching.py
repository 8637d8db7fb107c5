from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, tensor

from ebm_course.energies.gaussian_mixture import GaussianMixture
from ebm_course.objectives.score_matching import denoising_score_matching, implicit_score_matching

DATA = GaussianMixture(tensor([[-1.0, 0.0], [0.8, 0.5]]), 0.4, tensor([0.7, 0.3])).double().requires_grad_(False)


def model() -> GaussianMixture:
    return GaussianMixture(tensor([[-0.5, 0.3], [1.0, -0.4]]), 0.6, tensor([0.5, 0.5])).double()


def slope(energy, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(energy(x).sum(), x, create_graph=True)[0]


def slope_and_laplacian(energy, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    columns = [torch.autograd.grad(g.sum(), x, create_graph=True)[0][:, k] for k, g in enumerate(gradient.unbind(1))]
    return gradient, torch.stack(columns).sum(0)


def parameter_gradient(value: Tensor, energy: GaussianMixture) -> Tensor:
    grads = torch.autograd.grad(value, list(energy.parameters()), allow_unused=True, retain_graph=True)
    return torch.cat([g.flatten() for g in grads if g is not None])


def test_implicit_value_and_terms_by_hand():
    gradient = tensor([[3.0, 4.0], [0.0, 1.0]], requires_grad=True)
    loss = implicit_score_matching(gradient, tensor([2.0, -1.0]))
    assert loss.value.item() == (12.5 - 2 + 0.5 + 1) / 2
    assert {name: t.item() for name, t in loss.terms.items()} == {"squared_score": 13.0, "laplacian": 0.5}
    assert not any(t.requires_grad for t in loss.terms.values())


def test_denoising_value_and_terms_by_hand():
    gradient, noise = tensor([[3.0, 4.0], [0.0, 1.0]], requires_grad=True), tensor([[0.5, 0.0], [0.0, 0.25]])
    loss = denoising_score_matching(gradient, noise, noise_std=0.5)  # noise / 0.25 is (2, 0) and (0, 1)
    assert loss.value.item() == 0.125 * (1 + 16) / 2
    assert {name: t.item() for name, t in loss.terms.items()} == {"squared_score": 13.0}
    assert not any(t.requires_grad for t in loss.terms.values())


def test_states_of_any_shape_count_all_their_axes():
    gradient, noise = torch.randn(2, 5, 3, 4)
    flat = denoising_score_matching(gradient.flatten(1), noise.flatten(1), noise_std=0.7).value
    torch.testing.assert_close(denoising_score_matching(gradient, noise, noise_std=0.7).value, flat)
    values = [implicit_score_matching(g, torch.zeros(5)).value for g in (gradient, gradient.flatten(1))]
    torch.testing.assert_close(*values)


def test_the_best_gaussian_has_the_variance_of_the_data_and_with_noise_of_data_plus_noise():
    x = torch.randn(4000, 1, dtype=torch.float64)
    x, noise = x / x.square().mean().sqrt() * 1.5, 0.5 * torch.randn(4000, 1, dtype=torch.float64)
    variances = torch.linspace(1.5, 3.5, 401, dtype=torch.float64)
    implicit = [implicit_score_matching(x / v, (1 / v).expand(4000)).value for v in variances]
    denoising = [denoising_score_matching((x + noise) / v, noise, noise_std=0.5).value for v in variances]
    best = [float(variances[torch.stack(values).argmin()]) for values in (implicit, denoising)]
    assert best[0] == pytest.approx(2.25, abs=0.006)
    error = (2 / 4000) ** 0.5 * 2.5  # of a variance; the denoising minimum adds the noise's own
    assert best[1] == pytest.approx(2.5, abs=5 * 2 * error)


def test_implicit_score_matching_is_the_fisher_divergence_up_to_a_constant():
    """Integration by parts, checked by the midpoint rule: equal gradients in every parameter, one constant of data."""
    axis = torch.linspace(-6, 6, 161, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    p = torch.softmax(-DATA(x), 0).detach()
    energy, truth = model(), slope(DATA, x).detach()
    gradient, laplacian = slope_and_laplacian(energy, x)
    implicit = p @ (gradient.square().sum(1) / 2 - laplacian)
    explicit = p @ ((gradient - truth).square().sum(1) / 2)
    ours, theirs = (parameter_gradient(value, energy) for value in (implicit, explicit))
    torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=0)
    assert theirs.abs().max() > 0.1
    torch.testing.assert_close(explicit - implicit, p @ truth.square().sum(1) / 2)


def test_denoising_score_matching_has_the_gradient_of_the_noisy_density_within_five_standard_errors():
    n, noise_std = 40_000, 0.5
    noisy = GaussianMixture(DATA.means, 0.4 + noise_std**2, DATA.logits.softmax(0)).double().requires_grad_(False)
    x = DATA.sample(n, generator=torch.Generator().manual_seed(1))
    noise = noise_std * torch.randn(n, 2, dtype=torch.float64)
    energy = model()
    parts = []
    for rows, added in zip((x + noise).split(n // 100), noise.split(n // 100), strict=True):
        gradient = slope(energy, rows)
        value = denoising_score_matching(gradient, added, noise_std=noise_std).value
        explicit = noise_std**2 / 2 * (gradient - slope(noisy, rows).detach()).square().sum(1).mean()
        parts.append(parameter_gradient(value - explicit, energy))
    differences = torch.stack(parts)  # (100, P), of independent batches
    errors = differences.std(0) / 100**0.5
    assert (differences.mean(0).abs() <= 5 * errors + 1e-12).all()


def test_the_loss_reaches_the_parameters_through_the_gradient():
    energy, x = model(), DATA.sample(50, generator=torch.Generator().manual_seed(1))
    noise = 0.3 * torch.randn_like(x)
    denoising_score_matching(slope(energy, x + noise), noise, noise_std=0.3).value.backward()
    assert energy.means.grad is not None and energy.means.grad.abs().max() > 0.01


@pytest.mark.parametrize("shape", [(3,), (), (0, 2)])
def test_gradients_without_rows_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected shape \(N, \*S\) with N > 0"):
        denoising_score_matching(torch.zeros(shape), torch.zeros(shape), noise_std=1.0)
    with pytest.raises(ValueError, match=r"expected shape \(N, \*S\) with N > 0"):
        implicit_score_matching(torch.zeros(shape), torch.zeros(3))


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="noise belongs to gradient entry by entry"):
        denoising_score_matching(torch.zeros(3, 2), torch.zeros(3, 1), noise_std=1.0)
    with pytest.raises(ValueError, match="got 3 and 4 rows"):
        implicit_score_matching(torch.zeros(3, 2), torch.zeros(4))
    with pytest.raises(ValueError, match=r"laplacian holds one energy a row: expected shape \(N,\), got \(3, 1\)"):
        implicit_score_matching(torch.zeros(3, 2), torch.zeros(3, 1))


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_noise_that_is_no_standard_deviation_is_refused(bad):
    with pytest.raises(ValueError, match="larger than 0, got"):
        denoising_score_matching(torch.zeros(3, 2), torch.zeros(3, 2), noise_std=bad)
