r"""Draws from softmax(-E) that need no normalising and hide no fault. It knows energies, not what they score.

With T_k independent and exponential, argmin_k (E_k + log T_k) equals k with probability softmax(-E)_k. An infinite
energy has no chance and a NaN shows, where a draw from probabilities would fail on the device. The race is run in
float32 at least: in a coarser one many would tie, and the first column win.
Source: the race of exponentials; its other form, with Gumbel noise, is that of Maddison et al. (2014).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ebm_course.checks import at_least_single

Streams = torch.Generator | Sequence[torch.Generator]
"""One generator for all rows, or one for each of several equal blocks of rows: a block then draws as it would alone."""


def draw_categorical(e: Tensor, *, generator: Streams) -> Tensor:
    """A column of each row of energies, with probability softmax(-E) along the row; a NaN is always taken.

    Args:
        e: energies (N, K) of any real dtype, nats; not changed. Their level should leave differences their digits.
        generator: one, or one for each of several equal blocks of rows.

    Returns:
        (N,) int64, 0 to K - 1.

    >>> e = torch.tensor([0.0, torch.inf, 0.0]).expand(1000, 3)
    >>> k = draw_categorical(e, generator=torch.Generator().manual_seed(0))
    >>> k.shape, k.unique().tolist()  # an infinite energy has no chance
    (torch.Size([1000]), [0, 2])
    """
    e = at_least_single(e)
    # A CPU computes exponential numbers in double precision; other devices round small ones to multiples of 2^-24.
    precise = e.device.type == "cpu" or e.dtype == torch.float64
    draw = _exponential if precise else exponential_of_two
    waiting = drawn_in_blocks(draw, e, generator)
    return waiting.clamp_min_(torch.finfo(e.dtype).tiny).log_().add_(e).argmin(dim=1)  # 0 would meet infinity


def uniform(e: Tensor, generator: Streams) -> Tensor:
    """Numbers uniform in [0, 1) in the shape, dtype and place of e.

    >>> both = uniform(torch.zeros(4), [torch.Generator().manual_seed(0) for _ in range(2)])
    >>> torch.equal(both[:2], both[2:])  # two blocks, each with a stream of its own
    True
    """

    def draw(rows: Tensor, one: torch.Generator) -> Tensor:
        return torch.rand(rows.shape, generator=one, device=rows.device, dtype=rows.dtype)

    return drawn_in_blocks(draw, e, generator)


def drawn_in_blocks(draw: Callable[[Tensor, torch.Generator], Tensor], e: Tensor, generator: Streams) -> Tensor:
    """``draw(e, generator)``, or of several generators that of each for its block of rows.

    >>> both = drawn_in_blocks(_exponential, torch.zeros(4, 2), [torch.Generator().manual_seed(0) for _ in range(2)])
    >>> torch.equal(both[:2], both[2:])
    True
    """
    if isinstance(generator, torch.Generator):
        return draw(e, generator)
    blocks = zip(e.chunk(len(generator)), generator, strict=True) if len(e) else ()
    return torch.cat([draw(rows, one) for rows, one in blocks]) if len(e) else e.clone()


def _exponential(e: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(e).exponential_(generator=generator)


def exponential_of_two(e: Tensor, generator: torch.Generator) -> Tensor:
    """-log(1 - u) with u = (k + v) / 2^24, k of 24 random bits and v uniform: small u have full precision in float32.

    >>> exponential_of_two(torch.zeros(2, 3), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3])
    """
    k = torch.randint(2**24, e.shape, generator=generator, device=e.device, dtype=torch.float32)
    v = torch.rand(e.shape, generator=generator, device=e.device, dtype=torch.float32)
    return -torch.log1p(-((k + v) / 2**24).clamp_max(1 - 2**-24))
