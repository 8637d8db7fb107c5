"""Sentences of tokens, each token with its tag, checked once where they enter.

It knows text alone: no file, no number, no tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sentence:
    """One sentence: ``tokens`` and as many ``tags``, one at least.

    Raises:
        ValueError: it is empty, tokens and tags differ in number, one of them is empty or no text, or either is one
            text, whose letters would count.

    >>> Sentence(("the", "dog", "barks"), ("D", "N", "V")).tags[1]
    'N'
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ValueError("a sentence has a token at least, got none: leave it out.")
        if len(self.tokens) != len(self.tags):
            raise ValueError(
                f"a sentence has a tag for each token: expected {len(self.tokens)} tags, got {len(self.tags)}. "
                f"Look for a separator inside a token."
            )
        whole: list[Any] = [self.tokens, self.tags]
        if any(isinstance(part, str) for part in whole) or not all(
            isinstance(part, str) and part for part in (*self.tokens, *self.tags)
        ):
            raise ValueError(
                "tokens and tags are text of a character at least, got another one: name each, or drop it."
            )

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Sentences:
    """Several sentences, kept as tuples of text; iterating gives one :class:`Sentence` after the other.

    >>> some = Sentences.of([Sentence(("a", "b"), ("X", "Y")), Sentence(("c",), ("X",))])
    >>> len(some), some.n_tokens, some.tag_set, some[:1].tokens
    (2, 3, ('X', 'Y'), (('a', 'b'),))
    """

    tokens: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, sentences: Iterable[Sentence]) -> Sentences:
        """All of an iterable, as a reader of ``tagging_files`` gives them; read to its end."""
        kept = [(sentence.tokens, sentence.tags) for sentence in sentences]
        return cls(tuple(tokens for tokens, _ in kept), tuple(tags for _, tags in kept))

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.tags):
            raise ValueError(
                f"sentences have as many rows of tags as of tokens: expected {len(self.tokens)}, got {len(self.tags)}. "
                f"Build them with Sentences.of(...)."
            )
        for _ in self:
            pass  # each Sentence checks itself

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[Sentence]:
        return (Sentence(tokens, tags) for tokens, tags in zip(self.tokens, self.tags, strict=True))

    def __getitem__(self, index: slice) -> Sentences:
        return Sentences(self.tokens[index], self.tags[index])

    def __add__(self, others: Sentences) -> Sentences:
        return Sentences(self.tokens + others.tokens, self.tags + others.tags)

    @property
    def n_tokens(self) -> int:
        """Tokens in all sentences together."""
        return sum(map(len, self.tokens))

    @property
    def tag_set(self) -> tuple[str, ...]:
        """The tags that occur, sorted."""
        return tuple(sorted({tag for tags in self.tags for tag in tags}))
