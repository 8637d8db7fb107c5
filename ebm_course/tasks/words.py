"""Texts of blank-separated words as numbers, for languages whose vocabulary is known: no training, no library.

It has the face of ``subwords.Subwords``: ids 0 to 4 are the pad, the unknown word, the start, the end and the mask.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_tokens
from ebm_course.sentence_checks import check_mask

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNKNOWN, START, END, MASK = range(5)


@dataclass(frozen=True)
class Words:
    """Words numbered from 5 in the order given.

    Raises:
        TypeError: it is no tuple of text.
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
        given: Any = self.words  # whatever it is
        if isinstance(given, str) or not all(isinstance(word, str) for word in given):
            raise TypeError(f'a vocabulary is a tuple of words as text: got {self.words!r:.60}. Pass ("one", "two").')
        twice = len(set(self.words)) != len(self.words)
        if not self.words or twice or any(word in SPECIAL or word.split() != [word] for word in self.words):
            raise ValueError(
                f"a vocabulary holds different words without blanks, and none of {', '.join(SPECIAL)}: got "
                f"{len(self.words)} of which {len(set(self.words))} differ. Drop the others."
            )

    def encode(self, texts: Sequence[str], *, max_length: int) -> tuple[Tensor, Tensor]:
        """Tokens (N, L) int64 and mask (N, L) bool: start, words, end; long texts lose words before the end.

        Raises:
            TypeError: the texts are one text, or one of them is none.
            ValueError: a text has no word, or ``max_length`` has no room for one.
        """
        check_texts(texts)
        return as_tensors([self._ids(text) for text in texts], max_length=max_length)

    def decode(self, tokens: Tensor, mask: Tensor) -> list[str]:
        """The texts of tokens (N, L) at real positions, without start, end and pads.

        Raises:
            ValueError: a real token is out of the vocabulary, or the mask does not fit.
        """
        names = (*SPECIAL, *self.words)
        return [" ".join(names[k] for k in row) for row in real_tokens(tokens, mask, n_values=len(names))]

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
        ValueError: there are no rows, one of them is empty, or ``max_length`` is no whole number of 3 or more.

    >>> as_tensors([[7, 8, 9], [7]], max_length=4)[0].tolist()
    [[2, 7, 8, 3], [2, 7, 3, 0]]
    """
    max_length = check_count("max_length", max_length)
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


def check_texts(texts: Sequence[str]) -> None:
    """Refuse one text, whose letters would be taken for texts, and what is no text.

    >>> check_texts("good film")
    Traceback (most recent call last):
    TypeError: texts are a list of text: got one text. Pass [text] for one.
    """
    wrong = [] if isinstance(texts, str) else [type(text).__name__ for text in texts if not isinstance(text, str)]
    if isinstance(texts, str) or wrong:
        got = f"a {wrong[0]} among them" if wrong else "one text"
        raise TypeError(f"texts are a list of text: got {got}. Pass [text] for one.")


def real_tokens(tokens: Tensor, mask: Tensor, *, n_values: int) -> list[list[int]]:
    """Ids of each row between its first and its last real position, which hold start and end.

    Raises:
        ValueError: a real token is out of 0 .. ``n_values`` - 1, or the mask does not fit.

    >>> real_tokens(torch.tensor([[2, 7, 3, 0]]), torch.tensor([[True, True, True, False]]), n_values=8)
    [[7]]
    """
    check_mask(mask, tuple(tokens.shape))
    check_tokens(tokens.masked_fill(~mask, 0), n_values)
    rows = zip(tokens.tolist(), mask.sum(dim=1).tolist(), strict=True)
    return [row[1 : n - 1] for row, n in rows]
