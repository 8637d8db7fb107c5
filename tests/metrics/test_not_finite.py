"""A number that is not finite has no mean, no rank and no neighbour: every metric refuses it in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebm_course.metrics.calibration import expected_calibration_error
from ebm_course.metrics.density import density_distance
from ebm_course.metrics.energy_gap import energy_gap
from ebm_course.metrics.image_quality import classifier_score, frechet_distance, nearest_ratio, precision_recall
from ebm_course.metrics.mixing import mixing
from ebm_course.metrics.mmd import maximum_mean_discrepancy
from ebm_course.metrics.moves import moves
from ebm_course.metrics.out_of_distribution import familiarity, out_of_distribution
from ebm_course.metrics.robustness import accuracy, changed_predictions, robust_accuracy
from ebm_course.metrics.separation import auroc, separation

N, K = 10, 2
X, LABELS = torch.arange(N * K).view(N, K) / 7.0, torch.zeros(N, dtype=torch.int64)
P = X.softmax(dim=1)

METRICS: dict[str, tuple[Callable[[Tensor], object], Tensor]] = {
    "calibration": (lambda x: expected_calibration_error(x, LABELS), P),
    "densities": (lambda x: density_distance(x, P[1]), P[0]),
    "gap": (lambda x: energy_gap(x, X[:, 1]), X[:, 0]),
    "Frechet": (lambda x: frechet_distance(X, x), X),
    "classifier score": (classifier_score, X),
    "precision": (lambda x: precision_recall(X, x), X),
    "nearest": (lambda x: nearest_ratio(x, X, X + 1), X),
    "mixing": (mixing, X),
    "MMD": (lambda x: maximum_mean_discrepancy(x, X), X),
    "MMD, bandwidth": (lambda x: maximum_mean_discrepancy(X, x, bandwidth=1.0), X),
    "moves": (moves, X[:, None]),
    "familiarity": (familiarity, X),
    "its gradient": (lambda x: familiarity(X, x), X),
    "foreign images": (lambda x: out_of_distribution({"score": X[:, 0]}, {"score": x}), X[:, 0]),
    "accuracy": (lambda x: accuracy(x, LABELS), X),
    "robust accuracy": (lambda x: robust_accuracy(X, x, LABELS), X),
    "changed": (lambda x: changed_predictions(X, x), X),
    "separation": (lambda x: separation(x, X[:, 1]), X[:, 0]),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_it_is_refused(name: str, value: float) -> None:
    metric, given = METRICS[name]
    metric(given)
    hurt = given.clone()
    hurt.view(-1)[0] = value
    with pytest.raises(ValueError, match=r"finite|holds probabilities|sum to 1"):
        metric(hurt)


def test_a_rank_needs_a_number_and_an_infinite_one_has_its_rank() -> None:
    low, high = torch.tensor([0.0, -torch.inf]), torch.tensor([1.0, torch.inf])
    assert float(auroc(low, high)) == 1 and float(auroc(high, low)) == 0
    for pair in ((low / low, high), (low, high - high)):
        with pytest.raises(FloatingPointError, match="a score is NaN and has no rank"):
            auroc(*pair)
    with pytest.raises(ValueError, match="pair by pair: got 2 low and 0 high ones"):
        auroc(low, high[:0])


@pytest.mark.parametrize("name", METRICS)
def test_what_is_no_tensor_of_real_numbers_is_refused(name: str) -> None:
    metric, given = METRICS[name]
    for other, got in ((given.tolist(), "a list"), (given.to(torch.complex64), "torch.complex64")):
        with pytest.raises(TypeError, match=f"expected a tensor of real numbers, got {got}"):
            metric(other)


def test_labels_are_a_tensor() -> None:
    for metric in (expected_calibration_error, accuracy):
        with pytest.raises(TypeError, match="labels: expected a tensor of real numbers, got a list"):
            metric(P, LABELS.tolist())  # type: ignore[arg-type]


def test_what_has_no_rows_is_refused() -> None:
    none, one = torch.zeros(0), torch.tensor(1.0)
    calls: dict[str, Callable[[], object]] = {
        "p holds probabilities: expected .* got a smallest entry of nan and a sum of 0": lambda: density_distance(
            none, none
        ),
        r"two samples of one space with two rows or more were expected: got \(\) and \(\)": (
            lambda: maximum_mean_discrepancy(one, one)
        ),
        "a row for each row of logits: expected 10, got one number": lambda: familiarity(X, one),
        r"a path \(T \+ 1, N, \*S\) with T, N > 0": lambda: moves(torch.zeros(3, 0, 1)),
        r"scores are compared pair by pair: expected \(N,\) and \(M,\), got \(10, 2\)": lambda: auroc(X, X),
    }
    for words, call in calls.items():
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="inside maps names to scores: got a Tensor"):
        out_of_distribution(X, X)  # type: ignore[arg-type]


@pytest.mark.parametrize("window", [1.5, "1", None, True])
def test_a_window_is_a_whole_number(window: object) -> None:
    with pytest.raises(ValueError, match="window is a whole number"):
        moves(X[:, None], window=window)  # type: ignore[arg-type]
