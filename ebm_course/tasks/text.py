"""Text classification as a task: a label for a text of tokens.

Batches hold tokens x (N, L) int64, labels y (N,) int64 and a mask (N, L), True at real tokens from position 0 on.
The embedded language stands here; published sets stand in ``text_sets``, file formats in ``text_files``.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ebm_course.core import Batch, Task
from ebm_course.tasks import sentiment_language
from ebm_course.tasks.words import Words


class Tokenizer(Protocol):
    """Texts to numbers and back: ``words.Words`` and ``subwords.Subwords``."""

    def encode(self, texts: Sequence[str], *, max_length: int) -> tuple[Tensor, Tensor]:
        """Tokens (N, L) int64 and mask (N, L) bool."""

    def decode(self, tokens: Tensor, mask: Tensor) -> list[str]:
        """A text a row."""

    def __len__(self) -> int:
        """Size of the vocabulary."""


@dataclass(frozen=True)
class Text(Task):
    """A task whose states are labels (``n_values`` of them), with their names and the tokenizer that numbered texts."""

    classes: tuple[str, ...]
    tokenizer: Tokenizer

    @property
    def n_tokens(self) -> int:
        """Size of the vocabulary."""
        return len(self.tokenizer)

    def texts(self, batch: Batch) -> list[str]:
        """The texts of a batch, as far as its tokens say them."""
        return self.tokenizer.decode(batch.x, mask_of(batch))


def toy(
    *,
    n_train: int = 2000,
    n_valid: int = 500,
    n_test: int = 2000,
    max_length: int = sentiment_language.LONGEST + 2,
    noise: float = 0.0,
    seed: int = 0,
    tokenizer: Tokenizer | None = None,
) -> Text:
    """Opinions of the generated language of ``sentiment_language``, positive or negative; nothing is downloaded.

    Args:
        noise: probability that a label, in any part, is turned; the best accuracy is 1 - noise.
        tokenizer: by default the words of the language.

    Returns:
        The same seed gives the same parts; another number of rows of one leaves the others alone.

    >>> task = toy(n_train=20, n_valid=10, n_test=10)
    >>> task.train.x.shape[0], task.n_values, task.n_tokens, task.classes
    (20, 2, 47, ('negative', 'positive'))
    >>> task.texts(task.train[:1])
    ['the ending was funny although the film was boring']
    """
    numbers = tokenizer or Words(sentiment_language.VOCABULARY)
    parts = []
    for k, n in enumerate((n_train, n_valid, n_test)):
        rows = sentiment_language.labelled(n, random.Random(3 * seed + k), noise=noise)
        parts.append(batch_of(((" ".join(words), label) for words, label in rows), numbers, max_length=max_length))
    return text_task("toy", parts, sentiment_language.CLASSES, numbers)


def text_task(name: str, parts: Sequence[Batch], classes: Sequence[str], tokenizer: Tokenizer) -> Text:
    """Three parts of labelled texts as a task."""
    train, valid, test = parts
    return Text(name, train, valid, test, len(classes), score, tuple(classes), tokenizer)


def batch_of(rows: Iterable[tuple[str, int]], tokenizer: Tokenizer, *, max_length: int) -> Batch:
    """Texts and their labels as one batch.

    Raises:
        ValueError: there are no texts, or one of them is empty.
    """
    texts, labels = [], []
    for text, label in rows:
        texts.append(text)
        labels.append(label)
    x, mask = tokenizer.encode(texts, max_length=max_length)
    return Batch(x, torch.tensor(labels, device="cpu"), mask)


def score(states: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood, in nats, of logits (N, K); of labels (N,) the accuracy alone.

    Raises:
        ValueError: the batch has no labels, or there are not as many rows as in it.

    >>> batch = Batch(torch.zeros(2, 3).long(), torch.tensor([0, 1]), torch.ones(2, 3).bool())
    >>> {name: round(value, 3) for name, value in score(torch.tensor([[2.0, 0.0], [2.0, 0.0]]), batch).items()}
    {'accuracy': 0.5, 'nll': 1.127}
    """
    if batch.y is None or len(states) != len(batch) or states.ndim not in (1, 2):
        raise ValueError(
            f"texts are scored by logits (N, K) or labels (N,) against labels: got {tuple(states.shape)} for "
            f"{len(batch)} texts {'without' if batch.y is None else 'with'} labels. Score a batch with its own states."
        )
    labels = states.argmax(dim=1) if states.ndim == 2 else states
    found = {"accuracy": (labels == batch.y).double().mean().item()}
    return found | ({"nll": cross_entropy(states.double(), batch.y).item()} if states.ndim == 2 else {})


def mask_of(batch: Batch) -> Tensor:
    """The mask (N, L) of a batch of texts; all True where it has none."""
    return torch.ones_like(batch.x, dtype=torch.bool) if batch.mask is None else batch.mask
