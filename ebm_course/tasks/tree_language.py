r"""A generated treebank: sentences of a small probabilistic grammar, their trees as a tag a word.

.. math:: S \to NP\,VP, \quad NP \to D\,N \mid NP\,PP, \quad VP \to V\,NP \mid VP\,PP, \quad PP \to P\,NP

A phrase with *of* belongs to the noun before it, one with *during* to the verb, one with *with* to either, more often
to the verb: the best parser is wrong on some. How many brackets close behind a word hangs on all that are open, and a
term of a chain sees two tags. This module knows the language and draws from it.
Source: the course's own, in the place of the treebank of Tu, Pang and Gimpel (2020), Appendix A.1, which is not free.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.tasks.sentences import Sentence, Sentences
from ebm_course.tasks.tagging import Score, Tagging, generated, gold_of, tag_score
from ebm_course.tasks.tagging_score import as_tags
from ebm_course.tasks.trees import Bracket, bracket_f1, tree_tags
from ebm_course.tasks.vocabulary import Vocabulary


class Rule(NamedTuple):
    """parent -> left right, with its probability among the rules of the parent.

    >>> RULES[0].left, RULES[0].p
    ('NP', 1.0)
    """

    parent: str
    left: str
    right: str
    p: float


RULES = (
    Rule("S", "NP", "VP", 1.0),
    Rule("NP", "D", "N", 0.7),
    Rule("NP", "NB", "PPn", 0.3),  # phrases of a noun nest to the right, so that their order says how
    Rule("NB", "D", "N", 1.0),
    Rule("VP", "V", "NP", 0.65),
    Rule("VP", "VP", "PPv", 0.35),
    Rule("PPn", "Pn", "NP", 1.0),
    Rule("PPv", "Pv", "NP", 1.0),
)
WORDS = {
    "D": {"the": 0.5, "a": 0.5},
    "N": {"dog": 0.25, "man": 0.25, "park": 0.25, "storm": 0.25},
    "V": {"saw": 0.5, "heard": 0.5},
    "Pn": {"of": 0.85, "with": 0.15},
    "Pv": {"during": 0.25, "with": 0.75},
}
SHOWN = {"NB": "NP", "PPn": "PP", "PPv": "PP"}
"""Symbols that a tree shows under another name."""

SYMBOLS = (*dict.fromkeys(rule.parent for rule in RULES), *WORDS)
"""The root S first; the kinds of words last."""

LONGEST = 14
TAGS = (
    *("(S (NP XX", "(S (NP (NP XX", "(NP XX", "(NP (NP XX", "(PP XX"),
    *("(VP " * k + "XX" for k in range(1, 5)),
    *("XX" + " )" * k for k in range(1, 10)),
)
"""Every tag of a sentence of 14 words or fewer."""


class Parse(NamedTuple):
    """A tree of a sentence: log of its joint probability with the words, and its brackets.

    >>> Parse(-1.0, ()).log_p
    -1.0
    """

    log_p: float
    brackets: tuple[Bracket, ...]


def sentence(draw: random.Random) -> Sentence:
    """One sentence of at most 14 words, with the tags of its tree; longer ones are drawn anew.

    >>> one = sentence(random.Random(0))
    >>> one.tokens[0] in ("the", "a"), one.tags[0].startswith("(S (NP")
    (True, True)
    """
    while True:
        tokens, brackets = list[str](), list[Bracket]()
        _grow("S", draw, tokens, brackets)
        if len(tokens) <= LONGEST:
            return Sentence(tuple(tokens), tree_tags(brackets, len(tokens)))


def _grow(symbol: str, draw: random.Random, tokens: list[str], brackets: list[Bracket]) -> None:
    if symbol in WORDS:
        tokens += draw.choices(list(WORDS[symbol]), list(WORDS[symbol].values()))
        return
    if len(tokens) > LONGEST:
        return  # too long already
    start, rules = len(tokens), [rule for rule in RULES if rule.parent == symbol]
    rule = draw.choices(rules, [rule.p for rule in rules])[0]
    for child in (rule.left, rule.right):
        _grow(child, draw, tokens, brackets)
    brackets.append(Bracket(SHOWN.get(symbol, symbol), start, len(tokens)))


def parses(tokens: Sequence[str]) -> list[Parse]:
    """Every tree that the grammar has for these words, the likeliest first; none where it has none.

    >>> with_one = "the man saw the dog with a storm".split()
    >>> [round(parse.log_p, 2) for parse in parses(with_one)], len(parses("the dog of".split()))
    ([-9.77, -11.18], 0)
    """

    @functools.cache
    def under(symbol: str, start: int, end: int) -> tuple[Parse, ...]:
        if symbol in WORDS:
            p = WORDS[symbol].get(tokens[start], 0.0) if end - start == 1 else 0.0
            return (Parse(math.log(p), ()),) if p else ()
        own = Bracket(SHOWN.get(symbol, symbol), start, end)
        return tuple(
            Parse(math.log(rule.p) + a.log_p + b.log_p, (own, *a.brackets, *b.brackets))
            for rule in RULES
            if rule.parent == symbol
            for middle in range(start + 1, end)
            for a in under(rule.left, start, middle)
            for b in under(rule.right, middle, end)
        )

    return sorted(under("S", 0, len(tokens)), key=lambda parse: -parse.log_p)


def rule_scores() -> tuple[Tensor, Tensor]:
    """(parent, left, right) of each rule as numbers of ``SYMBOLS``, (R, 3), and log p, (R,), as ``cky`` reads them.

    >>> rules, log_p = rule_scores()
    >>> [SYMBOLS[k] for k in rules[0]], round(float(log_p[1].exp()), 3)  # S -> NP VP, and p of NP -> D N
    (['S', 'NP', 'VP'], 0.7)
    """
    ids = {symbol: k for k, symbol in enumerate(SYMBOLS)}
    rules = [[ids[rule.parent], ids[rule.left], ids[rule.right]] for rule in RULES]
    return torch.tensor(rules, device="cpu"), torch.tensor([rule.p for rule in RULES], device="cpu").log()


def word_scores(sentences: Sentences) -> Tensor:
    """log p(word | symbol), (N, L, A), minus infinity where the symbol has no such word, and at pads.

    >>> word_scores(Sentences.of([sentence(random.Random(0))])).shape[2] == len(SYMBOLS)
    True
    """
    longest = max(map(len, sentences.tokens))
    p = torch.zeros(len(sentences), longest, len(SYMBOLS), device="cpu")
    for n, tokens in enumerate(sentences.tokens):
        for i, token in enumerate(tokens):
            for symbol, words in WORDS.items():
                p[n, i, SYMBOLS.index(symbol)] = words.get(token, 0.0)
    return p.log()


def tree_language(*, n_train: int = 400, n_valid: int = 200, n_test: int = 300, seed: int = 0) -> Tagging:
    """Independent sentences with their trees, as a task of 18 tags; the one feature of a token is its word.

    Returns:
        Its task's score has ``accuracy`` of tags and what ``trees.bracket_f1`` counts. The same seed gives the same
        parts; another ``n_train`` leaves the others alone.

    >>> made = tree_language(n_train=20, n_valid=10, n_test=10)
    >>> made.task.n_values, sorted(made.task.score(made.task.test.y, made.task.test))
    (18, ['accuracy', 'exact', 'f1', 'trees'])
    """
    sizes, words = (n_train, n_valid, n_test), [word for kind in WORDS.values() for word in kind]
    return generated("tree-language", sentence, sizes, seed=seed, tags=TAGS, known_words=words, score=tree_score)


def tree_score(vocabulary: Vocabulary) -> Score:
    """score(states, batch) -> accuracy of tags, and of the trees that they say ``f1``, ``trees`` and ``exact``.

    >>> made = tree_language(n_train=4, n_valid=2, n_test=2)
    >>> score, gold = tree_score(made.vocabulary), made.task.test.y
    >>> score(gold, made.task.test)
    {'accuracy': 1.0, 'f1': 1.0, 'trees': 1.0, 'exact': 1.0}
    >>> score(torch.zeros_like(gold), made.task.test)["trees"]  # brackets that never close
    0.0
    """
    overall = tag_score(vocabulary)

    def score(states: Tensor, batch: Batch) -> dict[str, float]:
        gold, mask = gold_of(batch)
        found = overall(states, batch)
        texts = vocabulary.texts(as_tags(states), mask), vocabulary.texts(gold, mask)
        return found | bracket_f1(*texts)

    return score
