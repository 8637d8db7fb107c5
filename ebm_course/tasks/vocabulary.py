"""Numbers for the features of tokens and for tags, found in training sentences and used for all.

In every column 0 means unknown and pads alike; tags are numbered from 0, and a tag that training lacks is refused.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_tokens
from ebm_course.core import Batch
from ebm_course.sentence_checks import check_mask
from ebm_course.tasks.sentences import Sentence
from ebm_course.tasks.tagging_features import Features


@dataclass(frozen=True)
class Vocabulary:
    """``values`` a column, numbered from 1 in this order; ``tags``, numbered from 0; ``characters``, from 1.

    Raises:
        ValueError: a tag stands there twice.

    >>> some = [Sentence(("the", "dog"), ("D", "N")), Sentence(("dogs",), ("N",))]
    >>> words = Vocabulary.of(some, least=1)
    >>> words.n_values_of_columns, words.tags
    ((4,), ('D', 'N'))
    >>> batch = words.batch([Sentence(("the", "cat"), ("D", "N")), Sentence(("dog",), ("N",))])
    >>> batch.x[:, :, 0].tolist(), batch.y.tolist(), batch.mask.tolist()
    ([[3, 0], [1, 0]], [[0, 1], [1, 0]], [[True, True], [True, False]])
    >>> words.texts(batch.y, batch.mask)
    [('D', 'N'), ('N',)]
    """

    features: Features
    values: tuple[tuple[str, ...], ...]
    tags: tuple[str, ...]
    characters: tuple[str, ...]

    def __post_init__(self) -> None:
        twice = [tag for tag, n in Counter(self.tags).items() if n > 1]
        if twice:
            raise ValueError(f"a set has each of its tags once: got {', '.join(twice)} more than once. Name it once.")

    @classmethod
    def of(
        cls,
        sentences: Iterable[Sentence],
        *,
        features: Features | None = None,
        least: int = 2,
        tags: Sequence[str] = (),
        known_words: Iterable[str] = (),
    ) -> Vocabulary:
        """What occurs in training sentences, read once from start to end.

        Args:
            features: the columns; by default the word alone.
            least: a word or affix seen less often is unknown, so that training sees unknown ones too.
            tags: the whole tag set where it is known; by default the tags that occur, sorted.
            known_words: words that get a number though training lacks them, such as those with a fixed vector.

        Raises:
            ValueError: there are no sentences, one has a tag outside ``tags``, a tag stands there twice, or ``least``
                is no whole number of 1 or more.
        """
        check_count("least", least, least=1)
        features = features or Features()
        counts: list[dict[str, int]] = [Counter[str]() for _ in features.names]
        seen_tags, characters = set[str](), set[str]()
        for sentence in sentences:
            seen_tags.update(sentence.tags)
            for token in sentence.tokens:
                characters.update(token)
                for column, value in zip(counts, features.of(token), strict=True):
                    column[value] = column.get(value, 0) + 1
        if not seen_tags:
            raise ValueError("a vocabulary is made of training sentences, got none: name the files that hold some.")
        words, *others = features.frequent(counts, least)
        values = (sorted({*words, *known_words}), *others)
        found = cls(
            features, tuple(map(tuple, values)), tuple(tags) or tuple(sorted(seen_tags)), tuple(sorted(characters))
        )
        found._tag_ids(sorted(seen_tags), "the training sentences")
        return found

    @property
    def n_values_of_columns(self) -> tuple[int, ...]:
        """How many numbers a column takes, 0 included: the rows of its embedding."""
        return tuple(len(values) + 1 for values in self.values)

    @property
    def n_tags(self) -> int:
        """How many tags there are."""
        return len(self.tags)

    def ids(self, token: str) -> tuple[int, ...]:
        """The token's number in each column."""
        return tuple(ids.get(value, 0) for ids, value in zip(self._id_of_value, self.features.of(token), strict=True))

    def batch(self, sentences: Iterable[Sentence]) -> Batch:
        """Sentences as one batch, padded at the right: x (N, L, F) int64, y (N, L) int64 tags, mask (N, L) bool.

        Raises:
            ValueError: there are no sentences, or a tag is outside the set; the message names it and its sentence.
        """
        x, y = [], []
        for number, sentence in enumerate(sentences, start=1):
            x.append(torch.tensor([self.ids(token) for token in sentence.tokens], device="cpu"))
            y.append(torch.tensor(self._tag_ids(sentence.tags, f"sentence {number}"), device="cpu"))
        return Batch.padded(x, y)

    def batches(self, sentences: Iterable[Sentence], size: int) -> Iterator[Batch]:
        """Batches of ``size`` sentences in their order, the last may be smaller: a stream in bounded memory."""
        check_count("size", size, least=1)
        waiting = iter(sentences)
        return map(self.batch, iter(lambda: list(itertools.islice(waiting, size)), []))

    def characters_of(self, sentences: Iterable[Sentence], *, width: int) -> Tensor:
        """The first ``width`` characters of each token, (N, L, width) int64; 0 for unknown ones and pads."""
        check_count("width", width, least=1)
        ids = {character: k for k, character in enumerate(self.characters, start=1)}
        rows = []
        for sentence in sentences:
            tokens = [[ids.get(c, 0) for c in token[:width]] for token in sentence.tokens]
            rows.append(torch.tensor([row + [0] * (width - len(row)) for row in tokens], device="cpu"))
        return Batch.padded(rows).x

    def texts(self, y: Tensor, mask: Tensor) -> list[tuple[str, ...]]:
        """The tags (N, L) of real positions as text, a tuple a sentence.

        Raises:
            ValueError: a pad stands before a real token or a row has none, or a real token's tag is outside the set.
        """
        check_mask(mask, tuple(y.shape))  # on another device than a CPU it does not wait to look inside
        y, mask = y.cpu(), mask.cpu()
        check_mask(mask, tuple(y.shape))
        check_tokens(y.masked_fill(~mask, 0), self.n_tags, what="tag")
        rows = zip(y.tolist(), mask.sum(dim=1).tolist(), strict=True)
        return [tuple(self.tags[k] for k in row[:n]) for row, n in rows]

    @functools.cached_property
    def _id_of_value(self) -> list[dict[str, int]]:
        return [{value: k for k, value in enumerate(values, start=1)} for values in self.values]

    @functools.cached_property
    def _id_of_tag(self) -> dict[str, int]:
        return {tag: k for k, tag in enumerate(self.tags)}

    def _tag_ids(self, tags: Sequence[str], where: str) -> list[int]:
        ids = self._id_of_tag
        for tag in tags:
            if tag not in ids:
                raise ValueError(
                    f"{where}: tag {tag!r} is outside the set of {len(ids)}: expected one of {', '.join(self.tags)}. "
                    f"Mend it, or name the whole set in Vocabulary.of(..., tags=...)."
                )
        return [ids[tag] for tag in tags]
