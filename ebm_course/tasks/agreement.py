r"""A generated language of tags: a chain's best tags can say everything but one thing, the agreement of the two ends.

A sentence is an opener, three to seven fillers and a closer. The opener's word shows its number, tag S or P; fillers
follow a Markov chain over the tags a, b, c, and half of their words could be either of two; the closer's tag s or p
agrees with the opener's number, and its word does not show it. A first filler is never ambiguous, so that what a chain
decodes there says nothing of the opener: the best tags of every chain energy whose unary terms see one word, and that
reads unambiguous words right and closers as closers, have exactly half of them right. A term that sees all tags can
have all of them, and so can the likeliest tag of each position, which a chain may bend (``agreement_ceilings``).

This module knows the language and draws from it; what can be reached in it stands in ``agreement_ceilings``.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.tasks.sentences import Sentence
from ebm_course.tasks.tagging import Score, Tagging, generated, gold_of, tag_score
from ebm_course.tasks.tagging_score import accuracy
from ebm_course.tasks.vocabulary import Vocabulary

TAGS = ("S", "P", "a", "b", "c", "s", "p")
OPENERS, FILLERS, CLOSERS = TAGS[:2], TAGS[2:5], TAGS[5:]
LENGTHS = (3, 4, 5, 6, 7)
"""Numbers of fillers, equally likely."""

WORDS = {
    "S": ("this", "that"),
    "P": ("these", "those"),
    "a": ("amber", "azure"),
    "b": ("brown", "beige"),
    "c": ("coral", "cream"),
    "ab": ("ab1", "ab2"),
    "bc": ("bc1", "bc2"),
    "ca": ("ca1", "ca2"),
    "closer": ("sheep", "fish", "deer"),
}
"""Words by what they may be tagged; half of the fillers' words, and of their tokens but the first, are ambiguous."""

FIRST = (1 / 3, 1 / 3, 1 / 3)
FOLLOWS = ((0.1, 0.7, 0.2), (0.2, 0.1, 0.7), (0.7, 0.2, 0.1))
"""p(next filler's tag | this one's), rows and columns a, b, c."""

AMBIGUOUS = 0.5
"""Probability that a filler after the first takes an ambiguous word, either of its tag's two kinds alike."""


def kinds_of(tag: str) -> tuple[str, ...]:
    """The two kinds of ambiguous words that may stand for a filler's tag.

    >>> kinds_of("a")
    ('ab', 'ca')
    """
    return tuple(kind for kind in ("ab", "bc", "ca") if tag in kind)


def sentence(draw: random.Random) -> Sentence:
    """One sentence of the language.

    >>> one = sentence(random.Random(1))
    >>> 5 <= len(one) <= 9, one.tags[0].lower() == one.tags[-1]
    (True, True)
    """
    number = draw.choice(OPENERS)
    tags = draw.choices(FILLERS, FIRST)
    for _ in range(draw.choice(LENGTHS) - 1):
        tags += draw.choices(FILLERS, FOLLOWS[FILLERS.index(tags[-1])])
    kinds = [tags[0], *(draw.choice(kinds_of(tag)) if draw.random() < AMBIGUOUS else tag for tag in tags[1:])]
    words = [draw.choice(WORDS[kind]) for kind in (number, *kinds, "closer")]
    return Sentence(tuple(words), (number, *tags, number.lower()))


def agreement(*, n_train: int = 200, n_valid: int = 200, n_test: int = 1000, seed: int = 0) -> Tagging:
    """Independent sentences of the language as a task of seven tags; the one feature of a token is its word.

    Returns:
        Its task's score has ``accuracy``, ``fillers`` and ``closers``, the shares of tags right among all, among the
        fillers and among the closers. The same seed gives the same parts; another ``n_train`` leaves the others alone.

    >>> made = agreement(n_train=20, n_valid=10, n_test=10)
    >>> made.task.train.x.shape[::2], made.task.n_values, made.vocabulary.n_values_of_columns
    (torch.Size([20, 1]), 7, (20,))
    >>> sorted(made.task.score(made.task.test.y, made.task.test))
    ['accuracy', 'closers', 'fillers']
    """
    sizes, words = (n_train, n_valid, n_test), [word for kind in WORDS.values() for word in kind]
    return generated("agreement", sentence, sizes, seed=seed, tags=TAGS, known_words=words, score=_score)


def closers(batch: Batch) -> Tensor:
    """Bool (N, L): where the closers stand, each sentence's last real token.

    >>> closers(Batch.padded([torch.arange(3), torch.arange(2)], [torch.arange(3), torch.arange(2)])).tolist()
    [[False, False, True], [False, True, False]]
    """
    _, mask = gold_of(batch)
    following = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    return mask & ~following


def _score(vocabulary: Vocabulary) -> Score:
    overall = tag_score(vocabulary)

    def score(states: Tensor, batch: Batch) -> dict[str, float]:
        gold, mask = gold_of(batch)
        found = overall(states, batch)
        last = closers(batch)
        inner = mask & ~last
        inner[:, 0] = False
        parts = {"fillers": accuracy(states, gold, inner), "closers": accuracy(states, gold, last)}
        return found | parts

    return score
