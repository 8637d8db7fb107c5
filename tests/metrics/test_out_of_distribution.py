from __future__ import annotations

import math

import pytest
import torch
from torch import tensor

from ebm_course.metrics.out_of_distribution import familiarity, out_of_distribution


def test_scores_by_hand():
    scores = familiarity(tensor([[math.log(3.0), 0.0], [0.0, 0.0]]), tensor([[[3.0], [4.0]], [[0.0], [1.0]]]))
    assert scores["logsumexp"].tolist() == pytest.approx([math.log(4), math.log(2)])
    assert scores["max_probability"].exp().tolist() == pytest.approx([0.75, 0.5])
    assert scores["approximate_mass"].tolist() == [-5.0, -1.0]


def test_the_largest_probability_is_that_of_softmax_whatever_is_added_to_a_row():
    logits = torch.randn(50, 10, dtype=torch.float64)
    expected = torch.softmax(logits, 1).max(1).values
    torch.testing.assert_close(familiarity(logits + 5)["max_probability"].exp(), expected)
    torch.testing.assert_close(familiarity(logits + 5)["logsumexp"], logits.logsumexp(1) + 5)


def test_probabilities_that_round_to_one_still_have_an_order():
    logits = tensor([[40.0, 0.0], [60.0, 0.0], [100.0, 0.0]])
    assert bool((torch.softmax(logits, 1)[:, 0] == 1).all())
    assert bool(familiarity(logits)["max_probability"].diff().gt(0).all())


def test_without_a_gradient_there_are_two_scores():
    assert list(familiarity(torch.zeros(3, 2))) == ["logsumexp", "max_probability"]


def test_each_score_alone_finds_what_it_looks_for():
    n, one = 40, torch.zeros(40, 3)
    inside = familiarity(one + tensor([9.0, 0.0, 0.0]), torch.ones(n, 5))
    lower_energy = familiarity(one + tensor([8.0, -1.0, -1.0]), torch.ones(n, 5))  # as certain, less likely
    unsure = familiarity(one + 9, torch.ones(n, 5))
    steep = familiarity(one + tensor([9.0, 0.0, 0.0]), 2 * torch.ones(n, 5))
    assert out_of_distribution(inside, steep) == {"logsumexp": 0.5, "max_probability": 0.5, "approximate_mass": 1}
    assert out_of_distribution(inside, lower_energy)["logsumexp"] == 1
    assert out_of_distribution(inside, lower_energy)["max_probability"] == 0.5
    assert out_of_distribution(inside, unsure)["max_probability"] == 1
    assert out_of_distribution(inside, unsure)["approximate_mass"] == 0.5


def test_auroc_by_hand_and_the_other_way_round():
    inside, outside = {"logsumexp": tensor([1.0, 2.0, 3.0])}, {"logsumexp": tensor([0.0, 2.0])}
    assert out_of_distribution(inside, outside)["logsumexp"] == pytest.approx((1 + 1.5 + 2) / 6)
    assert out_of_distribution(outside, inside)["logsumexp"] == pytest.approx(1 - (1 + 1.5 + 2) / 6)


def test_images_of_one_law_are_at_chance():
    n = 2000
    result = out_of_distribution(familiarity(torch.randn(n, 10)), familiarity(torch.randn(n, 10)))
    five_errors = 5 * math.sqrt((2 * n + 1) / (12 * n * n))  # of the Mann-Whitney statistic
    assert all(abs(value - 0.5) < five_errors for value in result.values())


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: familiarity(torch.zeros(3)), r"logits has shape \(N, K\)"),
        (lambda: familiarity(torch.zeros(3, 2) / 0), "logits holds finite numbers"),
        (lambda: familiarity(torch.zeros(3, 2), torch.zeros(4, 1)), "expected 3, got 4"),
        (lambda: familiarity(torch.zeros(3, 2), torch.zeros(3, 1) / 0), "gradient holds finite numbers"),
        (lambda: out_of_distribution({"a": torch.zeros(1)}, {"b": torch.zeros(1)}), r"\['a'\] inside and \['b'\]"),
        (lambda: out_of_distribution({"a": torch.zeros(1)}, {"a": torch.zeros(1, 1)}), r"outside\['a'\] .*\(1, 1\)"),
        (lambda: out_of_distribution({"a": torch.zeros(1) / 0}, {"a": torch.zeros(1)}), r"inside\['a'\].* 0 finite"),
        (lambda: out_of_distribution({"a": torch.zeros(0)}, {"a": torch.zeros(1)}), r"inside\['a'\]"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_sentence(call, words: str):
    with pytest.raises(ValueError, match=words):
        call()
