"""The agreement language: its rules hold in every sentence, its probabilities in many."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
import torch

from ebm_course.tasks.agreement import (
    CLOSERS,
    FILLERS,
    FIRST,
    FOLLOWS,
    LENGTHS,
    TAGS,
    WORDS,
    agreement,
    closers,
    kinds_of,
    sentence,
)
from ebm_course.tasks.agreement_ceilings import KINDS
from ebm_course.tasks.sentences import Sentence

N = 20_000
KIND_OF = {word: kind for kind, words in WORDS.items() for word in words}


@pytest.fixture(scope="module")
def many() -> list[Sentence]:
    draw = random.Random(0)
    return [sentence(draw) for _ in range(N)]


def test_the_rules_hold_in_every_sentence(many: list[Sentence]) -> None:
    for one in many:
        opener, *inner, closer = one.tags
        first, *words, last = one.tokens
        assert opener in "SP" and closer == opener.lower() and len(inner) in LENGTHS
        assert KIND_OF[first] == opener and KIND_OF[last] == "closer" and KIND_OF[words[0]] == inner[0]
        for tag, word in zip(inner, words, strict=True):
            assert tag in FILLERS and KIND_OF[word] in (tag, *kinds_of(tag))


def test_no_word_but_the_openers_shows_the_number(many: list[Sentence]) -> None:
    """Counts of the closers' and fillers' words after S and after P differ by chance alone."""
    for position in (1, 2, -2, -1):
        after = {number: Counter(one.tokens[position] for one in many if one.tags[0] == number) for number in "SP"}
        assert set(after["S"]) == set(after["P"])
        for word in after["S"]:
            n, k = after["S"].total() + after["P"].total(), after["S"][word] + after["P"][word]
            expected = k * after["S"].total() / n
            assert abs(after["S"][word] - expected) < 5 * (k * 0.25) ** 0.5  # five standard errors


def test_fillers_follow_the_stated_chain_and_half_of_the_later_words_are_ambiguous(many: list[Sentence]) -> None:
    pairs = Counter(pair for one in many for pair in itertools.pairwise(one.tags[1:-1]))
    for before, row in zip(FILLERS, FOLLOWS, strict=True):
        n = sum(pairs[before, tag] for tag in FILLERS)
        for tag, p in zip(FILLERS, row, strict=True):
            assert abs(pairs[before, tag] / n - p) < 5 * (p * (1 - p) / n) ** 0.5  # five standard errors
    later = [KIND_OF[word] for one in many for word in one.tokens[2:-1]]
    assert abs(sum(len(kind) == 2 for kind in later) / len(later) - 0.5) < 5 * (0.25 / len(later)) ** 0.5
    assert sum(len(kind) == 2 for kind in KINDS) * 2 == len(KINDS), "half of the words"
    for p in (FIRST, *FOLLOWS):
        assert sum(p) == pytest.approx(1)


def test_the_seed_names_the_parts_and_their_sizes_do_not_touch_one_another() -> None:
    one, more = agreement(n_train=5, n_valid=5, n_test=5), agreement(n_train=9, n_valid=5, n_test=5)
    assert torch.equal(one.task.test.x, more.task.test.x) and one.train == more.train[:5]
    other = agreement(n_train=5, n_valid=5, n_test=5, seed=1)
    assert one.train != other.train and len({part.tokens for part in (one.train, one.valid, one.test)}) == 3
    assert one.train.tokens not in (other.valid.tokens, other.test.tokens)


def test_no_two_parts_of_any_seeds_come_from_one_stream() -> None:
    made = [
        agreement(n_train=20, n_valid=20, n_test=20, seed=seed) for seed in range(4)
    ]  # runs have neighbouring seeds
    parts = [part.tokens for one in made for part in (one.train, one.valid, one.test)]
    assert len(set(parts)) == len(parts) == 12


def test_a_small_training_part_knows_every_word_and_tag() -> None:
    made = agreement(n_train=1, n_valid=300, n_test=1)
    assert made.vocabulary.tags == TAGS and int(made.task.valid.x[made.task.valid.mask].min()) > 0


def test_the_score_tells_fillers_and_closers_apart() -> None:
    made = agreement(n_train=5, n_valid=5, n_test=400)
    batch, tags = made.task.test, made.task.test.y.clone()
    last = closers(batch)
    assert last.sum(dim=1).tolist() == [1] * 400 and set(batch.y[last].tolist()) == {TAGS.index(t) for t in CLOSERS}
    tags[last] = TAGS.index("s")
    tags[:, 0] = TAGS.index("S")
    found = made.task.score(tags, batch)
    share = float((batch.y[:, 0] == 0).double().mean())
    assert found["fillers"] == 1.0 and found["closers"] == pytest.approx(share)
    assert found["accuracy"] == pytest.approx(1 - 2 * (1 - share) * 400 / int(batch.mask.sum()))
