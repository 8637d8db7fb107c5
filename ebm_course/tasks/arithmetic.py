r"""Addition written as text: ``a + b = c``, most significant digit first, as a state of discrete tokens.

An equation of d digits is ``bos a_d..a_1 + b_d..b_1 = c_{d+1}..c_1 eos``: 3 d + 5 tokens out of 16 values. Operands
are uniform with a leading digit of at least 1, so the perfect model is known exactly (:func:`perfect_perplexity`).

This module knows text, data and the split. How an equation is scored stands in ``arithmetic_score``.
Source: Yin (2023), Section 3.1, and the data recipe of its baseline (Deng et al., 2020, released notebook).
"""

from __future__ import annotations

import math
import operator
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ebm_course.checks import check_count, check_tokens
from ebm_course.core import Batch, Task
from ebm_course.tasks.arithmetic_score import score

UNKNOWN, PADDING, BEGIN, END = "unk", "pad", "bos", "eos"
VOCABULARY = (UNKNOWN, PADDING, BEGIN, END, *"0123456789", "+", "=")
ZERO = VOCABULARY.index("0")
DIGITS = torch.arange(ZERO, ZERO + 10, device="cpu")
"""Tokens of the ten digits (10,), on the CPU."""


@dataclass(frozen=True)
class Format:
    """The layout of an equation with ``n_digits`` digits an operand (1 or more).

    >>> layout = Format(2)
    >>> x = layout.equations([46], [23])
    >>> x.tolist()  # bos 4 6 + 2 3 = 0 6 9 eos
    [[2, 8, 10, 14, 6, 7, 15, 4, 10, 13, 3]]
    >>> layout.decode(x)
    ['46+23=069']
    >>> layout.decode(x[:, layout.answer_positions()])
    ['069']
    """

    n_digits: int

    def __post_init__(self) -> None:
        check_count("n_digits", self.n_digits, least=1)

    @property
    def length(self) -> int:
        """Tokens of an equation, bos and eos counted: 35 for ten digits."""
        return 3 * self.n_digits + 5

    @property
    def first_answer(self) -> int:
        """Position of the answer's most significant digit."""
        return 2 * self.n_digits + 3

    def digit_positions(self) -> Tensor:
        """Bool (L,): where digits stand, operands and answer."""
        where = torch.ones(self.length, dtype=torch.bool, device="cpu")
        where[[0, self.n_digits + 1, 2 * self.n_digits + 2, self.length - 1]] = False
        return where

    def answer_positions(self) -> Tensor:
        """Bool (L,): where the digits of the answer c stand."""
        where = torch.zeros(self.length, dtype=torch.bool, device="cpu")
        where[self.first_answer : -1] = True
        return where

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Tokens (N, L) of lines such as ``"46+23=069"``; spaces do not count, bos and eos are added.

        Raises:
            ValueError: a character is out of the vocabulary, or a line has another length than 3 d + 3.
        """
        ids = {symbol: k for k, symbol in enumerate(VOCABULARY)}
        rows = []
        for text in texts:
            symbols = [s for s in text if not s.isspace()]
            unknown = sorted(set(symbols) - set("0123456789+="))
            if unknown:
                raise ValueError(f"{text!r} holds {unknown}: expected digits, '+' and '=' only.")
            if len(symbols) != self.length - 2:
                raise ValueError(
                    f"{text!r} has {len(symbols)} symbols, expected {self.length - 2} for {self.n_digits} digits: "
                    f"pad operands to {self.n_digits} and the sum to {self.n_digits + 1} digits with zeros."
                )
            rows.append([ids[BEGIN], *(ids[s] for s in symbols), ids[END]])
        return torch.tensor(rows, dtype=torch.int64, device="cpu").reshape(-1, self.length)

    def decode(self, x: Tensor) -> list[str]:
        """Lines of text of tokens (N, L): bos first and eos last are dropped, any other special is spelt out."""
        check_tokens(x, len(VOCABULARY))
        lines = []
        for row in x.tolist():
            words = [VOCABULARY[k] for k in row]
            words = words[1:] if words[:1] == [BEGIN] else words
            words = words[:-1] if words[-1:] == [END] else words
            lines.append("".join(w if len(w) == 1 else f"<{w}>" for w in words))
        return lines

    def equations(self, a: Sequence[int] | np.ndarray, b: Sequence[int] | np.ndarray) -> Tensor:
        """Tokens (N, L) of the true equations of operands a and b, each of at most ``n_digits`` digits."""
        d, (a, b) = self.n_digits, ([check_count("operand", k) for k in side] for side in (a, b))
        return self.encode([f"{i:0{d}d}+{j:0{d}d}={i + j:0{d + 1}d}" for i, j in zip(a, b, strict=True)])


def digit_synonyms() -> Tensor:
    """The synonym set of Eq. 5, (16, 9): a digit's nine others; a row of its own value means no synonym.

    >>> digit_synonyms()[ZERO + 1].sub(ZERO).tolist()
    [0, 2, 3, 4, 5, 6, 7, 8, 9]
    >>> digit_synonyms()[VOCABULARY.index("+")].unique().tolist()  # a sign stays a sign
    [14]
    """
    table = torch.arange(len(VOCABULARY), device="cpu").repeat(9, 1).T.contiguous()
    for digit in range(10):
        others = [ZERO + other for other in range(10) if other != digit]
        table[ZERO + digit] = torch.tensor(others, device="cpu")
    return table


def arithmetic(
    n_digits: int = 10, *, n_train: int = 20_000, n_valid: int = 350, n_test: int = 350, seed: int = 0
) -> Task:
    """Distinct equations of any number of digits, operands drawn uniformly, the three parts disjoint.

    An equation brings its own truth: ``task.score(states, batch)`` recomputes the answer from the states' operands and
    does not use the batch.

    Raises:
        ValueError: more equations are asked for than there are pairs of operands, or a number is none.

    >>> task = arithmetic(2, n_train=20, n_valid=5, n_test=5)
    >>> task.name, task.train.x.shape, task.n_values
    ('arithmetic-2', torch.Size([20, 11]), 16)
    >>> task.score(task.test.x, task.test)["correctness"]
    1.0
    """
    layout, low, span = Format(n_digits), 10 ** (n_digits - 1), 9 * 10 ** (n_digits - 1)
    for part, n in {"n_train": n_train, "n_valid": n_valid, "n_test": n_test, "seed": seed}.items():
        check_count(part, n)  # Python's streams of -1 and 1 are one
    total = n_train + n_valid + n_test
    if total > span * span:
        raise ValueError(f"{total} equations were asked for and only {span * span} of {n_digits} digits exist.")
    draw = random.Random(operator.index(seed))
    if total * 4 > span * span:
        pairs = draw.sample([(i, j) for i in range(span) for j in range(span)], total)
    else:
        found: dict[tuple[int, int], None] = {}
        while len(found) < total:
            found[draw.randrange(span), draw.randrange(span)] = None
        pairs = list(found)
    x = layout.equations([low + i for i, _ in pairs], [low + j for _, j in pairs])
    test, valid, train = x.split([n_test, n_valid, n_train])
    return _task(f"arithmetic-{n_digits}", layout, train, valid, test)


def paper_arithmetic() -> Task:
    """The paper's ten-digit data, digit for digit: 99,299 / 350 / 350 equations, every operand used once.

    200,000 integers uniform in [1e9, 1e10), repetitions dropped, shuffled; the first 700 numbers make the test part,
    the next 700 the validation part; inside a part number k is added to number k + len / 2.
    Source: the baseline's released notebook. Departure: the generators are local, no global seed is set.

    >>> len(paper_arithmetic().train)  # doctest: +SKIP
    99299
    """
    numbers = list(set(np.random.RandomState(1234).randint(10**9, 10**10, size=200_000).tolist()))
    random.Random(1234).shuffle(numbers)
    layout, parts = Format(10), []
    for part in (numbers[:700], numbers[700:1400], numbers[1400:]):
        half = len(part) // 2
        parts.append(layout.equations(part[:half], part[half : 2 * half]))
    test, valid, train = parts
    return _task("arithmetic-paper", layout, train, valid, test)


def perfect_perplexity(n_digits: int) -> float:
    """exp of the true entropy a token: two uniform operands, every other token certain.

    >>> round(perfect_perplexity(10), 3)
    3.851
    """
    entropy = 2 * (math.log(9) + (n_digits - 1) * math.log(10))  # nats an equation
    return math.exp(entropy / (Format(n_digits).length - 1))


def _task(name: str, layout: Format, train: Tensor, valid: Tensor, test: Tensor) -> Task:
    def score_states(states: Tensor, batch: Batch) -> dict[str, float]:
        return score(states, layout.n_digits)

    return Task(name, Batch(train), Batch(valid), Batch(test), len(VOCABULARY), score_states)
