"""Exact parsing against a list of all trees: best tree, sum over trees, lengths, what has no tree, bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.samplers.cky import cky, log_sum_of_trees

A = 4  # symbols; 0 is the root


def grammar(n: int = 3, length: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of words for every symbol, and rules with several for a parent and none for the last."""
    generator = torch.Generator().manual_seed(0)
    rules = torch.tensor([[0, 0, 1], [0, 1, 2], [1, 0, 3], [1, 2, 2], [2, 3, 0], [0, 3, 3]])
    words = torch.randn(n, length, A, generator=generator, dtype=torch.float64)
    return words, rules, torch.randn(len(rules), generator=generator, dtype=torch.float64)


Tree = tuple[float, dict[tuple[int, int], int]]


def all_trees(words: Tensor, rules: Tensor, scores: Tensor, symbol: int, i: int, j: int) -> list[Tree]:
    """(score, symbols by span) of every tree over words i to j, both included."""
    if i == j:
        return [(float(words[i, symbol]), {(i, i): symbol})]
    found = list[Tree]()
    for (a, b, c), s in zip(rules.tolist(), scores.tolist(), strict=True):
        for m in range(i, j):
            if a == symbol:
                found += [
                    (s + x + y, {(i, j): a} | left | right)
                    for x, left in all_trees(words, rules, scores, b, i, m)
                    for y, right in all_trees(words, rules, scores, c, m + 1, j)
                ]
    return found


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_best_tree_and_sum_of_trees_are_those_of_a_list_of_all(length: int) -> None:
    words, rules, scores = grammar(length=length)
    symbols, best = cky(words, rules, scores)
    log_z = log_sum_of_trees(words, rules, scores)
    for n, one in enumerate(words):
        trees = all_trees(one, rules, scores, 0, 0, length - 1)
        score, spans = max(trees, key=lambda tree: tree[0])
        assert float(best[n]) == pytest.approx(score)
        expected = torch.full((length, length), -1)
        for (i, j), symbol in spans.items():
            expected[i, j] = symbol
        assert torch.equal(symbols[n], expected)
        assert float(log_z[n]) == pytest.approx(math.log(sum(math.exp(tree[0]) for tree in trees)))


def test_a_sentence_in_a_batch_is_parsed_as_alone() -> None:
    words, rules, scores = grammar()
    mask = torch.arange(6) < torch.tensor([6, 3, 1])[:, None]
    padded = torch.where(mask[..., None], words, -torch.inf)
    symbols, best = cky(padded, rules, scores, mask)
    log_z = log_sum_of_trees(padded, rules, scores, mask)
    for n, length in enumerate([6, 3, 1]):
        alone, score = cky(words[n : n + 1, :length], rules, scores)
        torch.testing.assert_close(best[n], score[0])
        assert torch.equal(symbols[n, :length, :length], alone[0])
        assert symbols[n, length:].eq(-1).all() and symbols[n, :, length:].eq(-1).all()
        torch.testing.assert_close(log_z[n], log_sum_of_trees(words[n : n + 1, :length], rules, scores)[0])


def test_the_gradient_of_the_sum_counts_each_word_once_and_uses_of_rules() -> None:
    words, rules, scores = grammar()
    words, scores = words.requires_grad_(), scores.requires_grad_()
    of_words, of_rules = torch.autograd.grad(log_sum_of_trees(words, rules, scores).sum(), (words, scores))
    torch.testing.assert_close(of_words.sum(dim=2), torch.ones(3, 6, dtype=torch.float64))
    assert float(of_rules.sum()) == pytest.approx(3 * 5)  # a tree over 6 words has 5 rules


def test_what_the_grammar_has_no_tree_for_says_so_and_harms_no_other_row() -> None:
    words, rules, scores = grammar()
    words = words.clone()
    words[1] = -torch.inf
    words.requires_grad_()
    log_z = log_sum_of_trees(words, rules, scores)
    assert log_z[1] == -torch.inf and log_z[[0, 2]].isfinite().all()
    (gradient,) = torch.autograd.grad(log_z[[0, 2]].sum(), words)
    assert gradient.isfinite().all()
    symbols, best = cky(words, rules, scores)
    assert best[1] == -torch.inf and symbols[1].eq(-1).all() and symbols[0, 0, 5] == 0


def test_of_equal_trees_one_is_returned_whole() -> None:
    symbols, best = cky(torch.zeros(1, 5, 1), torch.tensor([[0, 0, 0]]), torch.zeros(1))
    assert float(best) == 0 and int((symbols >= 0).sum()) == 2 * 5 - 1


def test_arguments_stay_as_they_are_and_the_answer_has_no_graph() -> None:
    words, rules, scores = grammar()
    before = words.clone()
    symbols, best = cky(words.requires_grad_(), rules, scores.requires_grad_())
    assert torch.equal(words.detach(), before) and words.grad is None
    assert not best.requires_grad and not symbols.requires_grad


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"words": torch.zeros(2, 3)}, r"a grammar has scores of words \(N, L, A\)"),
        ({"scores": torch.zeros(5)}, r"rules \(R, 3\) and their scores"),
        ({"rules": torch.zeros(6, 3)}, "rules are int64 numbers of symbols, 0 to 3: got torch.float32"),
        ({"rules": torch.full((6, 3), 4)}, "Give words a score for every symbol"),
        ({"mask": torch.zeros(3, 6, dtype=torch.bool)}, "row 0 of the mask begins with a pad"),
        ({"mask": torch.ones(3, 6)}, "a mask says which tokens are real"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes: dict[str, Any], message: str) -> None:
    words, rules, scores = grammar()
    with pytest.raises(ValueError, match=message):
        cky(**{"words": words, "rules": rules, "scores": scores, "mask": None} | changes)


def test_a_sum_of_trees_that_is_no_number_is_refused_and_lists_are_called_so() -> None:
    words, rules, scores = torch.zeros(1, 2, 1), torch.tensor([[0, 0, 0]]), torch.zeros(1)
    for find in (log_sum_of_trees, cky):
        for bad in (torch.nan, torch.inf):
            with pytest.raises(FloatingPointError, match="the score of a tree is not finite in 1 of 1 entries"):
                find(words, rules, scores + bad)
        for given in (
            (words.tolist(), rules, scores),
            (words, rules.tolist(), scores),
            (words, rules, scores.tolist()),
        ):
            with pytest.raises(TypeError, match="are a tensor: got a list"):
                find(*given)
