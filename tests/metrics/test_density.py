from __future__ import annotations

import math

import pytest
import torch
from torch import tensor

from ebm_course.metrics.density import density_distance


def test_distances_by_hand():
    result = density_distance(tensor([0.5, 0.5]), tensor([0.25, 0.75]))
    assert result["total_variation"] == pytest.approx(0.25)
    assert result["kl"] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert result["reverse_kl"] == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))


def test_equal_distributions_of_any_shape_are_at_distance_zero():
    p = torch.softmax(torch.randn(12, dtype=torch.float64), 0).view(3, 4)
    assert density_distance(p, p) == {"total_variation": 0.0, "kl": 0.0, "reverse_kl": 0.0}


def test_a_missed_outcome_is_infinitely_far_and_an_unused_one_costs_nothing():
    result = density_distance(tensor([0.5, 0.5, 0.0]), tensor([1.0, 0.0, 0.0]))
    assert result["kl"] == math.inf
    assert result["reverse_kl"] == pytest.approx(math.log(2))


def test_pinsker_bounds_total_variation_by_kl():
    for seed in range(20):
        p, q = torch.softmax(torch.randn(2, 6, generator=torch.Generator().manual_seed(seed)), 1)
        result = density_distance(p, q)
        assert result["total_variation"] <= math.sqrt(result["kl"] / 2)


def test_what_is_no_distribution_is_refused():
    with pytest.raises(ValueError, match="a sum of 2"):
        density_distance(tensor([1.0, 1.0]), tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"smallest entry of -0\.5"):
        density_distance(tensor([0.5, 0.5]), tensor([1.5, -0.5]))
    with pytest.raises(ValueError, match="a sum of nan"):
        density_distance(tensor([0.5, 0.5]), tensor([math.nan, 0.5]))
    with pytest.raises(ValueError, match="equal shapes"):
        density_distance(tensor([1.0]), tensor([0.5, 0.5]))
