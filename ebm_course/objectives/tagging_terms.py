r"""What is counted beside energies when tags are learned: cost, local cross-entropy and entropy, each a sum (N,).

.. math:: \Delta(p, y^*) = \sum_t \lVert p_t - y^*_t \rVert_1 = 2 \sum_t (1 - p_t(y^*_t)), \quad
    \mathrm{CE} = -\sum_t \log p_t(y^*_t), \quad H = -\sum_t \sum_j p_t(j) \log p_t(j)

over real tokens, in float32 at least: 16 bits have no digits for the sum of a sentence. It knows tags, distributions
and masks, no energy and no net.
Source: Tu, Pang and Gimpel (2020), Sections 2 and 4.2; the entropy is the repair of nets that saturate without CE.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ebm_course.checks import at_least_single, check_number, check_tokens
from ebm_course.sentence_checks import check_mask


def l1_cost(p: Tensor, gold: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sum over tokens of the L1 distance to the gold tag, (N,): twice the wrong tags, differentiable in p.

    Args:
        p: tags (N, L), int64, where any number but the gold one is a wrong tag; or relaxed tags (N, L, K), rows on
            the simplex.
        gold: tags (N, L), int64.
        mask: (N, L) bool, True from position 0 on; None counts all.

    Raises:
        ValueError: shapes do not belong together, or (on a CPU) a pad stands before a real token.

    >>> gold = torch.tensor([[0, 1]])
    >>> l1_cost(torch.tensor([[[1.0, 0.0], [0.75, 0.25]]]), gold), l1_cost(torch.tensor([[0, 0]]), gold)
    (tensor([1.5000]), tensor([2.]))
    """
    if isinstance(p, Tensor) and not p.is_floating_point():
        _check(p[..., None], gold, mask)
        wrong = at_least_single((p != gold).to(torch.get_default_dtype()))
    else:
        _check(p, gold, mask)
        wrong = 1 - _of_gold(at_least_single(p), gold)
    return 2 * _over_tokens(wrong, mask)


def local_cross_entropy(log_p: Tensor, gold: Tensor, mask: Tensor | None = None) -> Tensor:
    """-sum_t log p_t(gold_t), (N,), nats.

    Args:
        log_p: log-probabilities (N, L, K).
        gold: tags (N, L), int64.
        mask: (N, L) bool, True from position 0 on; None counts all.

    Raises:
        ValueError: shapes do not belong together, or (on a CPU) a pad stands before a real token.

    >>> local_cross_entropy(torch.full((1, 2, 4), 0.25).log(), torch.zeros(1, 2, dtype=torch.int64)).exp()  # 4^2
    tensor([16.])
    """
    _check(log_p, gold, mask)
    return _over_tokens(-_of_gold(log_p, gold), mask)


def local_entropy(log_p: Tensor, mask: Tensor | None = None) -> Tensor:
    """-sum_t sum_j p_t(j) log p_t(j), (N,), nats; a p of 0 adds 0.

    Args:
        log_p: log-probabilities (N, L, K), minus infinity allowed.
        mask: (N, L) bool, True from position 0 on; None counts all.

    Raises:
        ValueError: shapes do not belong together, or (on a CPU) a pad stands before a real token.

    >>> local_entropy(torch.full((1, 2, 4), 0.25).log()).exp()
    tensor([16.])
    """
    _check(log_p, None, mask)
    log_p = at_least_single(log_p)
    safe = log_p.clamp_min(torch.finfo(log_p.dtype).min)
    return _over_tokens(-(safe.exp() * safe).sum(dim=2), mask)


def annealed(weight: float, progress: float, *, until: float = 0.8) -> float:
    """A weight that falls on a line from ``weight`` at progress 0 to 0 at progress ``until``, and stays there.

    Raises:
        ValueError: ``until`` is not above 0, progress is below 0, or one of the three is a NaN or no number, or the
            weight is infinite.

    >>> [annealed(2.0, progress) for progress in (0.0, 0.4, 0.8, 1.0)]
    [2.0, 1.0, 0.0, 0.0]
    """
    weight, progress = check_number("weight", weight), check_number("progress", progress)
    until = check_number("until", until)
    if not (until > 0 and progress >= 0 and math.isfinite(weight)):
        raise ValueError(
            f"a weight is annealed from progress 0 to until > 0: got weight {weight}, progress {progress} and until "
            f"{until}. Pass the share of updates done."
        )
    return weight * max(0.0, 1.0 - progress / until)


def _over_tokens(values: Tensor, mask: Tensor | None) -> Tensor:
    values = at_least_single(values)
    return (values if mask is None else values.masked_fill(~mask, 0.0)).sum(dim=1)


def _of_gold(values: Tensor, gold: Tensor) -> Tensor:
    """What values (N, L, K) hold at the gold tags, (N, L)."""
    try:
        return values.gather(2, gold[..., None])[..., 0]
    except RuntimeError:
        check_tokens(gold, values.shape[2], what="tag")
        raise


def _check(p: Tensor, gold: Tensor | None, mask: Tensor | None) -> None:
    parts: tuple[Any, ...] = (p, gold, mask)  # whatever they are
    fits = all(t is None or isinstance(t, Tensor) for t in parts) and p.ndim == 3 and not p.is_complex()
    fits = fits and (gold is None or (gold.shape == p.shape[:2] and gold.dtype == torch.int64))
    if not fits or (mask is not None and (mask.shape != p.shape[:2] or mask.dtype != torch.bool)):
        given = ", ".join(
            "none" if t is None else f"{t.dtype} {tuple(t.shape)}" if isinstance(t, Tensor) else f"a {type(t).__name__}"
            for t in parts
        )
        raise ValueError(
            f"predictions (N, L, K), gold tags int64 (N, L) and mask bool (N, L) belong together token by token: got "
            f"{given}. Cut all three alike."
        )
    check_mask(mask, tuple(p.shape[:2]))
