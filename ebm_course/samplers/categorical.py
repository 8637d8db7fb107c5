r"""Draws from softmax(-E) that need no normalising and hide no fault. It knows energies, not what they score.

With T_k independent and exponential, argmin_k (E_k + log T_k) equals k with probability softmax(-E)_k. An infinite
energy has no chance and a NaN shows, where a draw from probabilities would fail on the device.
Source: the race of exponentials; Maddison et al. (2014) tell the history of its other form, with Gumbel noise.
"""

from __future__ import annotations

import torch
from torch import Tensor


def draw_categorical(e: Tensor, *, generator: torch.Generator) -> Tensor:
    """A column of each row of energies, with probability softmax(-E) along the row; a NaN is always taken.

    Args:
        e: energies (N, K), nats; not changed.

    Returns:
        (N,) int64, 0 to K - 1.

    >>> e = torch.tensor([0.0, torch.inf, 0.0]).expand(1000, 3)
    >>> k = draw_categorical(e, generator=torch.Generator().manual_seed(0))
    >>> k.shape, k.unique().tolist()  # an infinite energy has no chance
    (torch.Size([1000]), [0, 2])
    """
    waiting = torch.empty_like(e).exponential_(generator=generator)
    # Some devices return an exact 0 in place of about half the spacing of uniform numbers below it.
    return (e + waiting.clamp_min(torch.finfo(e.dtype).eps / 4).log()).argmin(dim=1)
