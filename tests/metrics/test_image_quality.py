from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.inception import InceptionScore

from ebm_course.metrics.image_quality import classifier_score, frechet_distance, nearest_ratio, precision_recall

NAN = torch.full((9, 2), torch.nan)


def with_moments(n: int, mean: Tensor, covariance: Tensor) -> Tensor:
    """n points whose mean and unbiased covariance are exactly these."""
    white = torch.randn(n, len(mean), dtype=torch.float64)
    white = white - white.mean(0)
    white = white @ torch.linalg.inv(torch.linalg.cholesky(white.T.cov())).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def random_covariance(d: int) -> Tensor:
    root = torch.randn(d, d, dtype=torch.float64)
    return root @ root.T + 0.1 * torch.eye(d, dtype=torch.float64)


def test_frechet_distance_of_gaussians_with_commuting_covariances_is_that_of_means_and_standard_deviations():
    mean, zero = torch.tensor([3.0, 0.0, -4.0]).double(), torch.zeros(3).double()
    turn = torch.linalg.qr(torch.randn(3, 3).double()).Q
    variances_a, variances_b = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([16.0, 4.0, 1.0]).double()
    a = with_moments(50, mean, turn @ torch.diag(variances_a) @ turn.T)
    b = with_moments(70, zero, turn @ torch.diag(variances_b) @ turn.T)
    assert frechet_distance(a, b) == pytest.approx(25 + (1 - 4) ** 2 + 0 + (3 - 1) ** 2, rel=1e-9)


def test_frechet_distance_of_any_gaussians_has_the_trace_of_a_symmetric_root():
    p, q = random_covariance(5), random_covariance(5)
    values, vectors = torch.linalg.eigh(p)
    root = vectors @ torch.diag(values.sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ q @ root).sqrt().sum()
    means = torch.randn(2, 5, dtype=torch.float64)
    a, b = with_moments(40, means[0], p), with_moments(60, means[1], q)
    expected = float((means[0] - means[1]).square().sum() + p.trace() + q.trace() - 2 * cross)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_keeps_its_digits_far_from_the_origin():
    a, b = with_moments(50, torch.zeros(3), random_covariance(3)), with_moments(50, torch.ones(3), random_covariance(3))
    assert frechet_distance(a + 1e7, b + 1e7) == pytest.approx(frechet_distance(a, b), rel=1e-6)


def test_frechet_distance_of_a_set_to_itself_is_zero_also_where_features_are_dead():
    a = torch.cat([torch.randn(60, 4), torch.zeros(60, 3)], 1)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_between_sets_of_one_law_falls_with_their_size():
    draws = {n: [frechet_distance(*torch.randn(2, n, 16)) for _ in range(10)] for n in (40, 80, 160)}
    assert min(draws[40]) > max(draws[80]) and min(draws[80]) > max(draws[160]) > 0


def test_frechet_distance_is_the_same_under_foreign_settings_of_torch_and_draws_nothing():
    a, b = torch.randn(2, 30, 3)
    expected, state = frechet_distance(a, b), torch.get_rng_state()
    with torch.device("meta"), torch.inference_mode():
        assert frechet_distance(a, b) == expected
        assert frechet_distance(a + 0, b + 0) == expected  # made in inference mode
    assert frechet_distance(a.requires_grad_(), b) == expected
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("n_classes", [2, 7])
def test_classifier_score_is_that_of_torchmetrics(n_classes: int):
    logits = 3 * torch.randn(50, n_classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps what it was given, that one part has no spread
        peer = InceptionScore(feature=nn.Identity(), splits=1)
        peer.update(logits)
        expected = float(peer.compute()[0])
    assert classifier_score(logits) == pytest.approx(expected, rel=1e-5)


def test_classifier_score_by_hand():
    p = torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64)
    marginal = [0.375, 0.625]
    kl = [sum(a * math.log(a / m) for a, m in zip(row, marginal, strict=True)) for row in p.tolist()]
    assert classifier_score(p.log()) == pytest.approx(math.exp(sum(kl) / 2))


def test_classifier_score_goes_from_one_to_the_number_of_classes_and_no_logit_is_too_large():
    assert classifier_score(torch.ones(5, 10)) == pytest.approx(1)
    assert classifier_score(torch.eye(10)[:4] * 1e6) == pytest.approx(4)  # four classes of ten
    assert classifier_score(torch.eye(10) * 1e30) == pytest.approx(10)


def test_ten_class_means_beat_a_thousand_noisy_images_in_the_score():
    """The lie of the docstring: the score asks for certain predictions, one image a class is enough."""
    means = 8 * torch.eye(10)
    images = means.repeat(100, 1) + 2 * torch.randn(1000, 10)
    assert classifier_score(means) > classifier_score(images)


def double_loop(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    def share(points: Tensor, centres: Tensor) -> float:
        inside = 0
        for point in points:
            for i, centre in enumerate(centres):
                others = sorted(float((centre - c).norm()) for j, c in enumerate(centres) if j != i)
                if float((point - centre).norm()) <= others[k - 1]:
                    inside += 1
                    break
        return inside / len(points)

    return {"precision": share(fake, real), "recall": share(real, fake)}


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("pairs", [1, 10**6])
def test_precision_and_recall_equal_the_double_loop_in_blocks_or_not(k: int, pairs: int, monkeypatch):
    monkeypatch.setattr("ebm_course.metrics.image_quality.PAIRS", pairs)
    real, fake = torch.randn(23, 2, 2).double(), 0.7 * torch.randn(17, 2, 2).double() + 1
    expected = double_loop(real.flatten(1), fake.flatten(1), k)
    assert precision_recall(real, fake, k=k) == pytest.approx(expected)
    assert 0 < expected["precision"] < 1 and 0 < expected["recall"] < 1


def test_precision_and_recall_by_hand():
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[4.5], [5.5], [5.0]])
    # balls of real points: 1, 1, 2; of fakes: 0.5, 0.5, 0.5
    assert precision_recall(real, fake, k=1) == {"precision": pytest.approx(2 / 3), "recall": 0.0}


def test_precision_sees_rubbish_and_recall_sees_what_is_missing():
    two_heaps = torch.cat([torch.randn(200, 3), torch.randn(200, 3) + 30])
    one_heap, rubbish = torch.randn(200, 3), 300 * torch.randn(200, 3)
    missing, spoilt = (
        precision_recall(two_heaps, one_heap),
        precision_recall(two_heaps, torch.cat([two_heaps, rubbish])),
    )
    assert missing["precision"] > 0.8 and missing["recall"] < 0.55
    assert spoilt["precision"] == pytest.approx(2 / 3, abs=0.05) and spoilt["recall"] == 1


def test_copies_of_training_images_have_a_precision_of_one():
    real = torch.randn(100, 4) * 1e-3 + 1e3  # a table of matrix products would not see that they are equal
    assert precision_recall(real, real[:50], k=1)["precision"] == 1
    assert precision_recall(real.repeat(2, 1), real, k=1)["precision"] == 1  # every ball has radius 0


def test_a_point_on_a_ball_of_radius_0_lies_in_it():
    copies = torch.zeros(5, 3)  # the third neighbour of each is at distance 0
    assert precision_recall(copies, copies.clone(), k=3) == {"precision": 1.0, "recall": 1.0}


def test_neighbours_are_the_same_far_from_the_origin():
    real, fake, held_out = torch.randint(-64, 65, (3, 60, 4)).double() / 16  # what a shift of 2^28 leaves exact
    expected, ratio = precision_recall(real, 1.5 * fake), nearest_ratio(fake, real, held_out)
    assert precision_recall(real + 2**28, 1.5 * fake + 2**28) == expected
    assert 0 < expected["precision"] < 1
    assert nearest_ratio(fake + 2**28, real + 2**28, held_out + 2**28) == pytest.approx(ratio, rel=1e-12)


def test_one_far_point_has_a_ball_that_holds_everything():
    fake = torch.randn(50, 2) + 20
    assert precision_recall(torch.randn(50, 2), fake)["precision"] == 0
    real = torch.cat([torch.randn(50, 2), torch.full((1, 2), 1e3)])
    assert precision_recall(real, fake)["precision"] == 1


def test_nearest_ratio_by_hand():
    train, held_out = torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([[0.0, 2.0], [10.0, 4.0]])
    assert nearest_ratio(torch.tensor([[3.0, 4.0]]), train, held_out) == pytest.approx(5 / 3)


@pytest.mark.parametrize("pairs", [1, 100, 10**6])
def test_nearest_ratio_takes_the_nearest_of_all(pairs: int, monkeypatch):
    monkeypatch.setattr("ebm_course.metrics.image_quality.PAIRS", pairs)
    fake, train, held_out = torch.randn(20, 1, 3, 3), torch.randn(50, 1, 3, 3), torch.randn(30, 1, 3, 3)

    def mean_of_nearest(x: Tensor) -> float:
        return sum(min(float((a - b).double().norm()) for b in train) for a in x) / len(x)

    expected = mean_of_nearest(fake) / mean_of_nearest(held_out)
    assert nearest_ratio(fake, train, held_out) == pytest.approx(expected, rel=1e-6)


def test_memorised_images_have_a_ratio_below_one_and_copies_exactly_zero():
    train, held_out = torch.randn(200, 8) + 1e3, torch.randn(100, 8) + 1e3
    assert nearest_ratio(train[:40], train, held_out) == 0
    assert nearest_ratio(train[:40] + 0.1 * torch.randn(40, 8), train, held_out) < 0.3
    assert nearest_ratio(torch.randn(2000, 8) + 1e3, train, held_out) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: frechet_distance(torch.zeros(9, 2), torch.zeros(9, 3)), r"two sets .* got \(9, 2\) and \(9, 3\)"),
        (lambda: frechet_distance(torch.zeros(9, 1, 8, 8), torch.zeros(9, 1, 8, 8)), r"\.flatten\(1\)"),
        (
            lambda: frechet_distance(torch.zeros(9, 8), torch.zeros(8, 8)),
            r"features_b .* 9 rows or more: got .*\(8, 8\)",
        ),
        (lambda: frechet_distance(torch.zeros(9, 2), NAN), "features_b holds finite numbers: got 18 of 18"),
        (lambda: classifier_score(torch.zeros(3)), r"logits has shape \(N, K\).* got \(3,\)"),
        (lambda: classifier_score(torch.zeros(3, 1)), r"K > 1 classes: got \(3, 1\)"),
        (lambda: classifier_score(torch.zeros(0, 3)), r"got \(0, 3\)"),
        (lambda: classifier_score(NAN), "logits holds finite numbers"),
        (lambda: precision_recall(torch.zeros(9, 2), torch.zeros(3, 2)), r"fake .* 4 rows or more: got shape \(3, 2\)"),
        (lambda: precision_recall(torch.zeros(9, 2), torch.zeros(9, 3)), r"got real \(9, 2\), fake \(9, 3\)"),
        (lambda: precision_recall(torch.zeros(9, 2), torch.zeros(9, 2), k=0), "k is a whole number: expected 1"),
        (lambda: precision_recall(NAN, torch.zeros(9, 2)), "real holds finite numbers"),
        (lambda: nearest_ratio(torch.zeros(0, 2), torch.zeros(9, 2), torch.zeros(9, 2)), "fake .* 1 rows or more"),
        (lambda: nearest_ratio(torch.zeros(9, 2), torch.zeros(9, 2), torch.ones(9, 4)), r"held_out \(9, 4\)"),
        (lambda: nearest_ratio(torch.ones(9, 2), torch.zeros(9, 2), torch.zeros(9, 2)), "got training images only"),
        (lambda: nearest_ratio(NAN, torch.zeros(9, 2), torch.ones(9, 2)), "fake holds finite numbers"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_sentence(call, words: str):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("scale", [2.0**600, 1e200, 1e-200])
def test_neighbours_are_the_same_in_any_unit(scale: float):
    real, fake = torch.randn(40, 3, dtype=torch.float64), torch.randn(30, 3, dtype=torch.float64) + 0.5
    found = precision_recall(real, fake)
    assert 0 < found["precision"] < 1 and precision_recall(real * scale, fake * scale) == found
    assert nearest_ratio(fake * scale, real * scale, real[:9] * scale * 1.1) == pytest.approx(
        nearest_ratio(fake, real, real[:9] * 1.1)
    )
