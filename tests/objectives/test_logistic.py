from __future__ import annotations

import math

import pytest
import torch
from torch import tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ebm_course.objectives.logistic import logistic


def test_value_is_twice_the_cross_entropy_with_logit_minus_e():
    e_data, e_negative = torch.randn(6), torch.randn(6)
    labels = torch.cat([torch.ones(6), torch.zeros(6)])
    expected = 2 * binary_cross_entropy_with_logits(-torch.cat([e_data, e_negative]), labels)
    torch.testing.assert_close(logistic(e_data, e_negative).value, expected)


def test_hand_values():
    loss = logistic(tensor([0.0, 0.0]), tensor([math.log(3.0)]), l2=0.1, ratio=2.0)
    expected = math.log(2) + 2 * math.log(4 / 3) + 0.1 * math.log(3) ** 2
    assert loss.value.item() == pytest.approx(expected, rel=1e-6)


def test_accuracy_weighs_both_sides_as_the_loss_does():
    e_data, e_negative = tensor([-1.0, 1.0, 0.0, -2.0]), tensor([1.0, 1.0, 1.0, -1.0])
    assert logistic(e_data, e_negative).terms["accuracy"].item() == pytest.approx((0.5 + 0.75) / 2)
    assert logistic(e_data, e_negative, ratio=3.0).terms["accuracy"].item() == pytest.approx((0.5 + 3 * 0.75) / 4)


def test_gradient_pushes_down_on_data_up_on_negatives_and_least_where_already_right():
    e_data, e_negative = (tensor([-4.0, 4.0], requires_grad=True), tensor([-4.0, 4.0], requires_grad=True))
    logistic(e_data, e_negative).value.backward()
    assert (e_data.grad > 0).all() and (e_negative.grad < 0).all()
    assert e_data.grad[0] < e_data.grad[1] / 10 and e_negative.grad[1].abs() < e_negative.grad[0].abs() / 10


def test_energies_of_ten_thousand_give_finite_values_and_gradients():
    e = tensor([1e4, -1e4], requires_grad=True)
    loss = logistic(e, e).value
    loss.backward()
    assert loss.item() == pytest.approx(1e4) and torch.isfinite(e.grad).all()


def test_bad_shapes_and_ratios_are_refused():
    with pytest.raises(ValueError, match=r"squeeze\(-1\)"):
        logistic(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="ratio"):
        logistic(torch.zeros(3), torch.zeros(3), ratio=0.0)


def test_gradcheck_in_double_precision():
    e = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: logistic(e[0], e[1], l2=0.3, ratio=2.5).value, e)
