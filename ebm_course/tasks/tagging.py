"""Tagging as a task: a tag for each token of a sentence.

Batches hold features x (N, L, F) int64, tags y (N, L) int64 and a mask (N, L), True at real tokens. Named sets
of sentences stand in ``tagging_sets``, file formats in ``tagging_files``, how an answer counts in ``tagging_score``.

>>> some = Sentences.of([Sentence(("in", "New", "York"), ("O", "B-LOC", "E-LOC"))])
>>> places: Tagging = tagging("places", some, some, some, least=1, score=entity_score)
>>> gold, mask = gold_of(places.task.test)
>>> places.task.score(gold, places.task.test)
{'precision': 1.0, 'recall': 1.0, 'f1': 1.0, 'accuracy': 1.0}
>>> round(tag_score(places.vocabulary)(gold.flip(1), places.task.test)["accuracy"], 3)  # of E B O, where B is right
0.333
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_tokens
from ebm_course.core import Batch, Task
from ebm_course.tasks.sentences import Sentence, Sentences
from ebm_course.tasks.tagging_features import Features
from ebm_course.tasks.tagging_score import accuracy, as_tags, entity_f1
from ebm_course.tasks.vocabulary import Vocabulary

Score = Callable[[Tensor, Batch], dict[str, float]]


@dataclass(frozen=True)
class Tagging:
    """A task, the vocabulary that numbered it, and its sentences as text."""

    task: Task
    vocabulary: Vocabulary
    train: Sentences
    valid: Sentences
    test: Sentences


def tagging(
    name: str,
    train: Sentences,
    valid: Sentences,
    test: Sentences,
    *,
    features: Features | None = None,
    least: int = 2,
    tags: Sequence[str] = (),
    known_words: Iterable[str] = (),
    score: Callable[[Vocabulary], Score] | None = None,
) -> Tagging:
    """Three parts of sentences as a task whose vocabulary is that of the training part.

    Args:
        features: the columns of x; by default the word alone.
        least: a word or affix seen less often in training is unknown.
        tags: the tag set; by default the training part's. One outside it is refused in every part.
        known_words: words with a number though training lacks them.
        score: makes the task's score; by default :func:`tag_score`.

    >>> from ebm_course.tasks.sentences import Sentence
    >>> some = Sentences.of([Sentence(("the", "dog"), ("D", "N")), Sentence(("dogs",), ("N",))])
    >>> made = tagging("two", some, some, some, least=1)
    >>> made.task.train.x.shape, made.task.n_values, made.vocabulary.n_values_of_columns
    (torch.Size([2, 2, 1]), 2, (4,))
    >>> made.task.score(made.task.test.y, made.task.test)
    {'accuracy': 1.0}
    """
    words = Vocabulary.of(train, features=features, least=least, tags=tags, known_words=known_words)
    first, second, third = (check_batch(words.batch(part), words.n_tags) for part in (train, valid, test))
    task = Task(name, first, second, third, words.n_tags, (score or tag_score)(words))
    return Tagging(task, words, train, valid, test)


def generated(
    name: str,
    sentence: Callable[[random.Random], Sentence],
    sizes: tuple[int, int, int],
    *,
    seed: int,
    tags: Sequence[str],
    known_words: Iterable[str],
    score: Callable[[Vocabulary], Score],
) -> Tagging:
    """A task of sentences that ``sentence(draw)`` makes, ``sizes`` of them in its parts, each part with its own stream.

    So the same seed gives the same parts, and another size of one leaves the others alone.

    Raises:
        ValueError: the seed is no whole number or below 0, or a part is to have no sentence.

    >>> from ebm_course.tasks.agreement import TAGS, sentence
    >>> one, other = (
    ...     generated("some", sentence, (n, 2, 2), seed=0, tags=TAGS, known_words=(), score=tag_score) for n in (3, 5)
    ... )
    >>> len(one.train), len(other.train), one.test.tokens == other.test.tokens
    (3, 5, True)
    """
    seed = check_count("seed", seed)
    for part, n in zip(("n_train", "n_valid", "n_test"), sizes, strict=True):
        check_count(part, n, least=1)
    streams = [random.Random(3 * seed + k) for k in range(len(sizes))]
    parts = (Sentences.of(sentence(draw) for _ in range(n)) for draw, n in zip(streams, sizes, strict=True))
    return tagging(name, *parts, least=1, tags=tags, known_words=known_words, score=score)


def tag_score(vocabulary: Vocabulary) -> Score:
    """score(states, batch) -> accuracy of tags (N, L) or relaxed tags (N, L, K) over real tokens.

    ``score`` raises ValueError where :func:`check_mask` refuses the mask, where relaxed tags are not of K tags, and
    where a real token's tag is outside the set.
    """
    n_tags = vocabulary.n_tags

    def score(states: Tensor, batch: Batch) -> dict[str, float]:
        gold, mask = gold_of(batch)
        check_mask(mask)
        if states.ndim == 3 and states.shape[2] != n_tags:
            raise ValueError(
                f"relaxed tags have a number for each tag of the set: expected (N, L, {n_tags}), got "
                f"{tuple(states.shape)}. Score what a net of this task says."
            )
        tags = as_tags(states)
        found = {"accuracy": accuracy(tags, gold, mask)}
        for some in (tags, gold):
            check_tokens(some.masked_fill(~mask, 0), n_tags, what="tag")
        return found

    return score


def entity_score(vocabulary: Vocabulary) -> Score:
    """score(states, batch) -> accuracy, precision, recall and F1 of entities, see ``tagging_score.entity_f1``."""
    overall = tag_score(vocabulary)

    def score(states: Tensor, batch: Batch) -> dict[str, float]:
        gold, mask = gold_of(batch)
        found = overall(states, batch)
        return entity_f1(vocabulary.texts(as_tags(states), mask), vocabulary.texts(gold, mask)) | found

    return score


def gold_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Gold tags and mask of a batch, refused where it has none and, on a CPU, where :func:`check_mask` refuses it."""
    if batch.y is None or batch.mask is None:
        raise ValueError("a batch of sentences has tags and a mask: got one without. Make it with Vocabulary.batch.")
    if batch.mask.device.type == "cpu":  # elsewhere asking would wait for the device at every update
        check_mask(batch.mask)
    return batch.y, batch.mask


def check_mask(mask: Tensor) -> Tensor:
    """The mask (N, L), refused unless each row is True from position 0 on and, once False, stays False.

    Raises:
        ValueError: a row is empty, starts with off or has a hole; the message names it.

    >>> check_mask(torch.tensor([[True, False], [False, True]]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: row 1 of the mask starts with off: expected True from position 0 to the sentence's last token. ...
    """
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise ValueError(
            f"a mask is bool (N, L): got {mask.dtype} {tuple(mask.shape)}. Use lengths[:, None] > positions."
        )
    returns = mask[:, 1:] > mask[:, :-1]  # a real token after a pad
    if bool(mask[:, :1].any(dim=1).all()) and not bool(returns.any()):
        return mask
    words = {
        "has no real token": ~mask.any(dim=1),
        "starts with off": mask.any(dim=1) & ~mask[:, :1].all(dim=1),
        "has a hole": returns.any(dim=1),
    }
    for said, rows in words.items():
        if bool(rows.any()):
            row = int(rows.nonzero()[0, 0])
            raise ValueError(
                f"row {row} of the mask {said}: expected True from position 0 to the sentence's last token. "
                f"Pad at the right, and leave empty sentences out."
            )
    return mask


def check_batch(batch: Batch, n_tags: int) -> Batch:
    """The batch of sentences, refused where its mask, its tags or its features are no such thing.

    Raises:
        ValueError: the mask is bad (:func:`check_mask`), or a real token has a tag outside 0 to ``n_tags`` - 1.
        TypeError: features or tags are not int64.

    >>> check_batch(Batch(torch.zeros(1, 1, 1).long(), torch.tensor([[7]]), torch.tensor([[True]])), n_tags=3)
    Traceback (most recent call last):
    ValueError: a tag is outside the set: expected 0 to 2, got 7 to 7. Number tags with one Vocabulary.
    """
    gold, mask = gold_of(batch)
    check_mask(mask)
    if batch.x.dtype != torch.int64 or gold.dtype != torch.int64 or batch.x.ndim != 3:
        raise TypeError(
            f"features (N, L, F) and tags (N, L) are int64: got {batch.x.dtype} {tuple(batch.x.shape)} and "
            f"{gold.dtype}. Make the batch with Vocabulary.batch."
        )
    real = gold[mask]
    if len(real) and (int(real.min()) < 0 or int(real.max()) >= n_tags):
        raise ValueError(
            f"a tag is outside the set: expected 0 to {n_tags - 1}, got {int(real.min())} to {int(real.max())}. "
            f"Number tags with one Vocabulary."
        )
    return batch
