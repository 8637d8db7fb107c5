from __future__ import annotations

import math
import random
from collections import Counter

import pytest
import torch

from ebm_course.tasks import tree_language as module
from ebm_course.tasks.tree_language import (
    LONGEST,
    RULES,
    SYMBOLS,
    TAGS,
    WORDS,
    parses,
    rule_scores,
    sentence,
    tree_language,
    word_scores,
)
from ebm_course.tasks.trees import tree_of, tree_tags

START = ["the", "man", "saw", "the", "dog"]


def drawn(n: int) -> list[module.Sentence]:
    draw = random.Random(1)
    return [sentence(draw) for _ in range(n)]


def test_probabilities_of_every_symbol_sum_to_one() -> None:
    for symbol in SYMBOLS:
        ways = [rule.p for rule in RULES if rule.parent == symbol] + list(WORDS.get(symbol, {}).values())
        assert sum(ways) == pytest.approx(1)


def test_every_sentence_has_its_own_tree_among_its_parses_and_all_tags_are_known() -> None:
    some = drawn(300)
    for one in some:
        assert len(one) <= LONGEST and set(one.tags) <= set(TAGS)
        assert tree_of(one.tags)[1]
        assert one.tags in [tree_tags(parse.brackets, len(one)) for parse in parses(one.tokens)]
    assert len(TAGS) == len(set(TAGS)) == 18
    assert {tag for one in drawn(2000) for tag in one.tags} == set(TAGS)


def test_the_probability_of_a_tree_by_hand() -> None:
    (only,) = parses(["the", "dog", "saw", "a", "man"])
    rules, words = 1.0 * 0.7 * 0.65 * 0.7, (0.5 * 0.25) ** 2 * 0.5
    assert only.log_p == pytest.approx(math.log(rules * words))


@pytest.mark.parametrize("n_phrases", [0, 1, 2, 3])
def test_a_phrase_with_with_belongs_to_the_noun_before_it_or_to_the_verb(n_phrases: int) -> None:
    tokens = [*START, *["with", "a", "storm"] * n_phrases]
    found = parses(tokens)
    assert len(found) == 2**n_phrases == len({tuple(sorted(parse.brackets)) for parse in found})
    assert [parse.log_p for parse in found] == sorted((parse.log_p for parse in found), reverse=True)


def test_of_belongs_to_the_noun_and_during_to_the_verb() -> None:
    (noun,), (verb,) = (parses([*START, word, "a", "storm"]) for word in ("of", "during"))
    assert ("NP", 3, 8) in noun.brackets and ("VP", 2, 5) not in noun.brackets
    assert ("VP", 2, 5) in verb.brackets and ("NP", 3, 8) not in verb.brackets


def test_sentences_of_a_length_are_drawn_as_often_as_the_grammar_says() -> None:
    """Of 5 words: p = 0.7 0.65 0.7; of those up to 14 words the share by rejection. Five standard errors."""

    def of_np(n: int) -> float:  # p(NP has n words)
        return 0.7 if n == 2 else 0.3 * of_np(n - 3) if n > 2 else 0.0

    def of_vp(n: int) -> float:
        own = 0.65 * of_np(n - 1)
        return own + 0.35 * sum(of_vp(k) * of_np(n - 1 - k) for k in range(3, n - 2))

    shares = {n: sum(of_np(k) * of_vp(n - k) for k in range(2, n - 2)) for n in range(5, LONGEST + 1)}
    total, counts = sum(shares.values()), Counter(map(len, drawn(4000)))
    for n, share in shares.items():
        p = share / total
        assert abs(counts[n] / 4000 - p) <= 5 * math.sqrt(p * (1 - p) / 4000) + 1e-12


def test_scores_of_words_and_rules_are_the_grammars() -> None:
    made = tree_language(n_train=3, n_valid=2, n_test=2)
    scores, (rules, log_p) = word_scores(made.train), rule_scores()
    for n, tokens in enumerate(made.train.tokens):
        for i, token in enumerate(tokens):
            found = {SYMBOLS[int(a)]: float(scores[n, i, a].exp()) for a in scores[n, i].isfinite().nonzero()}
            assert found == pytest.approx({kind: p[token] for kind, p in WORDS.items() if token in p})
        assert scores[n, len(tokens) :].isneginf().all()
    assert [SYMBOLS[int(a)] for a in rules[1]] == ["NP", "D", "N"] and float(log_p[1].exp()) == pytest.approx(0.7)


def test_parts_are_drawn_apart_and_the_score_reads_relaxed_tags_too() -> None:
    made, fewer = tree_language(n_train=20, n_valid=5, n_test=5), tree_language(n_train=4, n_valid=5, n_test=5)
    assert fewer.test == made.test and fewer.train == made.train[:4]
    assert tree_language(n_train=4, n_valid=5, n_test=5, seed=1).test != made.test
    batch = made.task.test
    assert batch.y is not None
    gold = {"accuracy": 1.0, "f1": 1.0, "trees": 1.0, "exact": 1.0}
    assert made.task.score(batch.y, batch) == gold
    assert made.task.score(torch.nn.functional.one_hot(batch.y, 18).float(), batch) == gold


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_a_seed_that_is_no_whole_number_is_refused(seed: float) -> None:
    with pytest.raises(ValueError, match=r"^seed is a whole number: expected 0 or larger"):
        tree_language(n_train=4, n_valid=4, n_test=4, seed=seed)  # type: ignore[arg-type]
