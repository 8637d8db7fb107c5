from __future__ import annotations

import pytest
import torch
from torch import tensor

from ebm_course.metrics.robustness import accuracy, changed_predictions, robust_accuracy

CLEAN = tensor([[3.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0, 2.0, 1.0], [5.0, 2.0, 1.0]])
LABELS = tensor([0, 1, 2, 0])  # the third row is wrong
FIRST = tensor([[0.0, 9.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 1.0], [5.0, 2.0, 1.0]])  # fools row 0, repairs row 2
SECOND = tensor([[3.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0, 2.0, 1.0], [0.0, 2.0, 1.0]])  # fools row 3


def test_every_number_by_hand():
    assert accuracy(CLEAN, LABELS) == 3 / 4
    assert (robust_accuracy(CLEAN, FIRST, LABELS), robust_accuracy(CLEAN, SECOND, LABELS)) == (2 / 4, 2 / 4)
    assert (changed_predictions(CLEAN, FIRST), changed_predictions(CLEAN, SECOND)) == (2 / 4, 1 / 4)


def test_the_worst_of_several_attacks_counts_for_each_row():
    both = torch.stack([FIRST, SECOND])
    assert robust_accuracy(CLEAN, both, LABELS) == 1 / 4
    assert changed_predictions(CLEAN, both) == 3 / 4


def test_a_wrong_row_that_an_attack_repairs_is_not_robust():
    assert accuracy(FIRST, LABELS) == 3 / 4
    assert robust_accuracy(CLEAN, FIRST, LABELS) == 2 / 4


def test_no_attack_leaves_the_clean_accuracy():
    assert robust_accuracy(CLEAN, CLEAN, LABELS) == accuracy(CLEAN, LABELS)
    assert changed_predictions(CLEAN, CLEAN) == 0


def test_a_constant_classifier_changes_nothing_and_is_as_right_as_its_class_is_frequent():
    flat = torch.zeros(4, 3)
    assert (accuracy(flat, LABELS), changed_predictions(flat, flat + 1)) == (1 / 2, 0)


def test_a_third_is_a_third_in_double_precision():
    assert accuracy(torch.eye(3), tensor([0, 2, 0])) == 1 / 3


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: accuracy(CLEAN, LABELS[:3]), r"one for each of the 4 rows: got torch.int64 of shape \(3,\)"),
        (lambda: accuracy(CLEAN, LABELS.float()), "labels are int64 .* got torch.float32"),
        (lambda: accuracy(CLEAN, LABELS + 1), "expected 0 to 2, got 1 to 3"),
        (lambda: accuracy(CLEAN, LABELS - 1), "expected 0 to 2, got -1 to 1"),
        (lambda: accuracy(CLEAN[0], LABELS[:1]), r"logits has shape \(N, K\)"),
        (lambda: accuracy(CLEAN * torch.inf, LABELS), "logits holds finite numbers: got 12 of 12"),
        (lambda: robust_accuracy(CLEAN, FIRST[:2], LABELS), r"expected \(4, 3\) or .* got \(2, 3\)"),
        (lambda: robust_accuracy(CLEAN, torch.zeros(0, 4, 3), LABELS), r"got \(0, 4, 3\)"),
        (lambda: robust_accuracy(CLEAN, FIRST / 0, LABELS), "attacked holds finite numbers"),
        (lambda: changed_predictions(CLEAN, FIRST[:, :2]), r"expected \(4, 3\) or .* got \(4, 2\)"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_sentence(call, words: str):
    with pytest.raises(ValueError, match=words):
        call()
