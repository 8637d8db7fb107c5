r"""The most that can be right in the language of agreement, counted exactly: over all of its sentences, none drawn.

The language is a chain over ten states: the openers, each filler's tag together with the number, the closers. Merging
the states of one tag gives the language's bigram chain over the seven tags (the same bigrams, the same words), which
has forgotten the number when the closer comes. Both are decoded at the largest posterior of each position; of equal
ones a fair pick counts. It knows the language's probabilities and no model.

No chain's *best tags* (Viterbi's, ties broken alike everywhere) get more than the bigram chain does here. Take a
sentence and its twin, with the other opener and closer. If y_2 is the same in both, the best tags behind it are the
same, and at most one closer is right; if not, one of the two is wrong, for the first filler is the same. So a pair has
an error at y_2 or y_L, half an error a sentence; on the other fillers nobody betters the posterior.

This is no bound on a chain's *marginals*. Let W allow wrong paths S s ... s and P p ... p, and let every filler's word
have a faint weight for the tags s and p. Those paths hold a small part of the mass, which costs hardly a filler, and
they tip the closer, whose two tags are otherwise even: all of them are right (``faint``).
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ebm_course.tasks.agreement import AMBIGUOUS, CLOSERS, FILLERS, FIRST, FOLLOWS, LENGTHS, OPENERS, TAGS, kinds_of

Array = NDArray[np.float64]

KINDS = (*FILLERS, "ab", "bc", "ca")
"""Kinds of fillers' words; which word of a kind stands there says nothing about its tag."""

STATES = (*OPENERS, *(tag + number for number in OPENERS for tag in FILLERS), *CLOSERS)
TAG_OF = np.array([[float(state[0] == tag) for tag in TAGS] for state in STATES])  # (10, 7)


@dataclass(frozen=True)
class Ceilings:
    """Expected shares of right tags: of all, of fillers, of closers. Openers are always right.

    >>> whole, chain = ceilings("global"), ceilings("chain")
    >>> isinstance(whole, Ceilings), round(whole.closers - chain.closers, 4)  # the agreement
    (True, 0.5)
    """

    accuracy: float
    fillers: float
    closers: float


@functools.cache
def ceilings(decoder: Literal["chain", "global"], *, faint: float = 0.0) -> Ceilings:
    """What the language's bigram chain reaches position by position, or a model that sees the whole sequence of tags.

    Args:
        decoder: ``chain`` is the chain over tags with the language's own frequencies of words and of neighbouring tags;
            its accuracy bounds the best tags of every chain over words, not their marginals. ``global`` is the
            language itself, which no decoder betters.
        faint: of the chain, the weight of every filler's word for the tags s and p, at least 0; W then allows S s, s s,
            P p and p p as well, with weight 1. Far below 0.01 the longest paths drown in rounding: shares equal
            to 12 digits count as equal.

    Raises:
        ValueError: ``faint`` below 0, not finite, or with another decoder than the chain.

    >>> chain, whole = ceilings("chain"), ceilings("global")
    >>> [round(share, 4) for share in (chain.accuracy, chain.fillers, chain.closers)]
    [0.8683, 0.9156, 0.5]
    >>> bent = ceilings("chain", faint=0.01)  # a chain as well, whose faint wrong paths carry the number
    >>> [round(share, 4) for share in (bent.accuracy, bent.fillers, bent.closers)]
    [0.9397, 0.9156, 1.0]
    >>> [round(share, 4) for share in (whole.accuracy, whole.fillers, whole.closers)]
    [0.9397, 0.9156, 1.0]
    """
    if not 0 <= faint < np.inf or (faint and decoder != "chain"):
        raise ValueError(
            f"faint is a weight of at least 0 in the chain, got {faint} with decoder {decoder!r}: "
            "leave it out, or take decoder 'chain' and a small weight such as 0.01."
        )
    right = np.zeros(3)  # expected numbers of right tags a sentence: openers, fillers, closers
    for n_fillers, number, first in itertools.product(LENGTHS, OPENERS, range(len(FILLERS))):
        rest = np.indices((len(KINDS),) * (n_fillers - 1)).reshape(n_fillers - 1, -1).T  # (6^(n-1), n - 1)
        kinds = np.column_stack([np.full(len(rest), first), rest])
        truth, p = _posterior(_emissions(number, kinds, _word_given_tag(first_is_plain=True)), _follows())
        tags = truth @ TAG_OF  # (N, L, 7), the true posterior of each tag
        if decoder == "chain":
            merged = _emissions(number, kinds, _word_given_tag(first_is_plain=False)) @ TAG_OF / TAG_OF.sum(axis=0)
            merged[:, 1:-1, len(TAGS) - len(CLOSERS) :] = faint
            seen, _ = _posterior(merged, _merged_follows(faint_paths=faint > 0))
        else:
            seen = tags
        best = seen >= seen.max(axis=-1, keepdims=True) * (1 - 1e-12)
        hits = (tags * best).sum(axis=-1) / best.sum(axis=-1)  # (N, L), of a fair pick among the best
        parts = np.stack([hits[:, 0], hits[:, 1:-1].sum(axis=1), hits[:, -1]])
        right += parts @ p / len(LENGTHS)
    fillers = float(np.mean(LENGTHS))
    return Ceilings(float(right.sum() / (fillers + 2)), float(right[1] / fillers), float(right[2]))


def _follows() -> Array:
    """Weights (10, 10) of a state after a state; that it may end is a factor all of a length share."""
    table = np.zeros((10, 10))
    for k in range(2):
        inner = slice(2 + 3 * k, 5 + 3 * k)
        table[k, inner], table[inner, inner], table[inner, 8 + k] = FIRST, FOLLOWS, 1.0
    return table


def _merged_follows(*, faint_paths: bool) -> Array:
    """Weights (7, 7) of a tag after a tag: states of one tag are equally likely, so their rows are averaged."""
    averaged: Array = (TAG_OF / TAG_OF.sum(axis=0)).T @ _follows() @ TAG_OF
    if faint_paths:
        for path in ("Ss", "ss", "Pp", "pp"):
            averaged[TAGS.index(path[0]), TAGS.index(path[1])] = 1.0
    return averaged


def _word_given_tag(*, first_is_plain: bool) -> tuple[Array, Array]:
    """p(kind of word | filler's tag) (3, 6) of a first filler and of the others; one pooled table if not apart."""
    plain = np.eye(3, 6)
    mixed = np.array([[AMBIGUOUS / 2 if kind in kinds_of(tag) else 0.0 for kind in KINDS] for tag in FILLERS])
    mixed += (1 - AMBIGUOUS) * plain
    share = 1 / float(np.mean(LENGTHS))  # of first fillers among all
    pooled = share * plain + (1 - share) * mixed
    return (plain, mixed) if first_is_plain else (pooled, pooled)


def _emissions(number: str, kinds: NDArray[Any], tables: tuple[Array, Array]) -> Array:
    """p(word | state) (N, L, 10) of sentences with this opener and fillers of these kinds (N, L - 2)."""
    n, n_fillers = kinds.shape
    scores = np.zeros((n, n_fillers + 2, 10))
    scores[:, 0, OPENERS.index(number)] = 1 / len(OPENERS)  # times p(number), one of two
    for position in range(n_fillers):
        inner = tables[min(position, 1)][:, kinds[:, position]].T  # (N, 3)
        scores[:, position + 1, 2:8] = np.concatenate([inner, inner], axis=1)
    scores[:, -1, 8:] = 1.0
    return scores


def _posterior(scores: Array, follows: Array) -> tuple[Array, Array]:
    """p(state at a position | sentence) (N, L, K) and the sentence's weight (N,), by the forward-backward algorithm."""
    columns = [np.ascontiguousarray(scores[:, i]) for i in range(scores.shape[1])]  # (N, K) a position
    ahead, behind = [columns[0]], [np.ones_like(columns[0])]
    for column in columns[1:]:
        ahead.append(column * (ahead[-1] @ follows))
    for column in columns[:0:-1]:
        behind.append((behind[-1] * column) @ follows.T)
    weight = ahead[-1].sum(axis=-1)
    joint = np.stack([a * b for a, b in zip(ahead, reversed(behind), strict=True)], axis=1)
    return joint / np.where(weight > 0, weight, 1.0)[:, None, None], weight
