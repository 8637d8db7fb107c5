"""Text classification as a task: a label for a text of tokens, and how an answer counts.

Batches hold tokens x (N, L) int64, labels y (N,) int64 and a mask (N, L), True at real tokens from position 0 on.
It knows no set of texts: those stand in ``text``.

>>> from ebm_course.tasks.words import Words
>>> tokenizer: Tokenizer = Words(("bad", "film", "good"))
>>> batch = batch_of([("good film", 1), ("bad", 0)], tokenizer, max_length=8)
>>> task: Text = text_task("films", [batch, batch, batch], ("negative", "positive"), tokenizer)
>>> task.texts(task.train), task.train.y.tolist(), task.n_values, task.n_tokens
(['good film', 'bad'], [1, 0], 2, 8)
>>> mask_of(batch).sum(dim=1).tolist(), mask_of(Batch(batch.x)).sum(dim=1).tolist()  # start and end are tokens too
([4, 3], [4, 4])
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ebm_course.checks import check_finite
from ebm_course.core import Batch, Task
from ebm_course.tasks.image_checks import check_labels

AT_ONCE = 4096
"""Texts that are numbered at once."""


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


def text_task(name: str, parts: Sequence[Batch], classes: Sequence[str], tokenizer: Tokenizer) -> Text:
    """Three parts of labelled texts as a task."""
    train, valid, test = parts
    return Text(name, train, valid, test, len(classes), score, tuple(classes), tokenizer)


def batch_of(rows: Iterable[tuple[str, int]], tokenizer: Tokenizer, *, max_length: int) -> Batch:
    """Texts and their labels as one batch; rows are read once, and no more texts are held than are numbered at once.

    Raises:
        ValueError: there are no texts, or one of them is empty.
    """
    waiting, tokens, labels = iter(rows), list[Tensor](), list[int]()
    while some := list(itertools.islice(waiting, AT_ONCE)):
        x, mask = tokenizer.encode([text for text, _ in some], max_length=max_length)
        lengths = mask.sum(dim=1).tolist()
        tokens += [row[:n].clone() for row, n in zip(x, lengths, strict=True)]
        labels += [label for _, label in some]
    if not labels:
        raise ValueError("a batch holds a text at least: got none. Ask for 1 or more, or name files that hold some.")
    return Batch.padded(tokens, list(torch.tensor(labels, device="cpu")))


def score(states: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood, in nats, of logits (N, K); of labels (N,) the accuracy alone.

    Raises:
        ValueError: the batch has no labels or no row, there are not as many rows as in it, or a label is none.
        FloatingPointError: a logit is not finite.

    >>> batch = Batch(torch.zeros(2, 3).long(), torch.tensor([0, 1]), torch.ones(2, 3).bool())
    >>> {name: round(value, 3) for name, value in score(torch.tensor([[2.0, 0.0], [2.0, 0.0]]), batch).items()}
    {'accuracy': 0.5, 'nll': 1.127}
    """
    none = len(states) == 0 or (states.ndim == 1 and states.dtype != torch.int64)
    if batch.y is None or len(states) != len(batch) or states.ndim not in (1, 2) or none:
        raise ValueError(
            f"texts are scored by logits (N, K) or int64 labels (N,), N > 0, against labels: got {tuple(states.shape)} "
            f"of {states.dtype} for {len(batch)} texts {'without' if batch.y is None else 'with'} labels. Score a "
            f"batch with its own states."
        )
    if states.ndim == 2:
        check_labels(batch.y, states.shape[1])
        check_finite("a logit", states, "Look for the net that diverged.")
    labels = states.argmax(dim=1) if states.ndim == 2 else states
    found = {"accuracy": (labels == batch.y).double().mean().item()}
    return found | ({"nll": cross_entropy(states.double(), batch.y).item()} if states.ndim == 2 else {})


def mask_of(batch: Batch) -> Tensor:
    """The mask (N, L) of a batch of texts; all True where it has none."""
    return torch.ones_like(batch.x, dtype=torch.bool) if batch.mask is None else batch.mask
