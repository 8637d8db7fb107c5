from __future__ import annotations

import pytest
import torch
from torch import tensor

from ebm_course.objectives.margin import hinge, margin_rescaled, perceptron


def test_hinge_by_hand():
    loss = hinge(tensor([0.0, 0.0, 2.0]), tensor([3.0, 0.5, 1.0]), margin=1.0)
    assert loss.value.item() == pytest.approx((0.0 + 0.5 + 2.0) / 3)
    assert loss.terms["accuracy"].item() == pytest.approx(2 / 3)
    assert loss.terms["violations"].item() == pytest.approx(2 / 3)
    assert loss.terms["gap"].item() == pytest.approx(4.5 / 3 - 2 / 3)


def test_perceptron_is_content_with_a_flat_energy_and_the_hinge_is_not():
    flat = torch.zeros(4)
    assert perceptron(flat, flat).value.item() == 0.0
    assert perceptron(flat, flat).terms["accuracy"].item() == 1.0
    assert hinge(flat, flat, margin=1.0).value.item() == 1.0
    assert hinge(flat, flat, margin=1.0).terms["accuracy"].item() == 0.0


def test_perceptron_pushes_only_where_something_lies_below_the_gold():
    e_gold, e_lowest = (tensor([2.0, 1.0], requires_grad=True), tensor([0.5, 1.0], requires_grad=True))
    loss = perceptron(e_gold, e_lowest)
    loss.value.backward()
    assert loss.value.item() == pytest.approx(0.75)
    assert e_gold.grad.tolist() == [0.5, 0.0] and e_lowest.grad.tolist() == [-0.5, 0.0]


def test_gradient_stops_beyond_the_margin():
    e_gold, e_wrong = (torch.zeros(2, requires_grad=True), tensor([0.9, 1.1], requires_grad=True))
    hinge(e_gold, e_wrong, margin=1.0).value.backward()
    assert e_gold.grad.tolist() == [0.5, 0.0] and e_wrong.grad.tolist() == [-0.5, 0.0]


def test_margin_rescaled_with_constant_cost_is_the_hinge():
    e_gold, e_other = torch.randn(2, 20)
    torch.testing.assert_close(
        margin_rescaled(e_gold, e_other, cost=torch.full((20,), 0.7)).value, hinge(e_gold, e_other, margin=0.7).value
    )


def test_margin_rescaled_takes_the_answer_that_violates_most():
    e_other = tensor([[0.0, 2.0, 5.0]], requires_grad=True)
    loss = margin_rescaled(tensor([1.0]), e_other, cost=tensor([[0.0, 3.0, 5.5]]))
    loss.value.backward()
    assert loss.value.item() == pytest.approx(2.0)  # slacks 1, 2, 1.5
    assert e_other.grad.tolist() == [[0.0, -1.0, 0.0]]
    assert loss.terms["e_negative"].item() == 2.0


def test_the_gold_answer_among_the_others_never_hurts():
    e_gold, e_other = torch.randn(6), torch.randn(6, 3)
    cost = torch.rand(6, 3)
    with_gold = margin_rescaled(
        e_gold, torch.cat([e_gold[:, None], e_other], 1), cost=torch.cat([torch.zeros(6, 1), cost], 1)
    )
    torch.testing.assert_close(with_gold.value, margin_rescaled(e_gold, e_other, cost=cost).value)


def test_a_cost_is_a_number_and_takes_no_gradient():
    e_other, cost = tensor([[0.0, 2.0]], requires_grad=True), tensor([[1.0, 3.5]], requires_grad=True)
    margin_rescaled(tensor([1.0]), e_other, cost=cost).value.backward()
    assert cost.grad is None and e_other.grad.tolist() == [[0.0, -1.0]]


def test_energies_of_ten_thousand_stay_finite():
    e = tensor([1e4, -1e4], requires_grad=True)
    loss = hinge(e, -e.detach(), margin=1.0)
    loss.value.backward()
    assert loss.value.item() == pytest.approx(20001 / 2) and torch.isfinite(e.grad).all()


def test_bad_shapes_and_margins_are_refused():
    with pytest.raises(ValueError, match="e_offending holds one energy a row"):
        hinge(torch.zeros(3), torch.zeros(3, 1), margin=1.0)
    with pytest.raises(ValueError, match=r"expected shape \(3,\) or \(3, K\), got \(2,\)"):
        margin_rescaled(torch.zeros(3), torch.zeros(2), cost=torch.zeros(2))
    with pytest.raises(ValueError, match="cost belongs to e_other"):
        margin_rescaled(torch.zeros(3), torch.zeros(3, 2), cost=torch.zeros(3))
    with pytest.raises(ValueError, match="got -1"):
        hinge(torch.zeros(3), torch.zeros(3), margin=-1.0)


def test_gradcheck_in_double_precision():
    e = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    cost = torch.rand(5, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda e: margin_rescaled(e[0], e[1:].T, cost=cost).value, e)
    assert torch.autograd.gradcheck(lambda e: hinge(e[0], e[1], margin=0.4).value, e)
