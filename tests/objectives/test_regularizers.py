from __future__ import annotations

import pytest
import torch
from torch import tensor

from ebm_course.objectives.regularizers import l2_energy, weighted_l2


def test_l2_energy_by_hand():
    assert l2_energy(tensor([1.0, 3.0]), tensor([2.0])).item() == 9.0


def test_the_weight_scales_the_anchor_and_zero_costs_nothing():
    assert weighted_l2(tensor([1.0, 3.0]), tensor([2.0]), l2=0.5).item() == 4.5
    assert weighted_l2(tensor([1.0, 3.0]), tensor([2.0]), l2=0.0) == 0.0
    with pytest.raises(ValueError, match=r"expected 0 or larger, got -0\.1"):
        weighted_l2(tensor([1.0]), tensor([2.0]), l2=-0.1)


def test_gradcheck_in_double_precision():
    e = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: l2_energy(e[0], e[1]), e)
