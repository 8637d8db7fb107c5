"""What energies and inference over sentences refuse: masks, scores of chains and encoders that do not fit.

It knows tensors and modules alone: no energy, no sampler, no task.
"""

from __future__ import annotations

import operator
from contextlib import suppress
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn


def check_mask(mask: Tensor | None, shape: tuple[int, ...]) -> None:
    """Refuse a mask of other type or shape, and (on a CPU) one with a pad before a real token or with none at all.

    >>> check_mask(torch.tensor([[False, True]]), (1, 2))
    Traceback (most recent call last):
    ValueError: row 0 of the mask begins with a pad or has one inside: real tokens come first. Pad at the right.
    """
    if mask is None:
        return
    if _is_other(mask, shape):
        raise ValueError(
            f"a mask says which tokens are real: expected bool {shape}, got {_told(mask)}. Use batch.mask."
        )
    if mask.device.type == "cpu" and mask.numel():  # elsewhere asking would wait for the device
        returns = mask[:, 1:] > mask[:, :-1]  # a real token after a pad
        if bool(returns.any()) or not bool(mask[:, 0].all()):
            row = int((~mask[:, 0] | returns.any(dim=1)).long().argmax())
            raise ValueError(
                f"row {row} of the mask begins with a pad or has one inside: real tokens come first. Pad at the right."
            )


def check_moves(mask: Tensor | None, shape: tuple[int, ...]) -> None:
    """Refuse a mask that does not say, position by position, which may move; None: all.

    >>> check_moves(torch.tensor([[True, False, True]]), (1, 3))
    """
    if mask is not None and _is_other(mask, shape):
        raise ValueError(
            f"a mask says which positions may move: expected bool {shape}, got {_told(mask)}. Use batch.mask."
        )


def _is_other(mask: Any, shape: tuple[int, ...]) -> bool:
    return not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != shape


def _told(x: Any) -> str:
    """Type and shape of a tensor, the type of what is none."""
    return f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"


def check_chain(unary: Tensor, transitions: Tensor, mask: Tensor | None) -> None:
    """Refuse scores, transitions and a mask that are not of one chain.

    >>> check_chain(torch.zeros(2, 3, 4), torch.zeros(4, 4), None)
    Traceback (most recent call last):
    ValueError: a chain of 4 tags has transitions (5, 5), start and end included: got (4, 4).
    """
    for name, scores in (("scores", unary), ("transitions", transitions)):
        if not isinstance(scores, Tensor) or scores.is_complex():
            raise TypeError(f"{name} of a chain are a tensor of real numbers: got {_told(scores)}. Pass one.")
    if unary.ndim != 3 or 0 in unary.shape[1:]:
        raise ValueError(f"scores of a chain are (N, L, K), L and K above 0: got {tuple(unary.shape)}.")
    k = unary.shape[2]
    if transitions.shape != (k + 1, k + 1):
        raise ValueError(
            f"a chain of {k} tags has transitions ({k + 1}, {k + 1}), start and end included: "
            f"got {tuple(transitions.shape)}."
        )
    check_mask(mask, tuple(unary.shape[:2]))


def width_of_features(encoder: Any) -> int:
    """``n_features`` of an encoder of sentences, refused where what is given is no module or does not say it.

    >>> width_of_features(nn.Linear(2, 3))
    Traceback (most recent call last):
    ValueError: an encoder is a module with n_features, 1 or more: got Linear with None. Say what it returns a token.
    """
    found: Any = None
    with suppress(AttributeError):
        found = encoder.n_features
    if not isinstance(encoder, nn.Module) or not isinstance(found, SupportsIndex) or operator.index(found) < 1:
        raise ValueError(
            f"an encoder is a module with n_features, 1 or more: got {type(encoder).__name__} with {found!r}. Say what "
            f"it returns a token."
        )
    return operator.index(found)


def check_features(features: Tensor, n_features: int) -> Tensor:
    """Features (N, L, n_features) of the tokens of sentences, refused where an encoder returned something else.

    >>> check_features(torch.zeros(2, 3, 4), 4).shape
    torch.Size([2, 3, 4])
    """
    if not isinstance(features, Tensor) or features.ndim != 3 or features.shape[2] != n_features:
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(
            f"an encoder that says n_features={n_features} returns (N, L, {n_features}): got {got}. Set n_features to "
            f"what it returns."
        )
    return features
