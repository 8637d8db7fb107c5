from __future__ import annotations

import pytest
import torch
from torch import tensor

from ebm_course.core import energy_grad
from ebm_course.objectives.regularizers import gradient_penalty, l2_energy


def test_l2_energy_by_hand():
    assert l2_energy(tensor([1.0, 3.0]), tensor([2.0])).item() == 9.0


def test_gradient_penalty_by_hand_over_every_axis_of_a_state():
    assert gradient_penalty(tensor([[3.0, 4.0], [0.0, 1.0]])).item() == 13.0
    assert gradient_penalty(torch.ones(2, 3, 5)).item() == 15.0


def test_gradient_penalty_of_a_quadratic_reaches_its_parameter():
    k = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    x = torch.randn(7, 3, dtype=torch.float64)
    _, grad = energy_grad(lambda x: k * x.square().sum(1) / 2, x, create_graph=True)
    gradient_penalty(grad).backward()
    torch.testing.assert_close(k.grad, 2 * 2.0 * x.square().sum(1).mean())  # d/dk of k^2 |x|^2


def test_gradients_without_rows_or_state_axes_are_refused():
    with pytest.raises(ValueError, match=r"expected shape \(N, \*S\)"):
        gradient_penalty(torch.zeros(3))
    with pytest.raises(ValueError, match="N > 0"):
        gradient_penalty(torch.zeros(0, 2))


def test_gradcheck_in_double_precision():
    e = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: l2_energy(e[0], e[1]) + gradient_penalty(e), e)
