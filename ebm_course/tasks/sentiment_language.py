r"""A generated language of opinions in which words alone do not say the sentiment: negation turns it, contrast picks.

A clause is ``the NOUN was [filler] [not|never] [intensifier] ADJECTIVE``; its sentiment is the adjective's, turned by a
negation. A sentence is one clause, two of one sentiment joined by ``and``, or two of opposite sentiment joined by
``but`` (the second counts) or by ``although`` (the first counts, the concession does not).

Every sentence has one sentiment, which :func:`sentiment_of` reads off exactly, also from a sentence that an attack has
changed. A given label is turned with probability ``noise``, so the best accuracy is 1 - noise. Of a bag of words it is
lower, and known too: see :func:`bag_ceiling`. This module knows text alone, no number and no tensor.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ebm_course.checks import check_count, check_share

CLASSES = ("negative", "positive")
NOUNS = ("acting", "book", "cast", "dialogue", "ending", "film", "music", "plot", "scene", "story")
ADJECTIVES = {
    0: ("awful", "bad", "boring", "clumsy", "dull", "poor", "stale", "weak"),
    1: ("bright", "clever", "fine", "fresh", "funny", "good", "great", "warm"),
}
NEGATIONS = ("never", "not")
INTENSIFIERS = ("quite", "really", "so", "very")
FILLERS = ("again", "frankly", "indeed", "overall", "today")
JOINTS = ("although", "and", "but")

VOCABULARY = tuple(sorted({"the", "was", *NOUNS, *ADJECTIVES[0], *ADJECTIVES[1], *NEGATIONS, *INTENSIFIERS, *FILLERS}))
VOCABULARY += JOINTS

KINDS = {"single": 0.3, "and": 0.2, "but": 0.25, "although": 0.25}
"""Probabilities of a single clause and of each joint."""
NEGATED, INTENSIFIED, FILLED = 0.3, 0.4, 0.3
"""Probabilities that a clause has a negation, an intensifier, a filler; independent, and of its sentiment too."""

LONGEST = 15
"""Words of the longest sentence."""


def sentence(draw: random.Random) -> tuple[tuple[str, ...], int]:
    """One sentence and its sentiment, 0 or 1, either with probability one half.

    >>> words, label = sentence(random.Random(0))
    >>> " ".join(words), CLASSES[label], sentiment_of(words) == label
    ('the ending was funny although the film was boring', 'positive', True)
    """
    label = draw.randrange(2)
    kind = draw.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    if kind == "single":
        return clause(draw, label), label
    first = 1 - label if kind == "but" else label
    second = 1 - label if kind == "although" else label
    return (*clause(draw, first), kind, *clause(draw, second)), label


def clause(draw: random.Random, label: int) -> tuple[str, ...]:
    """One clause of this sentiment.

    >>> 4 <= len(clause(random.Random(0), 1)) <= 7
    True
    """
    negated = draw.random() < NEGATED
    words = ["the", draw.choice(NOUNS), "was"]
    words += [draw.choice(FILLERS)] if draw.random() < FILLED else []
    words += [draw.choice(NEGATIONS)] if negated else []
    words += [draw.choice(INTENSIFIERS)] if draw.random() < INTENSIFIED else []
    return (*words, draw.choice(ADJECTIVES[1 - label if negated else label]))


def labelled(n: int, draw: random.Random, *, noise: float = 0.0) -> list[tuple[tuple[str, ...], int]]:
    """``n`` independent sentences with their labels, each label turned with probability ``noise``.

    >>> same = [sentiment_of(words) == label for words, label in labelled(400, random.Random(0), noise=0.25)]
    >>> 0.6 < sum(same) / 400 < 0.9
    True
    """
    check_count("n", n)
    check_share("noise", noise)
    rows = []
    for _ in range(n):
        words, label = sentence(draw)
        rows.append((words, 1 - label if draw.random() < noise else label))
    return rows


def sentiment_of(words: Sequence[str]) -> int:
    """The sentiment of a sentence, 0 or 1, read off its words.

    Raises:
        ValueError: these words are no sentence of the language.

    >>> sentiment_of("the plot was not good but the film was so great".split())
    1
    >>> sentiment_of("the film was so great although the plot was not good".split())
    1
    >>> sentiment_of("the film was so great but the plot was not good".split())
    0
    """
    joints = [k for k, word in enumerate(words) if word in JOINTS]
    if not joints:
        return _clause_sentiment(words)
    at = joints[0]
    first, second = _clause_sentiment(words[:at]), _clause_sentiment(words[at + 1 :])
    if (first == second) != (words[at] == "and"):
        expected = "one sentiment" if words[at] == "and" else "opposite sentiments"
        raise _no_sentence(words, f"{words[at]!r} joins clauses of {expected}")
    return first if words[at] == "although" else second


def bag_ceiling(noise: float = 0.0) -> float:
    r"""The best accuracy of any function of a sentence's words that does not see their order.

    To exchange the clauses at ``but`` or ``although`` keeps the words and the probability and turns the sentiment, so
    half of these is the best. To move the only negation at ``and`` from one clause to the other, likewise. In all other
    sentences adjective and negations say the sentiment. With q the probability of a negation,

    .. math:: p_{single} + p_{and} (1 - q (1 - q)) + (p_{but} + p_{although}) / 2.

    >>> round(bag_ceiling(), 3)
    0.708
    """
    check_share("noise", noise)
    clean = KINDS["single"] + KINDS["and"] * (1 - NEGATED * (1 - NEGATED)) + (KINDS["but"] + KINDS["although"]) / 2
    return clean * (1 - noise) + (1 - clean) * noise


def _clause_sentiment(words: Sequence[str]) -> int:
    """The sentiment of one clause, refused unless its words stand in their order."""
    left = list(words)
    right = left[:1] == ["the"] and left[1:2] and left[1] in NOUNS and left[2:3] == ["was"]
    left = left[3:]
    for optional in (FILLERS, NEGATIONS, INTENSIFIERS):
        left = left[1:] if left[:1] and left[0] in optional else left
    label = next((label for label, some in ADJECTIVES.items() if len(left) == 1 and left[0] in some), None)
    if not right or label is None:
        raise _no_sentence(words, "a clause is 'the NOUN was [filler] [negation] [intensifier] ADJECTIVE'")
    return 1 - label if any(word in NEGATIONS for word in words) else label


def _no_sentence(words: Sequence[str], rule: str) -> ValueError:
    return ValueError(f"no sentence of the language: {rule}, got {' '.join(words)!r}. Ask only for whole sentences.")
