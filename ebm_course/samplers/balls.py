"""Euclidean balls round states: lengths, directions, and points drawn uniformly. It knows tensors alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import vector_norm


def length(x: Tensor) -> Tensor:
    """Euclidean norms (N, 1, ...) of states (N, *S), never 0.

    >>> length(torch.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """
    norm = vector_norm(x.flatten(1), dim=1).clamp_min(torch.finfo(x.dtype).tiny)
    return norm.view(-1, *[1] * (x.ndim - 1))


def unit(x: Tensor) -> Tensor:
    """x (N, *S) over its Euclidean norm, 0 where that is 0; also where squares of entries would over- or underflow.

    >>> unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    if x.numel() == 0:
        return x
    largest = x.flatten(1).abs().amax(dim=1).clamp_min(torch.finfo(x.dtype).tiny)
    x = x / largest.view(-1, *[1] * (x.ndim - 1))
    return x / length(x)


def signs(x: Tensor) -> Tensor:
    """-1, 0 or 1 entry by entry, and NaN where x is NaN, of which ``torch.sign`` makes 0.

    What is below the smallest normal number of float32 or float64 becomes a part of 1.

    >>> signs(torch.tensor([-3.0, 0.0, 1e-30, torch.inf, torch.nan]))
    tensor([-1.,  0.,  1.,  1., nan])
    """
    least = 2.0**-24 if x.dtype is torch.float16 else torch.finfo(x.dtype).tiny  # float16 has few normal numbers
    return x.clamp(-least, least).mul_(1 / least)


def in_unit_ball(x: Tensor, *, mask: Tensor | None = None, generator: torch.Generator) -> Tensor:
    """Points like x (N, *S) uniform in the unit ball.

    Of D + 2 coordinates on a sphere any D are (Voelker et al., 2017).

    Args:
        mask: bool with x's shape; elsewhere the points are 0, and the ball has as many dimensions as it has entries.

    >>> in_unit_ball(torch.zeros(3, 2, 2), generator=torch.Generator().manual_seed(0)).flatten(1).norm(dim=1).max() < 1
    tensor(True)
    """
    n, d = x.flatten(1).shape
    sphere = torch.randn(n, d + 2, generator=generator, device=x.device, dtype=x.dtype)
    if mask is not None:
        sphere[:, :d] *= mask.flatten(1)
    return (sphere / length(sphere))[:, :d].reshape(x.shape)
