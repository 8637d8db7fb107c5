"""How well sentences are tagged: accuracy over real tokens, and entity F1 counted as conlleval counts it.

Pads never count. It knows tags alone, as numbers for accuracy and as text for entities.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ebm_course.tasks.tag_schemes import entities


def as_tags(states: Tensor) -> Tensor:
    """Tags (N, L) int64 of tags or of relaxed tags (N, L, K), the largest entry of each row; a NaN is refused.

    >>> import torch
    >>> as_tags(torch.tensor([[[0.2, 0.8], [0.9, 0.1]]])).tolist()
    [[1, 0]]
    """
    if bool(states.isnan().any()):
        raise FloatingPointError("a relaxed tag is a NaN: expected a distribution. Look for the search that diverged.")
    return states.argmax(dim=-1) if states.ndim == 3 else states


def accuracy(states: Tensor, gold: Tensor, mask: Tensor) -> float:
    """Share of real tokens whose tag is the gold one.

    Args:
        states: tags (N, L) int64, or relaxed tags (N, L, K).
        gold: tags (N, L) int64.
        mask: (N, L) bool, True at real tokens.

    Raises:
        TypeError: the mask is no bool: a 2 in it would count as no token.
        ValueError: the shapes differ, or no token is real.

    >>> import torch
    >>> accuracy(torch.tensor([[1, 2], [0, 7]]), torch.tensor([[1, 1], [0, 0]]), torch.tensor([[1, 1], [1, 0]]).bool())
    0.6666666666666666
    """
    tags = as_tags(states)
    if tags.shape != gold.shape or mask.shape != gold.shape:
        raise ValueError(
            f"tags, gold tags and mask have one shape (N, L): got {tuple(tags.shape)}, {tuple(gold.shape)} and "
            f"{tuple(mask.shape)}. Score a batch with its own states."
        )
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask is bool, True at real tokens: got {mask.dtype}. Pass mask.bool() of ones and zeros.")
    n = int(mask.sum())
    if n == 0:
        raise ValueError(
            "accuracy is a share of real tokens, and the mask leaves none: score sentences of one or more."
        )
    return int(((tags == gold) & mask).sum()) / n


def entity_f1(tags: Sequence[Sequence[str]], gold: Sequence[Sequence[str]]) -> dict[str, float]:
    """Precision, recall and F1 of whole entities: right are those whose ends and type both are.

    Args:
        tags: a sequence of tags a sentence, in any scheme of ``tag_schemes``, well formed or not.
        gold: the same number of sentences of the same lengths.

    Returns:
        ``precision``, ``recall`` and ``f1``, each 0 to 1, 0 where it has no entities to count, and ``accuracy`` of
        the tags as they stand, O included.

    Raises:
        ValueError: numbers or lengths of sentences differ, or one is a text and no sequence of tags; the message names
            the first.

    Source: Tjong Kim Sang and De Meulder (2003), conlleval.

    >>> round(entity_f1([["B-A", "I-A", "O", "B-A"]], [["B-A", "I-A", "O", "B-B"]])["f1"], 3)
    0.5
    """
    if len(tags) != len(gold):
        raise ValueError(f"expected tags of {len(gold)} sentences, got {len(tags)}. Score all of a part together.")
    n_found = n_gold = n_right = n_same = n_tokens = 0
    for number, (row, truth) in enumerate(zip(tags, gold, strict=True), start=1):
        if isinstance(row, str) or isinstance(truth, str):
            raise ValueError(f"sentence {number}: expected a sequence of tags, got a text. Pass [tag] for one.")
        if len(row) != len(truth):
            raise ValueError(f"sentence {number}: expected {len(truth)} tags, got {len(row)}. Leave pads out.")
        found, wanted = set(entities(row)), set(entities(truth))
        n_found, n_gold, n_right = n_found + len(found), n_gold + len(wanted), n_right + len(found & wanted)
        n_same, n_tokens = n_same + sum(a == b for a, b in zip(row, truth, strict=True)), n_tokens + len(truth)
    precision, recall = n_right / max(n_found, 1), n_right / max(n_gold, 1)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if n_right else 0.0,
        "accuracy": n_same / max(n_tokens, 1),
    }
