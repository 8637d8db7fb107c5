"""Orders in which the tokens of an addition can be written. It knows no model.

An order moves tokens and changes none, so the distribution of the data keeps its entropy, and a line can be put back
into the usual order to be scored.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ebm_course.tasks.arithmetic import Format


def _plain(d: int) -> list[str]:
    """As the task writes it."""
    return [*_digits("a", d), "+", *_digits("b", d), "=", *_digits("c", d + 1)]


def _mirrored(d: int) -> list[str]:
    return [*_digits("a", d)[::-1], "+", *_digits("b", d)[::-1], "=", *_digits("c", d + 1)[::-1]]


def _paired(d: int) -> list[str]:
    pairs = [f"{letter}{i}" for i in range(d, 0, -1) for letter in "ab"]
    return [*pairs, "+", "=", *_digits("c", d + 1)]


def _columns_left(d: int) -> list[str]:
    first, *rest = [[f"a{i}", f"b{i}", f"c{i}"] for i in range(d, 0, -1)]
    return [*first[:2], f"c{d + 1}", first[2], *(token for column in rest for token in column), "+", "="]


def _columns_right(d: int) -> list[str]:
    return [*(f"{letter}{i}" for i in range(1, d + 1) for letter in "abc"), f"c{d + 1}", "+", "="]


FORMATS: dict[str, tuple[str, Callable[[int], list[str]]]] = {
    "plain": ("plain, left to right", _plain),
    "mirrored": ("each number from its last digit", _mirrored),
    "paired": ("operands paired, answer from its first digit", _paired),
    "columns-left": ("columns from the left", _columns_left),
    "columns-right": ("columns from the right", _columns_right),
}
"""Name -> words, and d -> tokens between bos and eos: a3 is the hundreds of the first operand, c that of the answer."""


def order_of(name: str, n_digits: int) -> Tensor:
    """Where the tokens (L,) of a format stand in the usual order: ``x[:, order_of(...)]`` writes rows x in the format.

    Raises:
        ValueError: there is no such format.

    >>> layout = Format(2)
    >>> x, order = layout.equations([46], [38]), order_of("columns-right", 2)  # 46+38=084
    >>> (x[:, order] - 4).tolist()  # bos, 6 8 4, 4 3 8, 0, + = eos
    [[-2, 6, 8, 4, 4, 3, 8, 0, 10, 11, -1]]
    >>> layout.decode(x[:, order][:, order.argsort()])
    ['46+38=084']
    """
    if name not in FORMATS:
        raise ValueError(f"there is no format {name!r}: expected one of {', '.join(FORMATS)}.")
    usual = {token: 1 + place for place, token in enumerate(_plain(n_digits))}
    places = [usual[token] for token in FORMATS[name][1](n_digits)]
    return torch.tensor([0, *places, Format(n_digits).length - 1], device="cpu")


def _digits(letter: str, n: int) -> list[str]:
    return [f"{letter}{i}" for i in range(n, 0, -1)]
