from __future__ import annotations

import math

import pytest
import torch
from torch import tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from ebm_course.metrics.calibration import expected_calibration_error, reliability


def test_the_error_by_hand():
    p = tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.45, 0.55]])
    labels = tensor([0, 1, 1, 0])
    # two bins of four: (0.75, 1] holds two at 0.85, one right; (0.5, 0.75] two at 0.575, one right
    assert expected_calibration_error(p, labels, n_bins=4) == pytest.approx((0.35 + 0.075) / 2)


@pytest.mark.parametrize("n_bins", [1, 4, 15])
@pytest.mark.parametrize("n_classes", [2, 10])
def test_the_error_is_that_of_torchmetrics(n_bins: int, n_classes: int):
    p = torch.softmax(3 * torch.randn(300, n_classes), 1)
    labels = torch.randint(n_classes, (300,))
    peer = multiclass_calibration_error(p, labels, n_classes, n_bins=n_bins, norm="l1")
    assert expected_calibration_error(p, labels, n_bins=n_bins) == pytest.approx(float(peer), abs=1e-6)


def test_by_default_there_are_fifteen_bins():
    p = torch.softmax(3 * torch.randn(300, 10), 1)
    labels = torch.multinomial(p, 1)[:, 0]  # calibrated, so that bins are off to either side
    errors = {n: expected_calibration_error(p, labels, n_bins=n) for n in (10, 15)}
    assert expected_calibration_error(p, labels) == errors[15] != errors[10]
    assert [len(part) for part in reliability(p, labels)] == [15] * 3


def test_a_certain_classifier_is_as_far_off_as_it_is_wrong():
    p = torch.eye(4)[tensor([0, 1, 2, 3, 0])]
    assert expected_calibration_error(p, tensor([0, 1, 2, 0, 1])) == pytest.approx(2 / 5)
    assert expected_calibration_error(p, tensor([0, 1, 2, 3, 0])) == 0


def test_an_edge_belongs_to_the_bin_below_it():
    _, _, count = reliability(
        tensor([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0], [1.0, 0.0, 0.0]]), torch.zeros(3).long(), n_bins=4
    )
    assert count.tolist() == [0, 1, 1, 1]


def test_an_empty_bin_has_no_mean_and_costs_nothing():
    confidence, right, count = reliability(tensor([[0.9, 0.1]]), tensor([0]), n_bins=2)
    assert math.isnan(confidence[0]) and math.isnan(right[0]) and count.tolist() == [0, 1]
    assert expected_calibration_error(tensor([[0.9, 0.1]]), tensor([0]), n_bins=2) == pytest.approx(0.1)


def test_who_knows_nothing_and_says_how_often_a_class_comes_has_no_error():
    """The lie of the docstring: calibration is not knowledge."""
    labels = torch.arange(1000) % 5
    assert expected_calibration_error(torch.full((1000, 5), 0.2), labels) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [200, 3200])
def test_a_perfect_classifier_has_an_error_that_falls_with_the_root_of_the_number_of_images(n: int):
    errors = []
    for _ in range(40):
        top = 0.5 + 0.5 * torch.rand(n)
        labels = (torch.rand(n) > top).long()  # right with exactly the probability that is said
        errors.append(expected_calibration_error(torch.stack([top, 1 - top], 1), labels))
    n_bins = 7.5  # of fifteen, those above 1/2
    mean, error = torch.tensor(errors).mean().item(), torch.tensor(errors).std().item() / math.sqrt(40)
    assert mean == pytest.approx(math.sqrt(n_bins / n) * 0.3, abs=5 * error + 0.1 * math.sqrt(n_bins / n))


@pytest.mark.parametrize(
    "p, labels, n_bins, words",
    [
        (tensor([[2.0, -1.0]]), tensor([0]), 15, r"entries from -1, sums from 1 to 1\. Pass torch.softmax"),
        (tensor([[2.0, 1.0]]), tensor([0]), 15, "sums from 3 to 3"),
        (tensor([[torch.nan, 1.0]]), tensor([0]), 15, "probabilities holds finite numbers: got 1 of 2"),
        (tensor([[0.5, 0.5]]), tensor([2]), 15, "expected 0 to 1, got 2 to 2"),
        (tensor([[0.5, 0.5]]), tensor([0]), 0, "n_bins is a whole number: expected 1"),
        (tensor([0.5, 0.5]), tensor([0]), 15, r"shape \(N, K\)"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_sentence(p, labels, n_bins: int, words: str):
    with pytest.raises(ValueError, match=words):
        expected_calibration_error(p, labels, n_bins=n_bins)


def test_a_softmax_in_16_bits_is_told_to_be_one_in_32():
    logits = torch.randn(200, 30).mul(3).bfloat16()
    labels = torch.zeros(200, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"Pass torch\.softmax\(logits\.float\(\), 1\): in 16 bits rows do not sum"):
        expected_calibration_error(logits.softmax(1), labels)
    assert 0 <= expected_calibration_error(logits.float().softmax(1), labels) <= 1
