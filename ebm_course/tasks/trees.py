r"""Trees over the words of a sentence as a tag a word: a linearised tree in masked form, cut behind its words.

The tree of *the dog saw a cat* reads ``(S (NP XX XX ) (VP XX (NP XX XX ) ) )`` with XX in the place of each word. Cut
into the tags ``(S (NP XX``, ``XX )``, ``(VP XX``, ``(NP XX``, ``XX ) ) )`` it has one piece a word, so that all that
tags sentences parses them. A tree is kept as its brackets, those with more words first where two begin together.
It knows no grammar, no number and no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

WORD = "XX"


class Bracket(NamedTuple):
    """A constituent: its label, its first word, and the word behind its last.

    >>> Bracket("NP", 0, 2).end
    2
    """

    label: str
    start: int
    end: int


def tree_tags(brackets: Sequence[Bracket], length: int) -> tuple[str, ...]:
    """The tag of each of ``length`` words under these brackets, which nest.

    Raises:
        ValueError: a bracket holds no word or leaves the sentence, or two of them cross; the message names them.

    >>> tree_tags([Bracket("S", 0, 3), Bracket("NP", 0, 2)], 3)
    ('(S (NP XX', 'XX )', 'XX )')
    """
    opening: list[list[str]] = [[] for _ in range(length)]
    closing = [0] * length
    _check(brackets, length)
    for label, start, end in sorted(brackets, key=lambda bracket: -bracket.end):
        opening[start].append(f"({label}")
        closing[end - 1] += 1
    return tuple(" ".join([*opening[k], WORD, *[")"] * closing[k]]) for k in range(length))


def tree_of(tags: Sequence[str]) -> tuple[list[Bracket], bool]:
    """The brackets that tags say, as they close, and whether they are those of one tree over all words.

    Whatever the tags, there are brackets: what closes nothing is left out, what stays open ends with the sentence.

    >>> tree_of(["(S (NP XX", "XX )", "XX )"])
    ([Bracket(label='NP', start=0, end=2), Bracket(label='S', start=0, end=3)], True)
    >>> tree_of(["(S (NP XX", "XX )"])  # S stays open
    ([Bracket(label='NP', start=0, end=2), Bracket(label='S', start=0, end=2)], False)
    """
    found, stack, whole = list[Bracket](), list[tuple[str, int]](), True
    for place, tag in enumerate(tags):
        for part in tag.split():
            if part.startswith("("):
                whole &= bool(stack) or not found  # a second root is none
                stack.append((part[1:], place))
            elif part == ")":
                whole &= bool(stack)
                found += [Bracket(*stack.pop(), place + 1)] if stack else []
            else:
                whole &= bool(stack)  # a word outside the tree
    whole &= not stack
    return found + [Bracket(*stack.pop(), len(tags)) for _ in range(len(stack))], whole


def bracket_f1(tags: Sequence[Sequence[str]], gold: Sequence[Sequence[str]]) -> dict[str, float]:
    """``f1`` of brackets, label and both ends right; ``trees``, the share that are trees; ``exact``, that all right.

    Args:
        tags: tags a sentence, of trees or not.
        gold: of as many sentences.

    Raises:
        ValueError: there is no sentence, or their numbers or lengths differ; the message names the first.

    Source: Black et al. (1991), Parseval, counted over all sentences together. Departure: the root counts.

    >>> bracket_f1([["(S XX", "XX ) )"]], [["(S XX", "XX )"]])
    {'f1': 1.0, 'trees': 0.0, 'exact': 0.0}
    """
    if not gold or len(tags) != len(gold):
        raise ValueError(
            f"brackets are compared sentence by sentence: expected as many as the gold ones, one at least, got "
            f"{len(tags)} and {len(gold)}. Score a batch with its own tags."
        )
    right = said = true = n_trees = 0
    for number, (one, other) in enumerate(zip(tags, gold, strict=True), start=1):
        if len(one) != len(other):
            raise ValueError(f"sentence {number}: expected {len(other)} tags, got {len(one)}. Leave pads out.")
        (mine, whole), (theirs, _) = tree_of(one), tree_of(other)
        right += (Counter(mine) & Counter(theirs)).total()
        said, true, n_trees = said + len(mine), true + len(theirs), n_trees + whole
    exact = sum(tuple(one) == tuple(other) for one, other in zip(tags, gold, strict=True))
    return {"f1": 2 * right / max(1, said + true), "trees": n_trees / len(gold), "exact": exact / len(gold)}


def _check(brackets: Sequence[Bracket], length: int) -> None:
    open_ones = list[Bracket]()
    for bracket in sorted(brackets, key=lambda bracket: (bracket.start, -bracket.end)):
        if not 0 <= bracket.start < bracket.end <= length:
            raise ValueError(
                f"a bracket holds words of its sentence: expected 0 <= start < end <= {length}, got {bracket}. "
                f"Count words from 0; end is the word behind the last."
            )
        while open_ones and open_ones[-1].end <= bracket.start:
            open_ones.pop()
        if open_ones and open_ones[-1].end < bracket.end:
            raise ValueError(f"brackets of a tree nest: got {open_ones[-1]} and {bracket}, which cross. Leave one out.")
        open_ones.append(bracket)
