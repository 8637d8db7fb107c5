from __future__ import annotations

import pytest
import torch
from torch import tensor

from ebm_course.metrics.separation import auroc, histogram_overlap, separation


def test_every_number_by_hand():
    result = separation(tensor([-3.0, -1.0, 1.0]), tensor([0.0, 1.0]), n_bins=4)
    assert result["auroc"] == pytest.approx((2 + 2 + 0.5) / 6)
    assert result["accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result["gap"] == pytest.approx(0.5 + 1.0)
    assert result["overlap"] == pytest.approx(1 / 3)  # bins of width 1: data 1/3 0 1/3 1/3, negatives 0 0 0 1


def test_auroc_is_the_share_of_ordered_pairs():
    low, high = torch.randint(0, 6, (50,)).double(), torch.randint(2, 9, (70,)).double()
    pairs = (low[:, None] < high).double() + 0.5 * (low[:, None] == high).double()
    torch.testing.assert_close(auroc(low, high), pairs.mean())


def test_auroc_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    low, high = torch.randn(60), torch.randn(40) + 0.5
    labels = [0] * 60 + [1] * 40
    assert float(auroc(low, high)) == pytest.approx(metrics.roc_auc_score(labels, torch.cat([low, high]).numpy()))


def test_the_sign_is_that_of_the_course_low_energy_is_data():
    perfect = separation(torch.linspace(-3, -2, 9), torch.linspace(2, 3, 9))
    assert perfect == pytest.approx({"auroc": 1.0, "accuracy": 1.0, "gap": 5.0, "overlap": 0.0})
    assert separation(torch.linspace(2, 3, 9), torch.linspace(-3, -2, 9))["auroc"] == 0.0


def test_overlap_is_one_for_equal_sets_also_when_all_values_are_the_same():
    assert histogram_overlap(torch.arange(9.0), torch.arange(9.0), n_bins=5).item() == pytest.approx(1.0)
    assert separation(torch.zeros(3), torch.zeros(5))["overlap"] == 1.0


def test_the_threshold_moves_the_accuracy_only():
    e_data, e_negative = tensor([1.0, 2.0]), tensor([3.0, 4.0])
    at_zero, between = separation(e_data, e_negative), separation(e_data, e_negative, threshold=2.5)
    assert (at_zero["accuracy"], between["accuracy"]) == (0.5, 1.0)
    assert {**at_zero, "accuracy": 1.0} == between


def test_a_flat_energy_has_no_skill():
    result = separation(torch.zeros(4), torch.zeros(4))
    assert (result["auroc"], result["accuracy"], result["gap"]) == (0.5, 0.0, 0.0)


def test_bad_energies_are_refused():
    with pytest.raises(ValueError, match=r"e_negative holds finite energies \(N,\), N > 0: got shape \(3, 1\)"):
        separation(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="2 finite"):
        separation(tensor([0.0, float("nan"), 1.0]), torch.zeros(3))
