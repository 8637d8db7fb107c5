"""How often a classifier is right, how often under attack. Knows logits and labels, not who attacked with what."""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.metrics.inputs import check_real, labels_of, rows_of_logits


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest logit is that of the label; among equal ones the first counts.

    Args:
        logits: one row for each image (N, K).
        labels: gold classes (N,), int64, 0 .. K - 1.

    Returns:
        0 to 1; 1 / K is chance where classes are alike often.

    Raises:
        ValueError: other shapes, a label out of range, or not finite.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
    0.5
    """
    return _share(_right(rows_of_logits("logits", logits), labels))


def robust_accuracy(clean: Tensor, attacked: Tensor, labels: Tensor) -> float:
    """Share of rows that are right as they are and under every attack: the worst of all attacks for each row.

    How it deceives: it is an upper bound, the robustness against these attacks. One that fails raises it: too few
    steps, a radius on another scale ([-1, 1] is twice as wide as [0, 1]), gradients that vanish. Compare it with an
    independent attack, and see it reach 0 at a large radius.

    Args:
        clean: logits of the images themselves (N, K).
        attacked: logits of the attacked images (N, K), or of A attacks or restarts (A, N, K), A > 0.
        labels: gold classes (N,), int64, 0 .. K - 1.

    Returns:
        0 to the clean accuracy: an attack that happens to repair a wrong row does not count.

    Raises:
        ValueError: other shapes, a label out of range, or not finite.

    >>> labels, clean = torch.tensor([0, 0]), torch.tensor([[2.0, 1.0], [2.0, 1.0]])
    >>> attacks = torch.tensor([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]])  # each fools another row
    >>> robust_accuracy(clean, attacks[0], labels), robust_accuracy(clean, attacks, labels)
    (0.5, 0.0)
    """
    right = _right(rows_of_logits("clean", clean), labels)
    attacks = _same_rows(clean, attacked)
    return _share(right & torch.stack([_right(logits, labels) for logits in attacks]).all(0))


def changed_predictions(clean: Tensor, attacked: Tensor) -> float:
    """Share of rows whose prediction differs from the clean one, under any of the attacks. No label is needed.

    How it deceives: a classifier that answers one class to everything has 0.

    Args:
        clean: logits of the images themselves (N, K).
        attacked: logits of the attacked images (N, K), or of A attacks or restarts (A, N, K), A > 0.

    Returns:
        0 to 1.

    Raises:
        ValueError: other shapes, or not finite.

    >>> changed_predictions(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.0, 5.0]]))
    0.5
    """
    before = rows_of_logits("clean", clean).argmax(1)
    return _share(torch.stack([logits.argmax(1) != before for logits in _same_rows(clean, attacked)]).any(0))


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.argmax(1) == labels_of(logits, labels)


def _same_rows(clean: Tensor, attacked: Tensor) -> list[Tensor]:
    """Logits of each attack (N, K), refused where they are not those of the clean rows."""
    check_real(attacked=attacked)
    attacks = attacked if attacked.ndim == 3 else attacked[None]
    if len(attacks) == 0 or attacks.shape[1:] != clean.shape:
        raise ValueError(
            f"attacked holds logits of the same rows: expected {tuple(clean.shape)} or (A, *{tuple(clean.shape)}) of A "
            f"attacks, got {tuple(attacked.shape)}. Attack the whole set and keep its order."
        )
    return [rows_of_logits("attacked", logits) for logits in attacks]


def _share(rows: Tensor) -> float:
    return int(rows.sum()) / len(rows)
