"""Shifts, mirror images and noise, drawn anew for every image: the same picture to us, another to a net.

All rows at once by index arithmetic, without a padded copy. It knows images alone: no labels, no net.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_generator, check_number


def augment(
    x: Tensor, *, pad: int = 4, flip: bool = False, noise_std: float = 0.03, generator: torch.Generator
) -> Tensor:
    """Each image shifted by up to ``pad`` pixels, mirrored with probability 1/2 where asked for, with Gaussian noise.

    Args:
        x: images (N, C, H, W), nominally in [-1, 1]; not changed.
        pad: largest shift along both axes, less than H and W; the edge is mirrored into what opens (a crop of the
            reflected image). 4 suits 32 pixels, 1 suits 8.
        flip: whether left and right may change places: for photographs, not for digits.
        noise_std: of the noise, in units of x. It is not clamped: a few pixels in a hundred may leave [-1, 1].

    Returns:
        Images like x, without a graph.

    Raises:
        ValueError: x are no images, or the shift or the noise is out of range.

    Source: as JEM and JEM++ train on CIFAR-10 (Grathwohl et al., 2020; Yang and Ji, 2021).

    >>> x, g = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4), torch.Generator().manual_seed(0)
    >>> augment(x, pad=1, flip=True, noise_std=0, generator=g)[0, 0, 0]  # a row of pixels, mirrored and shifted
    tensor([2., 3., 2., 1.])
    """
    check_generator(generator, x)
    check_count("pad", pad)
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(f"images are real numbers (N, C, H, W): got {tuple(x.shape)} of {x.dtype}.")
    if pad >= min(x.shape[2:]):
        raise ValueError(f"a shift stays below H and W, here {tuple(x.shape[2:])}: got pad={pad}. Pass a smaller one.")
    noise_std = check_number("noise_std", noise_std)
    if not 0 <= noise_std < float("inf"):
        raise ValueError(f"noise_std is 0 or larger and finite: got {noise_std}. Pass 0 for none.")
    (n, c, h, w), device = x.shape, x.device
    out = x.detach()
    if pad or flip:
        shift = torch.randint(-pad, pad + 1, (2, n, 1), generator=generator, device=device)
        rows, columns = (
            _mirrored(torch.arange(size, device=device) + s, size) for size, s in zip((h, w), shift, strict=True)
        )
        if flip:
            mirrored = torch.randint(2, (n, 1), generator=generator, device=device).bool()
            columns = torch.where(mirrored, w - 1 - columns, columns)
        out = out.gather(2, rows[:, None, :, None].expand(n, c, h, w))
        out = out.gather(3, columns[:, None, None, :].expand(n, c, h, w))
    if noise_std:
        out = out + noise_std * torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype)
    return out if pad or flip or noise_std else out.clone()


def _mirrored(index: Tensor, size: int) -> Tensor:
    """Positions from -size + 1 to 2 size - 2, those outside 0 .. size - 1 mirrored at the edge pixel."""
    return size - 1 - (size - 1 - index.abs()).abs()
