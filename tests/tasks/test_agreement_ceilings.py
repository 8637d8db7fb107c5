"""What the agreement language allows, counted, against enumeration; what bounds best tags and not marginals."""

from __future__ import annotations

import itertools
import math
import random
from typing import Literal

import pytest
import torch

from ebm_course.energies.spen import chain_energy
from ebm_course.tasks import agreement_ceilings
from ebm_course.tasks.agreement import AMBIGUOUS, FILLERS, FOLLOWS, LENGTHS, TAGS, WORDS, kinds_of, sentence
from ebm_course.tasks.agreement_ceilings import KINDS, STATES, ceilings

KIND_OF = {word: kind for kind, words in WORDS.items() for word in words}


def test_the_bigram_chain_has_half_of_the_closers_and_the_whole_sequence_all_of_them() -> None:
    chain, whole = ceilings("chain"), ceilings("global")
    assert chain.closers == pytest.approx(0.5, abs=1e-12) and whole.closers == pytest.approx(1.0, abs=1e-12)
    assert chain.fillers == pytest.approx(whole.fillers, abs=1e-12), "what is forgotten says nothing of fillers"
    n = sum(LENGTHS) / len(LENGTHS)
    for found in (chain, whole, ceilings("chain", faint=0.01)):
        assert found.accuracy == pytest.approx((1 + n * found.fillers + found.closers) / (n + 2), abs=1e-12)


def test_the_ceilings_are_the_shares_of_the_best_decoder_on_many_sentences() -> None:
    """Fillers decoded by listing all paths of each sentence, apart from the code under test."""
    draw, hits, total = random.Random(0), 0, 0
    for one in (sentence(draw) for _ in range(500)):
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


def log_weights(faint: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (9, 7) of kinds of words and W (8, 8) of (9.1): the bigram chain of sentences with three fillers."""
    kinds, tags = list(WORDS), list(TAGS)
    scores, w = torch.zeros(len(kinds), 7, dtype=torch.float64), torch.zeros(8, 8, dtype=torch.float64)
    scores[kinds.index("S"), tags.index("S")] = scores[kinds.index("P"), tags.index("P")] = 1.0
    scores[kinds.index("closer"), 5:] = 1.0
    for tag, row in zip(FILLERS, FOLLOWS, strict=True):
        scores[kinds.index(tag), tags.index(tag)] = 1 / 3 + 2 / 3 * (1 - AMBIGUOUS)  # a third are first fillers
        for kind in kinds_of(tag):
            scores[kinds.index(kind), tags.index(tag)] = 2 / 3 * AMBIGUOUS / 2
        w[tags.index(tag), 2:7], w[:2, tags.index(tag)] = torch.tensor([*row, 0.5, 0.5]), 1 / 3
    for kind in KINDS:
        scores[kinds.index(kind), 5:] = faint
    w[0, 5] = w[1, 6] = w[5, 5] = w[6, 6] = 1.0
    w[7], w[:, 7] = 1.0, 1.0
    return scores.clamp_min(1e-99).log(), w.clamp_min(1e-99).log()


@pytest.mark.parametrize("faint", [0.0, 0.01])
def test_faint_wrong_paths_carry_the_number_in_marginals_and_not_in_best_tags(
    monkeypatch: pytest.MonkeyPatch, faint: float
) -> None:
    """All sentences of three fillers, by listing all taggings with ends that words allow: not the code under test."""
    kinds, (scores, w) = list(WORDS), log_weights(faint)
    every = torch.tensor(list(itertools.product(range(2), *[range(7)] * 3, range(5, 7))))  # 1,372 taggings
    shown = torch.nn.functional.one_hot(every, 7).double()
    truth: dict[tuple[str, ...], torch.Tensor] = {}  # p(sentence's kinds, tag at a position)
    for number, *tags in itertools.product("SP", FILLERS, FILLERS, FILLERS):
        p = math.prod(FOLLOWS[FILLERS.index(a)][FILLERS.index(b)] for a, b in itertools.pairwise(tags)) / 6
        gold = torch.tensor([TAGS.index(tag) for tag in (number, *tags, number.lower())])
        drawn = ([(tag, 1 - AMBIGUOUS), *((kind, AMBIGUOUS / 2) for kind in kinds_of(tag))] for tag in tags[1:])
        for chosen in itertools.product(*drawn):
            shown_kinds = (number, tags[0], *(kind for kind, _ in chosen), "closer")
            of_tags = truth.setdefault(shown_kinds, torch.zeros(5, 7, dtype=torch.float64))
            of_tags[range(5), gold] += p * math.prod(share for _, share in chosen)
    right, closers_of_best = torch.zeros(5, dtype=torch.float64), 0.0
    for words, of_tags in truth.items():
        e = chain_energy(scores[[kinds.index(kind) for kind in words]].expand(len(every), 5, 7), w, None, every)
        share = torch.einsum("n,nik->ik", (-e).softmax(0), shown)
        best = (share >= share.amax(1, keepdim=True) * (1 - 1e-9)).double()
        right += (of_tags * best).sum(1) / best.sum(1)
        lowest = every[e <= e.min() + 1e-9][:, -1]
        closers_of_best += float(of_tags[-1, lowest].mean())
    assert sum(float(of_tags[0].sum()) for of_tags in truth.values()) == pytest.approx(1)
    assert closers_of_best == pytest.approx(0.5), "the twins' best tags"
    assert float(right[-1]) == pytest.approx(1.0 if faint else 0.5)
    monkeypatch.setattr(agreement_ceilings, "LENGTHS", (3,))
    counted = ceilings.__wrapped__("chain", faint=faint)
    assert (counted.fillers, counted.closers) == pytest.approx((float(right[1:4].mean()), float(right[4])))
    if faint == 0.01:  # faint enough: no filler is lost
        assert counted.fillers == pytest.approx(ceilings.__wrapped__("global").fillers)


@pytest.mark.parametrize(
    "decoder, faint", [("chain", -0.1), ("chain", float("nan")), ("chain", math.inf), ("global", 0.1)]
)
def test_a_faint_weight_that_is_none_is_refused(decoder: Literal["chain", "global"], faint: float) -> None:
    with pytest.raises(ValueError, match="faint is a weight of at least 0 in the chain"):
        ceilings(decoder, faint=faint)


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


def test_best_tags_of_any_chain_have_an_error_at_the_first_filler_or_the_closer_of_one_of_two_twins() -> None:
    """So 86.8 % bounds the best tags: half an error a sentence that its words do not force, whatever a chain reads."""
    generator, kinds, carried = torch.Generator().manual_seed(0), list(WORDS), 0
    for _ in range(40):
        unary = 2 * torch.randn(len(kinds), 7, generator=generator, dtype=torch.float64)
        follows = 2 * torch.randn(7, 7, generator=generator, dtype=torch.float64)
        unary[kinds.index("closer"), :5] += 9.0
        for first, *rest in itertools.product(FILLERS, KINDS, KINDS):
            n_wrong = closers_right = 0
            for number in "SP":
                path = best_path(unary[[kinds.index(kind) for kind in (number, first, *rest, "closer")]], follows)
                closers_right += path[-1] == TAGS.index(number.lower())
                n_wrong += (path[1] != TAGS.index(first)) + (path[-1] != TAGS.index(number.lower()))
            assert n_wrong >= 1
            carried += closers_right == 2
    assert carried > 0, "some chains hand the number on and pay with the first filler"


def test_best_tags_of_any_chain_that_reads_plain_words_right_have_exactly_half_of_the_closers() -> None:
    """Random energies, every sentence of three fillers by kinds of words: none has more or less."""
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
    """So the half needs plain words read right: the tags a and b can be bent to stand for S and P."""
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
