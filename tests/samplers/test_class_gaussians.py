from __future__ import annotations

import math
import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ebm_course.samplers.class_gaussians import ClassGaussians

K, SHAPE, D = 3, (1, 2, 2), 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int = 300, seed: int = 0) -> tuple[Tensor, Tensor]:
    """States in [-1, 1] with another mean and another full covariance in each class; labels in no order."""
    g = generator(seed)
    y = torch.randint(K, (n,), generator=g)
    mixing = 0.3 * torch.randn(K, D, D, generator=g)
    means = torch.linspace(-1, 1, K)[:, None] * torch.ones(D)
    x = means[y] + torch.einsum("nij,nj->ni", mixing[y], torch.randn(n, D, generator=g))
    return x.clamp(-1, 1).view(n, *SHAPE), y


def moments(x: Tensor, jitter: float) -> tuple[Tensor, Tensor]:
    flat = x.flatten(1).double()
    return flat.mean(dim=0), flat.T.cov(correction=0) + jitter * torch.eye(D)


def test_means_and_covariances_are_those_of_the_rows_of_each_class() -> None:
    x, y = rows()
    gaussians = ClassGaussians.fit(x, y, K, jitter=0.01)
    assert gaussians.means.shape == (K, *SHAPE) and gaussians.means.dtype == x.dtype
    assert torch.equal(gaussians.counts, y.bincount())
    for k in range(K):
        mean, covariance = moments(x[y == k], 0.01)
        torch.testing.assert_close(gaussians.means[k].flatten().double(), mean, atol=1e-6, rtol=1e-6)
        factor = gaussians.factors[k].double()
        torch.testing.assert_close(factor @ factor.T, covariance, atol=1e-6, rtol=1e-5)
        assert torch.equal(factor, factor.tril())


def test_samples_have_the_means_and_covariances_of_their_classes() -> None:
    x, y = rows()
    gaussians, n = ClassGaussians.fit(x, y, K, bounds=None), 60_000
    labels = torch.randint(K, (n,), generator=generator(2))
    drawn = gaussians.sample(labels, generator=generator(1))
    assert drawn.shape == (n, *SHAPE) and drawn.dtype == x.dtype
    for k in range(K):
        mean, covariance = moments(x[y == k], 1e-4)
        found_mean, found = moments(drawn[labels == k], 0.0)
        m, variance = int((labels == k).sum()), covariance.diagonal()
        assert ((found_mean - mean).abs() < 5 * (variance / m).sqrt()).all()
        error = ((variance[:, None] * variance + covariance.square()) / m).sqrt()  # of a covariance's entry
        assert ((found - covariance).abs() < 5 * error).all()


def test_a_row_stands_where_its_label_stands() -> None:
    x, y = rows()
    gaussians = ClassGaussians.fit(x, y, K, jitter=1e-12, bounds=None)
    tight = ClassGaussians(gaussians.means, 1e-6 * gaussians.factors, gaussians.counts)
    labels = torch.tensor([2, 0, 2, 1, 2])
    torch.testing.assert_close(tight.sample(labels, generator=generator()), tight.means[labels], atol=1e-4, rtol=0)


def test_the_draw_of_a_row_does_not_depend_on_the_labels_of_others() -> None:
    gaussians = ClassGaussians.fit(*rows(), K)
    one = gaussians.sample(torch.tensor([0, 1, 2, 0]), generator=generator())
    two = gaussians.sample(torch.tensor([2, 1, 1, 0]), generator=generator())
    torch.testing.assert_close(one[[1, 3]], two[[1, 3]])


def test_log_prob_is_that_of_torchs_own_gaussian() -> None:
    x, y = rows()
    gaussians = ClassGaussians.fit(x.double(), y, K)
    found = gaussians.log_prob(x.double(), y)
    for k in range(K):
        theirs = MultivariateNormal(gaussians.means[k].flatten(), scale_tril=gaussians.factors[k])
        torch.testing.assert_close(found[y == k], theirs.log_prob(x[y == k].double().flatten(1)))
    torch.testing.assert_close(gaussians.log_prob(x, y).double(), found, atol=1e-3, rtol=1e-4)


def test_log_prob_has_the_gradient_of_a_gaussian() -> None:
    x, y = rows(20)
    gaussians = ClassGaussians.fit(x.double(), y, K)
    at = x.double().requires_grad_()
    (grad,) = torch.autograd.grad(gaussians.log_prob(at, y).sum(), at)
    precision = torch.cholesky_inverse(gaussians.factors)[y]
    expected = -torch.einsum("nij,nj->ni", precision, (at - gaussians.means[y]).flatten(1))
    torch.testing.assert_close(grad.flatten(1), expected)


def test_jitter_is_all_the_variance_of_a_pixel_that_never_changes_and_of_a_single_row() -> None:
    x = torch.full((1, *SHAPE), -0.5)
    gaussians = ClassGaussians.fit(x, torch.zeros(1, dtype=torch.int64), 1, jitter=0.04)
    torch.testing.assert_close(gaussians.factors[0], 0.2 * torch.eye(D))
    torch.testing.assert_close(gaussians.means, x)


def test_fewer_rows_than_pixels_are_enough_for_a_draw() -> None:
    x = 2 * torch.rand(6, 3, 8, 8, generator=generator()) - 1
    drawn = ClassGaussians.fit(x, torch.arange(6) % 2, 2).sample(torch.tensor([0, 1]), generator=generator())
    assert drawn.isfinite().all()


def test_samples_stay_in_the_bounds_or_have_none() -> None:
    x, y = rows()
    labels = torch.arange(3_000) % K
    assert ClassGaussians.fit(x, y, K).sample(labels, generator=generator()).abs().max() == 1
    assert ClassGaussians.fit(x, y, K, bounds=None).sample(labels, generator=generator()).abs().max() > 1
    inside = replace(ClassGaussians.fit(x, y, K), bounds=(0.0, 0.2)).sample(labels, generator=generator())
    assert inside.min() == 0 and inside.max().item() == pytest.approx(0.2)


def test_labels_are_drawn_by_the_share_of_their_rows() -> None:
    x, n = 2 * torch.rand(10, *SHAPE, generator=generator()) - 1, 30_000
    gaussians = ClassGaussians.fit(x, torch.tensor([0] * 7 + [1] * 2 + [2]), K)
    share = gaussians.draw_labels(n, generator=generator()).bincount(minlength=K) / n
    for found, p in zip(share.tolist(), [0.7, 0.2, 0.1], strict=True):
        assert found == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / n))


def test_no_labels_give_no_states() -> None:
    gaussians = ClassGaussians.fit(*rows(), K)
    none = gaussians.draw_labels(0, generator=generator())
    assert none.dtype == torch.int64 and none.shape == (0,)
    states = gaussians.sample(none, generator=generator())
    assert states.shape == (0, *SHAPE) and gaussians.log_prob(states, none).shape == (0,)


def test_a_class_without_rows_is_refused_by_its_number() -> None:
    x, y = rows()
    with pytest.raises(ValueError, match=r"every class needs rows to be fitted to: got none of \[1, 3\]"):
        ClassGaussians.fit(x[y != 1], y[y != 1], 4)


@pytest.mark.parametrize("jitter", [0.0, -1.0, math.nan, math.inf])
def test_jitter_that_is_no_positive_number_is_refused(jitter: float) -> None:
    with pytest.raises(ValueError, match=f"expected a number above 0, got {jitter}"):
        ClassGaussians.fit(*rows(), K, jitter=jitter)


def test_labels_and_states_that_do_not_fit_are_refused() -> None:
    x, y = rows()
    gaussians = ClassGaussians.fit(x, y, K)
    with pytest.raises(ValueError, match=r"labels are 0 to 1: got 0 to 2\. Number the classes from 0"):
        ClassGaussians.fit(x, y, 2)
    with pytest.raises(ValueError, match=r"labels are 0 to 2: got -1 to 0"):
        gaussians.sample(torch.tensor([0, -1]), generator=generator())
    with pytest.raises(ValueError, match=r"labels have shape \(300,\) of torch\.int64: got \(299,\)"):
        ClassGaussians.fit(x, y[1:], K)
    with pytest.raises(ValueError, match=r"labels have shape \(N,\) of torch\.int64: got \(2,\) of torch\.float32"):
        gaussians.sample(torch.zeros(2), generator=generator())
    with pytest.raises(ValueError, match=r"states have shape \('N', 1, 2, 2\): got \(300, 4\)"):
        gaussians.log_prob(x.flatten(1), y)
    with pytest.raises(ValueError, match="low < high"):
        ClassGaussians.fit(x, y, K, bounds=(1.0, 0.0))


def test_smooth_images_whose_variances_lie_far_apart_have_an_exact_factor() -> None:
    # six waves over 256 pixels: eigenvalues near 40, and the jitter everywhere else; single precision is 5e-4 off
    waves = torch.stack([torch.cos(torch.arange(256) * k * math.pi / 256) for k in range(6)])
    x, y = 0.4 * torch.randn(100, 6, generator=generator()) @ waves, torch.zeros(100, dtype=torch.int64)
    factor = ClassGaussians.fit(x.view(100, 1, 16, 16), y, 1, bounds=None).factors[0].double()
    basis = torch.linalg.svd(waves.double(), full_matrices=False).Vh
    flat = torch.randn(256, generator=generator()).double()
    flat -= basis.T @ (basis @ flat)
    variance = (factor.T @ flat).square().sum() / flat.square().sum()
    assert variance.item() == pytest.approx(1e-4, rel=1e-5)


def with_entry(value: float) -> Tensor:
    x = rows()[0].clone()
    x[3, 0, 1, 1] = value
    return x


@pytest.mark.parametrize(
    "x, error, words",
    [
        (with_entry(torch.nan), ValueError, "states are finite numbers: got 1 of 1200 that are not"),
        (with_entry(-torch.inf), ValueError, "states are finite numbers: got 1 of 1200 that are not"),
        ((rows()[0] * 99).byte(), TypeError, "real-valued states, got torch.uint8"),
        (rows()[0].cfloat(), TypeError, "real-valued states, got torch.complex64"),
        (rows()[0][:, 0, 0, 0], ValueError, r"states have shape \(M, \*S\), got \(300,\)"),
        (1e8 * rows()[0][:, :1, :1, :1].expand(300, 1, 9, 9), ValueError, "jitter is lost beside variances up to .*e"),
        (torch.zeros(1, 1).expand(300, 3_000_000), ValueError, r"ask for 216,000 GB of memory, expected what fits"),
    ],
)
def test_states_to_which_no_gaussian_can_be_fitted_are_refused(x: Tensor, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ClassGaussians.fit(x, rows()[1], K, bounds=None)


@pytest.mark.parametrize("low, high", [(0.0, 255.0), (-127.5, 1.0), (-1.0, 1.01), (-1.01, 0.0)])
def test_states_of_another_range_are_refused_lest_every_sample_lie_on_a_face(low: float, high: float) -> None:
    x = (rows()[0] + 1) * (high - low) / 2 + low
    with pytest.raises(ValueError, match=rf"expected \(-1\.0, 1\.0\), got {low:g} to {high:g}\. Bring them there"):
        ClassGaussians.fit(x, rows()[1], K)
    assert ClassGaussians.fit(x, rows()[1], K, bounds=(low, high)).means.max() > low


def test_images_of_0_to_1_are_refused_where_the_bounds_reach_below_0_and_other_states_are_not() -> None:
    x, y = (rows()[0] + 1) / 2, rows()[1]
    with pytest.raises(ValueError, match=r"\(-1\.0, 1\.0\): got none below 0, from 0 to 1, as .*\. Use 2 \* x - 1, or"):
        ClassGaussians.fit(x, y, K)
    for bounds in ((0.0, 1.0), None):
        assert ClassGaussians.fit(x, y, K, bounds=bounds).means.min() > 0
    assert ClassGaussians.fit(x.flatten(1), y, K).means.min() > 0  # no images
    assert ClassGaussians.fit(0 * x, y, K).means.max() == 0  # grey in [-1, 1]


def test_what_leaves_the_bounds_by_rounding_does_not_count() -> None:
    assert ClassGaussians.fit(rows()[0] * 1.0005, rows()[1], K).bounds == (-1.0, 1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_densities_of_sixteen_bits_are_taken_in_thirty_two(dtype: torch.dtype) -> None:
    x, y = (t.to(dtype) if t.is_floating_point() else t for t in rows())
    gaussians = ClassGaussians.fit(x, y, K)
    found = gaussians.log_prob(x, y)
    whole = ClassGaussians(gaussians.means.float(), gaussians.factors.float(), gaussians.counts)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, whole.log_prob(x.float(), y))


def test_what_is_drawn_does_not_depend_on_autocast() -> None:
    x, y = rows()
    gaussians = ClassGaussians.fit(x, y, K)
    expected = gaussians.sample(y, generator=generator())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gaussians.sample(y, generator=generator()), expected)


def test_labels_are_drawn_of_more_rows_than_float16_can_count():
    gaussians = ClassGaussians.fit(torch.linspace(-1, 1, 8).half().view(4, 2), torch.arange(4) % 2, 2)
    many = replace(gaussians, counts=torch.tensor([70_000, 1]))
    assert many.draw_labels(20, generator=torch.Generator().manual_seed(0)).sum() <= 1


def test_what_is_no_real_tensor_is_called_so():
    x, y = torch.linspace(-1, 1, 8).view(4, 2), torch.arange(4) % 2
    for words, call in {
        "states are a tensor": lambda: ClassGaussians.fit(x.tolist(), y, 2),
        "labels are a tensor": lambda: ClassGaussians.fit(x, y.tolist(), 2),
    }.items():
        with pytest.raises(TypeError, match=words):
            call()
    gaussians = ClassGaussians.fit(x, y, 2)
    for states, got in ((x.tolist(), "a list"), (x.to(torch.complex64), r"\(4, 2\) of torch\.complex64")):
        with pytest.raises(ValueError, match=rf"states have shape .*: got {got}\. Pass real states"):
            gaussians.log_prob(states, y)


def test_states_with_a_graph_are_fitted_as_those_without():
    x, y = torch.linspace(-1, 1, 8).view(4, 2), torch.arange(4) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ClassGaussians.fit(x.clone().requires_grad_(), y, 2)
    assert torch.equal(found.means, ClassGaussians.fit(x, y, 2).means) and not found.means.requires_grad
