from __future__ import annotations

import pytest
import torch
from torch import tensor

from ebm_course.objectives.compound import compound, compound_inference
from ebm_course.objectives.margin import margin_rescaled, perceptron

GOLD, F, A, COST = tensor([1.0, 1.0]), tensor([2.0, 6.0]), tensor([0.5, 3.0]), tensor([4.0, 4.0])


@pytest.mark.parametrize("weight", [0.0, 1.0, 10.0])
def test_the_compound_loss_by_hand(weight):
    loss = compound(GOLD, e_augmented=F, cost=COST, e_test=A, weight=weight)
    assert loss.value.item() == pytest.approx((3 + 0) / 2 + weight * (0.5 + 0) / 2)
    loss = compound(GOLD, e_augmented=F, cost=COST, e_test=A, weight=weight, truncate=False)
    assert loss.value.item() == pytest.approx((3 - 1) / 2 + weight * (0.5 - 2) / 2)


def test_its_parts_are_the_margin_and_the_perceptron_loss():
    e_gold, e_f, e_a, cost = torch.randn(4, 50).abs()
    margin, plain = compound(e_gold, e_augmented=e_f, cost=cost), compound(e_gold, e_test=e_a)
    torch.testing.assert_close(margin.value, margin_rescaled(e_gold, e_f, cost=cost).value)
    torch.testing.assert_close(plain.value, perceptron(e_gold, e_a).value)
    both = compound(e_gold, e_augmented=e_f, cost=cost, e_test=e_a, weight=3.0)
    torch.testing.assert_close(both.value, margin.value + 3 * plain.value)


def test_terms_say_what_section_4_3_draws():
    terms = compound(GOLD, e_augmented=F, cost=COST, e_test=A).terms
    expected = {"margin_loss": 1.5, "augmented": 0.0, "perceptron_loss": 0.25, "violations": 0.5}
    expected |= {"e_data": 1.0, "e_negative": 1.75, "gap": 0.75}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected)
    assert not any(term.requires_grad for term in terms.values())
    assert compound(GOLD, e_augmented=F, cost=COST).terms["e_negative"].item() == 4.0


def test_the_energy_is_pushed_only_where_a_bracket_is_open():
    e_gold, e_f, e_a = (t.clone().requires_grad_() for t in (GOLD, F, A))
    compound(e_gold, e_augmented=e_f, cost=COST, e_test=e_a, weight=2.0).value.backward()
    assert e_f.grad.tolist() == [-0.5, 0.0] and e_a.grad.tolist() == [-1.0, 0.0] and e_gold.grad.tolist() == [1.5, 0.0]


@pytest.mark.parametrize("truncate, of_f, of_a", [(False, [0.5, 0.5], [1.0, 1.0]), (True, [0.5, 0.0], [1.0, 0.0])])
def test_the_networks_are_pulled_everywhere_without_truncation_and_only_where_it_is_open_with_it(truncate, of_f, of_a):
    e_f, e_a, cost = (t.clone().requires_grad_() for t in (F, A, COST))
    loss = compound_inference(GOLD, e_augmented=e_f, cost=cost, e_test=e_a, weight=2.0, truncate=truncate)
    loss.value.backward()
    assert e_f.grad.tolist() == of_f and e_a.grad.tolist() == of_a
    assert cost.grad.tolist() == [-g for g in of_f], "a network is paid for its cost"


def test_without_truncation_gold_energies_add_a_constant_to_the_networks_loss():
    parts = {"e_augmented": F, "cost": COST, "e_test": A, "weight": 0.5}
    losses = [compound_inference(gold, **parts).value for gold in (GOLD, GOLD + 7)]
    assert (losses[1] - losses[0]).item() == pytest.approx(-7 * 1.5)
    assert losses[0].item() == pytest.approx(-compound(GOLD, **parts, truncate=False).value.item())


def test_truncated_networks_that_are_poor_stay_where_they_are_and_untruncated_ones_learn():
    """Section 4.1: A starts where its energy is far above gold; the bracket is closed and its gradient zero."""
    cost_of_tags = torch.tensor([0.0, 10.0])
    for truncate, moved in ((True, False), (False, True)):
        logits = tensor([0.0, 5.0], requires_grad=True)  # nearly all on the tag of high energy
        optimizer = torch.optim.SGD([logits], lr=1.0)
        for _ in range(100):
            e_a = (logits.softmax(dim=0) @ cost_of_tags)[None]
            optimizer.zero_grad()
            compound_inference(tensor([0.0]), e_test=e_a, truncate=truncate).value.backward()
            optimizer.step()
        assert (logits.argmax().item() == 0) == moved


def test_an_f_that_is_gold_violates_nothing():
    assert compound(GOLD, e_augmented=GOLD, cost=torch.zeros_like(GOLD)).terms["violations"].item() == 0.0


def test_a_cost_may_be_below_0_by_rounding_and_no_more():
    assert compound(GOLD, e_augmented=F, cost=COST * 0 - 5e-4).value.isfinite()
    with pytest.raises(ValueError, match=r"expected 0 or larger, got -0\.002\. Pass l1_cost"):
        compound(GOLD, e_augmented=F, cost=COST * 0 - 2e-3)


def test_parts_that_do_not_belong_together_are_refused():
    for parts, got in (({}, "got neither"), ({"cost": COST}, "got cost"), ({"e_augmented": F}, "got e_augmented")):
        with pytest.raises(ValueError, match=f"a compound loss has F with its cost, A, or both: {got}"):
            compound(GOLD, **parts)
    with pytest.raises(ValueError, match=r"e_test belongs to e_gold .* expected shape \(2,\), got \(2, 1\)"):
        compound(GOLD, e_test=A[:, None])
    with pytest.raises(ValueError, match=r"cost belongs to e_gold"):
        compound(GOLD, e_augmented=F, cost=COST[:1])
    for weight in (-1.0, torch.nan, torch.inf):
        with pytest.raises(ValueError, match="expected 0 or larger, got"):
            compound(GOLD, e_test=A, weight=weight)
