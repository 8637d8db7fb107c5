"""The agreement language: its rules hold in every sentence, its probabilities in many, its ceilings exactly."""

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
from ebm_course.tasks.agreement_ceilings import KINDS, STATES, ceilings
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


# The ceilings.


def test_a_chain_has_half_of_the_closers_and_the_whole_sequence_all_of_them() -> None:
    chain, whole = ceilings("chain"), ceilings("global")
    assert chain.closers == pytest.approx(0.5, abs=1e-12) and whole.closers == pytest.approx(1.0, abs=1e-12)
    assert chain.fillers == pytest.approx(whole.fillers, abs=1e-12), "what is forgotten says nothing of fillers"
    n = sum(LENGTHS) / len(LENGTHS)
    for found in (chain, whole):
        assert found.accuracy == pytest.approx((1 + n * found.fillers + found.closers) / (n + 2), abs=1e-12)


def test_the_ceilings_are_the_shares_of_the_best_decoder_on_many_sentences(many: list[Sentence]) -> None:
    """Fillers decoded by listing all paths of each sentence, apart from the code under test."""
    hits = total = 0
    for one in many[:500]:
        kinds = [KIND_OF[word] for word in one.tokens[1:-1]]
        weights = [dict.fromkeys(FILLERS, 0.0) for _ in kinds]
        for path in itertools.product(*([t for t in FILLERS if t in kind] for kind in kinds)):
            p = 1.0
            for before, tag in itertools.pairwise(path):
                p *= FOLLOWS[FILLERS.index(before)][FILLERS.index(tag)]
            for weight, tag, kind in zip(weights, path, kinds, strict=True):
                weight[tag] += p * 2.0 ** -sum(len(k) == 2 for k in kinds)
                assert tag in kind
        best = [max(weight, key=weight.__getitem__) for weight in weights]
        hits, total = hits + sum(a == b for a, b in zip(best, one.tags[1:-1], strict=True)), total + len(kinds)
    p = ceilings("chain").fillers
    assert abs(hits / total - p) < 5 * (p * (1 - p) / total) ** 0.5  # five standard errors


def best_path(unary: torch.Tensor, follows: torch.Tensor) -> list[int]:
    """The lowest energy's tags of unary (L, 7) and follows (7, 7)."""
    score, back = unary[0], []
    for row in unary[1:]:
        score, where = (score[:, None] + follows).min(dim=0)
        score = score + row
        back.append(where.tolist())
    path = [int(score.argmin())]
    for where in reversed(back):
        path.append(where[path[-1]])
    return path[::-1]


def test_any_chain_that_reads_plain_words_right_has_exactly_half_of_the_closers() -> None:
    """Random energies, every sentence of three fillers by kinds of words: no chain can have more or less."""
    generator, kinds = torch.Generator().manual_seed(0), list(WORDS)
    answers = set()
    for _ in range(10):
        unary = 3 * torch.randn(len(kinds), 7, generator=generator, dtype=torch.float64)
        follows = 3 * torch.randn(7, 7, generator=generator, dtype=torch.float64)
        for tag in FILLERS:
            unary[kinds.index(tag), TAGS.index(tag)] -= 100.0  # an unambiguous word is read right
        unary[kinds.index("closer"), :5] += 100.0  # and a closer taken for one
        right = total = 0
        for number, first, *rest in itertools.product("SP", FILLERS, KINDS, KINDS):
            path = best_path(unary[[kinds.index(kind) for kind in (number, first, *rest, "closer")]], follows)
            right, total = right + (path[-1] == TAGS.index(number.lower())), total + 1
            answers.add(path[-1])
        assert right * 2 == total == 216
    assert len(answers) == 2, "the energies do not all say the same"


def test_a_chain_that_misreads_fillers_on_purpose_can_carry_the_number() -> None:
    """So the half is one of chains that read plain words right: the tags a and b can be bent to stand for S and P."""
    kinds = list(WORDS)
    unary, follows = torch.zeros(len(kinds), 7), torch.full((7, 7), 9.0)
    for kind, tag in (("S", "S"), ("P", "P")):
        unary[kinds.index(kind)] = 99.0
        unary[kinds.index(kind), TAGS.index(tag)] = 0.0
    unary[kinds.index("closer"), :5] = 99.0
    for before, tag in (("S", "a"), ("a", "a"), ("a", "s"), ("P", "b"), ("b", "b"), ("b", "p")):
        follows[TAGS.index(before), TAGS.index(tag)] = 0.0
    for number, closer in (("S", "s"), ("P", "p")):
        words = [kinds.index(kind) for kind in (number, "c", "ab", "b", "closer")]
        assert TAGS[best_path(unary[words], follows)[-1]] == closer


def test_the_language_has_ten_states() -> None:
    assert len(STATES) == 10 and {state[0] for state in STATES} == set(TAGS)
