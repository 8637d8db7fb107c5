from __future__ import annotations

import math

import pytest
import torch
from torch import tensor

from ebm_course.metrics.separation import auroc, separation


def test_every_number_by_hand():
    result = separation(tensor([-3.0, -1.0, 1.0]), tensor([0.0, 1.0]))
    assert result["auroc"] == pytest.approx((2 + 2 + 0.5) / 6)
    assert result["accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result["gap"] == pytest.approx(0.5 + 1.0)


@pytest.mark.parametrize("n, m", [(1, 1), (5, 8), (50, 70), (700, 30)])
@pytest.mark.parametrize("n_levels", [2, 7, 10**6])  # many ties, some, hardly any
def test_auroc_is_the_share_of_ordered_pairs_with_ties_by_half(n, m, n_levels):
    low, high = torch.randint(0, n_levels, (n,)).float(), torch.randint(n_levels // 4, n_levels + 2, (m,)).float()
    pairs = (low[:, None] < high).double() + 0.5 * (low[:, None] == high).double()
    torch.testing.assert_close(auroc(low, high), pairs.mean())


def test_auroc_by_hand():
    assert auroc(tensor([0.0]), tensor([1.0])).item() == 1.0
    assert auroc(tensor([1.0]), tensor([0.0])).item() == 0.0
    assert auroc(tensor([1.0, 1.0]), tensor([1.0])).item() == 0.5
    assert auroc(tensor([0.0, 1.0, 2.0]), tensor([1.0, 3.0])).item() == pytest.approx((1 + 0.5 + 0 + 3) / 6)


def test_the_sign_is_that_of_the_course_low_energy_is_data():
    perfect = separation(torch.linspace(-3, -2, 9), torch.linspace(2, 3, 9))
    assert perfect == pytest.approx({"auroc": 1.0, "accuracy": 1.0, "gap": 5.0})
    assert separation(torch.linspace(2, 3, 9), torch.linspace(-3, -2, 9))["auroc"] == 0.0


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


def test_what_is_no_threshold_and_what_are_no_energies_is_refused():
    e = torch.zeros(2)
    with pytest.raises(ValueError, match=r"threshold is a number of nats: got nan\. Pass 0\.0"):
        separation(e, e, threshold=math.nan)
    with pytest.raises(ValueError, match="threshold is a number: expected a real one, got 'a'"):
        separation(e, e, threshold="a")
    for bad, got in (([0.0, 1.0], "a list"), (e.numpy(), "a ndarray"), (e.to(torch.complex64), "torch.complex64")):
        with pytest.raises(TypeError, match=rf"e_negative: expected a tensor of real numbers, got .*{got}"):
            separation(e, bad)


def test_the_threshold_parts_negatives_as_it_parts_data() -> None:
    found = separation(torch.tensor([-1.0, 1.0, 3.0, 5.0]), torch.tensor([1.0, 3.0]), threshold=2.0)
    assert found["accuracy"] == (2 / 4 + 1 / 2) / 2 and found["auroc"] == (3 + 2 * 0.5) / 8
