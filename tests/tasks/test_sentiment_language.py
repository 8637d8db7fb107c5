"""The language: its sentiment is read off exactly, and what words without their order can reach is known exactly."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict

import pytest
import torch
from torch.nn.functional import cross_entropy

from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.tasks import sentiment_language as language
from ebm_course.tasks.sentiment_language import bag_ceiling, clause, labelled, sentence, sentiment_of
from ebm_course.tasks.text import toy
from ebm_course.training.length_batches import LengthBatches


def abstract_sentences() -> list[tuple[tuple[str, ...], int, float]]:
    """Every sentence with one noun, one adjective a sentiment and one negation, its label and its probability."""
    clauses = defaultdict(list)
    for label, negated in itertools.product((0, 1), (False, True)):
        words = ("film", "not") if negated else ("film",)
        good = label != negated
        clauses[label].append(
            ((*words, "good" if good else "bad"), language.NEGATED if negated else 1 - language.NEGATED)
        )
    rows = [(words, label, p * language.KINDS["single"] / 2) for label in (0, 1) for words, p in clauses[label]]
    for kind in ("and", "but", "although"):
        for label in (0, 1):
            first = 1 - label if kind == "but" else label
            second = 1 - label if kind == "although" else label
            for (a, p), (b, q) in itertools.product(clauses[first], clauses[second]):
                rows.append(((*a, kind, *b), label, p * q * language.KINDS[kind] / 2))
    return rows


def test_the_ceilings_are_those_of_an_enumeration_of_the_language() -> None:
    rows = abstract_sentences()
    assert sum(p for *_, p in rows) == pytest.approx(1)
    for noise in (0.0, 0.1):
        bags: dict[tuple[str, ...], Counter] = defaultdict(Counter)
        whole: dict[tuple[str, ...], Counter] = defaultdict(Counter)
        for words, label, p in rows:
            for given, share in ((label, 1 - noise), (1 - label, noise)):
                bags[tuple(sorted(words))][given] += p * share
                whole[words][given] += p * share
        assert sum(max(c.values()) for c in bags.values()) == pytest.approx(bag_ceiling(noise))
        assert sum(max(c.values()) for c in whole.values()) == pytest.approx(1 - noise)


def test_the_sentiment_is_read_off_every_sentence() -> None:
    draw = random.Random(0)
    rows = [sentence(draw) for _ in range(10_000)]
    assert all(sentiment_of(words) == label for words, label in rows)
    assert max(len(words) for words, _ in rows) == language.LONGEST
    assert {word for words, _ in rows for word in words} == set(language.VOCABULARY)
    assert len(set(language.VOCABULARY)) == len(language.VOCABULARY) == 42


def test_kinds_and_negations_occur_as_often_as_said() -> None:
    draw, n = random.Random(1), 4000
    rows = [sentence(draw) for _ in range(n)]
    for kind, p in language.KINDS.items():
        k = sum((kind in words) if kind != "single" else not set(words) & set(language.JOINTS) for words, _ in rows)
        assert abs(k / n - p) < 5 * (p * (1 - p) / n) ** 0.5
    negated = sum(any(word in language.NEGATIONS for word in clause(draw, 1)) for _ in range(n)) / n
    assert abs(negated - language.NEGATED) < 5 * (language.NEGATED * (1 - language.NEGATED) / n) ** 0.5
    assert abs(sum(label for _, label in rows) / n - 0.5) < 5 * 0.5 / n**0.5


def test_a_label_is_turned_as_often_as_said_and_the_sentences_stay() -> None:
    n, noise = 4000, 0.1
    clean, noisy = (labelled(n, random.Random(0), noise=p) for p in (0.0, noise))
    assert [words for words, _ in clean] == [words for words, _ in noisy]
    turned = sum(a != b for (_, a), (_, b) in zip(clean, noisy, strict=True)) / n
    assert abs(turned - noise) < 5 * (noise * (1 - noise) / n) ** 0.5


@pytest.mark.parametrize(
    "words",
    [
        "the film was",
        "the film was good bad",
        "film was good",
        "the film was very not good",
        "the film was good but",
        "the film was good but the plot was fine",
        "the film was good and the plot was bad",
        "the film was good but the plot was bad but the cast was fine",
        "",
    ],
)
def test_what_is_no_sentence_is_refused_in_words(words: str) -> None:
    with pytest.raises(ValueError, match=r"no sentence of the language: .*, got"):
        sentiment_of(words.split())


@pytest.mark.slow
def test_a_small_encoder_learns_what_no_bag_of_words_can() -> None:
    torch.manual_seed(0)
    task = toy()
    net = TextClassifier(task.n_tokens, 2, width=64, max_length=32, dropout=0.0, pooling="cls")
    optimizer, batches = torch.optim.AdamW(net.parameters(), lr=1e-3), LengthBatches(task.train, 32, seed=0)
    for i in range(400):
        batch = batches[i]
        loss = cross_entropy(net(batch.x, batch.mask), batch.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = task.score(net.eval()(task.test.x, task.test.mask), task.test)["accuracy"]
    assert accuracy > 0.95 > bag_ceiling() + 0.2
