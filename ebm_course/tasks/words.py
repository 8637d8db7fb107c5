"""Texts of blank-separated words as numbers, for languages whose vocabulary is known: no training, no library.

It has the face of ``subwords.Subwords``: ids 0 to 4 are the pad, the unknown word, the start, the end and the mask.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNKNOWN, START, END, MASK = range(5)


@dataclass(frozen=True)
class Words:
    """Words numbered from 5 in the order given.

    Raises:
        ValueError: there are no words, one occurs twice, is empty, holds a blank or is one of the special ones.

    >>> words = Words(("bad", "film", "good"))
    >>> tokens, mask = words.encode(["good film", "unheard good good"], max_length=4)
    >>> tokens.tolist(), mask.tolist()
    ([[2, 7, 6, 3], [2, 1, 7, 3]], [[True, True, True, True], [True, True, True, True]])
    >>> words.decode(tokens, mask), len(words)
    (['good film', '[UNK] good'], 8)
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        twice = len(set(self.words)) != len(self.words)
        if not self.words or twice or any(word in SPECIAL or word.split() != [word] for word in self.words):
            raise ValueError(
                f"a vocabulary holds different words without blanks, and none of {', '.join(SPECIAL)}: got "
                f"{len(self.words)} of which {len(set(self.words))} differ. Drop the others."
            )

    def encode(self, texts: Sequence[str], *, max_length: int) -> tuple[Tensor, Tensor]:
        """Tokens (N, L) int64 and mask (N, L) bool: start, words, end; long texts lose words before the end.

        Raises:
            ValueError: a text has no word, or ``max_length`` has no room for one.
        """
        return as_tensors([self._ids(text) for text in texts], max_length=max_length)

    def decode(self, tokens: Tensor, mask: Tensor) -> list[str]:
        """The texts of tokens (N, L) at real positions, without start, end and pads."""
        names = (*SPECIAL, *self.words)
        return [" ".join(names[k] for k in row) for row in real_tokens(tokens, mask)]

    def __len__(self) -> int:
        return len(SPECIAL) + len(self.words)

    @functools.cached_property
    def _id_of(self) -> dict[str, int]:
        return {word: k for k, word in enumerate(self.words, start=len(SPECIAL))}

    def _ids(self, text: str) -> list[int]:
        return [self._id_of.get(word, UNKNOWN) for word in text.split()]


def as_tensors(
    rows: Sequence[Sequence[int]], *, max_length: int, start: int = START, end: int = END, pad: int = PAD
) -> tuple[Tensor, Tensor]:
    """Rows of ids as tokens (N, L) between ``start`` and ``end``, cut to ``max_length``, and their mask (N, L).

    Raises:
        ValueError: there are no rows, one of them is empty, or ``max_length`` is below 3.

    >>> as_tensors([[7, 8, 9], [7]], max_length=4)[0].tolist()
    [[2, 7, 8, 3], [2, 7, 3, 0]]
    """
    if max_length < 3:
        raise ValueError(f"a text is a start, a word or more and an end: got max_length={max_length}. Pass 3 or more.")
    empty = [number for number, row in enumerate(rows, start=1) if not row]
    if empty or not rows:
        got = f"text {empty[0]} of {len(rows)} without one" if empty else "no texts"
        raise ValueError(f"a text has a token at least: got {got}. Drop empty texts before they are numbered.")
    kept = [row[: max_length - 2] for row in rows]
    lengths = torch.tensor([len(row) + 2 for row in kept], device="cpu")
    longest = int(lengths.max())
    whole = [[start, *row, end, *[pad] * (longest - 2 - len(row))] for row in kept]
    return torch.tensor(whole, device="cpu"), torch.arange(longest, device="cpu") < lengths[:, None]


def real_tokens(tokens: Tensor, mask: Tensor) -> list[list[int]]:
    """Ids of each row between its first and its last real position, which hold start and end.

    >>> real_tokens(torch.tensor([[2, 7, 3, 0]]), torch.tensor([[True, True, True, False]]))
    [[7]]
    """
    rows = zip(tokens.tolist(), mask.sum(dim=1).tolist(), strict=True)
    return [row[1 : n - 1] for row, n in rows]
