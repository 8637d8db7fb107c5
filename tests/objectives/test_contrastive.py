from __future__ import annotations

import pytest
import torch
from torch import tensor

from ebm_course.objectives.contrastive import contrastive


def test_value_and_terms_by_hand():
    loss = contrastive(tensor([1.0, 3.0]), tensor([5.0, 7.0, 0.0]), l2=0.5)
    assert loss.value.item() == pytest.approx(2.0 - 4.0 + 0.5 * (5.0 + 74.0 / 3))
    assert {name: t.item() for name, t in loss.terms.items()} == {"e_data": 2.0, "e_negative": 4.0, "gap": 2.0}
    assert not any(t.requires_grad for t in loss.terms.values())


def test_gradient_pushes_down_on_data_and_up_on_negatives():
    e_data, e_negative = (torch.randn(4, requires_grad=True), torch.randn(2, requires_grad=True))
    contrastive(e_data, e_negative).value.backward()
    assert torch.equal(e_data.grad, torch.full((4,), 0.25))
    assert torch.equal(e_negative.grad, torch.full((2,), -0.5))


def test_exact_model_samples_give_the_likelihood_gradient():
    energies = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64, requires_grad=True)
    p_data = torch.tensor([0.25, 0.5, 0.0, 0.25], dtype=torch.float64)
    nll = (p_data * energies).sum() + torch.logsumexp(-energies, 0)
    (exact,) = torch.autograd.grad(nll, energies)
    n = 1_000_000
    counts = (torch.softmax(-energies.detach(), 0) * n).round().long()
    rows = torch.arange(4).repeat_interleave(counts)
    loss = contrastive(energies[tensor([0, 1, 1, 3])], energies[rows])
    (grad,) = torch.autograd.grad(loss.value, energies)
    torch.testing.assert_close(grad, exact, atol=4 / n, rtol=0)


def test_without_an_anchor_the_level_is_free_and_with_one_it_is_not():
    a, b = torch.randn(5), torch.randn(5)
    torch.testing.assert_close(contrastive(a + 3, b + 3).value, contrastive(a, b).value)
    assert contrastive(a + 30, b + 30, l2=1.0).value > contrastive(a, b, l2=1.0).value + 100


@pytest.mark.parametrize("shape", [(3, 1), (3, 2), ()])
def test_another_shape_than_n_is_refused(shape):
    with pytest.raises(ValueError, match=r"e_data holds one energy a row: expected shape \(N,\)"):
        contrastive(torch.zeros(shape), torch.zeros(3))
    with pytest.raises(ValueError, match="e_negative"):
        contrastive(torch.zeros(3), torch.zeros(shape))


def test_no_rows_integers_and_a_negative_weight_are_refused():
    with pytest.raises(ValueError, match="e_negative is empty"):
        contrastive(torch.zeros(3), torch.zeros(0))
    with pytest.raises(TypeError, match="int64"):
        contrastive(torch.zeros(3, dtype=torch.int64), torch.zeros(3))
    with pytest.raises(ValueError, match="got -1"):
        contrastive(torch.zeros(3), torch.zeros(3), l2=-1)


def test_gradcheck_in_double_precision():
    e = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: contrastive(e[0], e[1], l2=0.3).value, e)
