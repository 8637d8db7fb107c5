r"""What is measured of one text classifier: accuracy, accuracy and displacement under attack, and its representations.

The attack moves the word embeddings of a text by at most :math:`\epsilon` in one L2 norm a text (Table 5 of the paper).
Its sentence vector :math:`R` then becomes :math:`R^{adv}`; Table 4 has the cosine of the two and their distance. Both
can be had for nothing by a net whose sentence vectors are all alike, so that the mean cosine of *different* texts, of
one label and of two, stands beside them.

>>> from ebm_course.energies.text_classifier import TextClassifier
>>> mask = torch.arange(6) < torch.tensor([6, 2, 4])[:, None]
>>> rows = ordered(Batch(mask.long(), torch.tensor([0, 1, 0]), mask))
>>> rows.lengths.tolist(), [part.x.shape[1] for part in parts(rows, size=2)]
([2, 4, 6], [4, 6])
>>> net = TextClassifier(12, 2, width=4, n_layers=1, n_heads=2, max_length=6).eval()
>>> sentences, logits = represented(net, rows)
>>> sentences.shape, logits.shape
(torch.Size([3, 4]), torch.Size([3, 2]))
>>> attack, generator = Attack(n_steps=2, relative_step=0.5), torch.Generator().manual_seed(0)
>>> moved = attacked_embeddings(net, rows, 0.1, attack, generator) - net.embed(rows.x)
>>> bool((moved.flatten(1).norm(dim=1) < 0.1001).all())  # one norm for all words of a text
True
>>> found: Attacked = attacked(net, rows, 0.0, attack, generator)  # no attack, nothing moves
>>> round(summary(found)["cosine"], 3), summary(found)["pgd"] == classified(logits, rows)["accuracy"]
(1.0, True)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize, one_hot

from ebm_course.core import Batch, frozen
from ebm_course.recipes.text.parts import labels, log_likelihood
from ebm_course.samplers.pgd_embeddings import pgd_embeddings
from ebm_course.tasks.text import mask_of
from ebm_course.training.length_batches import trimmed

AT_ONCE = 256


class Attack(NamedTuple):
    """k-PGD: how many steps, and the length of one as a share of the radius."""

    n_steps: int
    relative_step: float


class Attacked(NamedTuple):
    """What became of texts under attack, in the order of the rows."""

    right: Tensor  # (N,) bool
    cosine: Tensor  # (N,) of the sentence vector with its own before the attack
    euclidean: Tensor  # (N,)


def ordered(rows: Batch) -> Batch:
    """Rows by their lengths, so that whoever takes them part by part meets few pads."""
    return rows[rows.lengths.argsort(stable=True)]


def parts(rows: Batch, size: int = AT_ONCE) -> Iterator[Batch]:
    """The rows in their order, some at once, each part as long as its longest row."""
    for start in range(0, len(rows), size):
        yield trimmed(rows[start : start + size])


@torch.no_grad()
def represented(net: Any, rows: Batch) -> tuple[Tensor, Tensor]:
    """Sentence vectors (N, H) and logits (N, K) of the rows."""
    with frozen(net):
        found = [net.logits_and_states(net.embed(part.x), part.mask) for part in parts(rows)]
    return torch.cat([sentence for _, _, sentence in found]), torch.cat([logits for logits, _, _ in found])


def classified(logits: Tensor, rows: Batch) -> dict[str, float]:
    """Accuracy, and the mean probability of the label that the net decides for.

    >>> found = classified(torch.tensor([[0.0, 0.0], [0.0, 9.0]]), Batch(torch.ones(2, 1), torch.tensor([0, 0])))
    >>> found["accuracy"], round(found["confidence"], 3)
    (0.5, 0.75)
    """
    right = (logits.argmax(dim=1) == labels(rows)).double().mean()
    return {"accuracy": float(right), "confidence": float(logits.softmax(dim=1).amax(dim=1).double().mean())}


def attacked_embeddings(net: Any, part: Batch, radius: float, attack: Attack, generator: torch.Generator) -> Tensor:
    """Embeddings (N, L, D) of a part after k-PGD, whose last state counts; with radius 0 those of its words.

    Source: Qiu, Zhang and Zhou, Section 4.5. Departure: steps and step size, which they leave unsaid, are the caller's.
    """
    with torch.no_grad():
        embedded = net.embed(part.x)
    if radius == 0:
        return embedded
    return pgd_embeddings(
        log_likelihood(net, labels(part), mask_of(part)),
        embedded,
        mask=mask_of(part),
        radius=radius,
        n_steps=attack.n_steps,
        step_size=attack.relative_step * radius,
        generator=generator,
    ).x


def attacked(net: Any, rows: Batch, radius: float, attack: Attack, generator: torch.Generator) -> Attacked:
    """What the attack makes of every row."""
    found = []
    with frozen(net):
        for part in parts(rows):
            moved = attacked_embeddings(net, part, radius, attack, generator)
            with torch.no_grad():
                before = net.logits_and_states(net.embed(part.x), part.mask)[2]
                logits, _, after = net.logits_and_states(moved, part.mask)
            right, distance = logits.argmax(dim=1) == labels(part), (after - before).norm(dim=1)
            found.append(Attacked(right, cosine_similarity(before, after), distance))
    return Attacked(*(torch.cat(columns) for columns in zip(*found, strict=True)))


def summary(found: Attacked) -> dict[str, float]:
    """The mean over texts of each."""
    return {
        "pgd": float(found.right.double().mean()),
        "cosine": float(found.cosine.double().mean()),
        "euclidean": float(found.euclidean.double().mean()),
    }


def pair_cosines(sentences: Tensor, y: Tensor) -> dict[str, float]:
    r"""The mean cosine of two different texts, of one label and of two labels, over all pairs at once.

    With unit vectors :math:`z_n`, their sums :math:`s_c` and counts :math:`n_c` over label c, pairs of one label have
    the mean :math:`\sum_c (\|s_c\|^2 - n_c) / \sum_c n_c (n_c - 1)`; all pairs likewise, and the rest is of two labels.

    Args:
        sentences: (N, H), none of them 0; two or more of some label.
        y: their labels (N,), two different ones or more.

    >>> pair_cosines(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 0, 1]))
    {'same-label': 1.0, 'other-label': 0.0}
    """
    z, of = normalize(sentences.double(), dim=1), one_hot(y).double()
    sums, counts, n = of.T @ z, of.sum(dim=0), len(z)
    same, same_pairs = float(sums.square().sum()) - n, float((counts * (counts - 1)).sum())
    every, every_pairs = float(z.sum(dim=0).square().sum()) - n, float(n * (n - 1))
    return {"same-label": same / same_pairs, "other-label": (every - same) / (every_pairs - same_pairs)}


@torch.no_grad()
def embedding_norms(net: Any, rows: Batch) -> dict[str, float]:
    """The mean L2 norm of a word's embedding and of a text's: what a radius has to be compared with.

    >>> from ebm_course.energies.text_classifier import TextClassifier
    >>> net = TextClassifier(12, 2, width=4, n_layers=1, n_heads=2, max_length=9)
    >>> _ = net.word_embedding.weight.data.fill_(0.5)
    >>> x = torch.ones(2, 9, dtype=torch.int64)
    >>> embedding_norms(net, Batch(x, torch.tensor([0, 1]), x > 0))  # of 4 numbers, and of 9 words
    {'word-norm': 1.0, 'text-norm': 3.0}
    """
    of_words, of_texts, n_words = 0.0, 0.0, 0
    with frozen(net):
        for part in parts(rows):
            squares = net.embed(part.x).double().square().sum(dim=2) * mask_of(part)
            of_words += float(squares.sqrt().sum())
            of_texts += float(squares.sum(dim=1).sqrt().sum())
            n_words += int(mask_of(part).sum())
    return {"word-norm": of_words / n_words, "text-norm": of_texts / len(rows)}
