"""What nets of images share: the layer that normalises, the start of the weights, and the refusal of another shape.

Such a net splits at its first convolution, which is affine (``core.SplitsFirstLayer``). It knows no data, no sampler.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, Literal

import torch
from torch import Tensor, nn

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""

Norm = Literal["batch", "group"] | None
"""What is normalised, if anything: each channel over the batch, or groups of channels in every image apart."""

N_GROUPS = 8


def normalization(norm: Norm, n_channels: int) -> nn.Module:
    """The layer of this name for ``n_channels``; one that does nothing for None.

    Batch norm lets rows see one another while training. Samplers work in eval mode (``core.frozen``), so that there it
    uses running statistics of whatever passed in train mode: of the mixture, where images and samples pass together.

    Raises:
        ValueError: another name, or groups that do not divide the channels.

    >>> normalization(None, 16), normalization("group", 16).num_groups
    (Identity(), 8)
    """
    if norm not in (None, "batch", "group"):
        raise ValueError(f"norm is None, 'batch' or 'group': got {norm!r}. Leave it out for a net without.")
    if norm is None:
        return nn.Identity()
    if norm == "batch":
        return nn.BatchNorm2d(n_channels)
    if n_channels % N_GROUPS:
        raise ValueError(f"group norm has {N_GROUPS} groups: got {n_channels} channels, expected a multiple of it.")
    return nn.GroupNorm(N_GROUPS, n_channels)


def start(net: nn.Module, slope: float) -> None:
    """Draw the weights so that a LeakyReLU between two layers keeps the mean square; biases are zero. Changes ``net``.

    Source: He et al. (2015), Eq. 15.

    >>> net, x = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(400, 400)), torch.randn(100, 400)
    >>> start(net, slope=0.2)
    >>> 0.5 < float(net(x).detach().square().mean()) < 2
    True
    """
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=slope, nonlinearity="leaky_relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def check_image_net(shape: Any, n_classes: int, *widths: int, slope: float) -> None:
    """Refuse sizes of which no net can be made, and slopes with which it would not be finite.

    >>> check_image_net((1, 8, 8), 10, 32, slope=0.2)
    """
    sizes: tuple[Any, ...] = (
        (*shape, n_classes, *widths) if isinstance(shape, tuple | list) and len(shape) == 3 else (0,)
    )
    if any(isinstance(size, bool) or not isinstance(size, Integral) or size < 1 for size in sizes):
        raise ValueError(
            f"a net of images needs a shape (C, H, W), classes and widths, whole numbers of 1 or more each: "
            f"got {shape}, {n_classes} and {', '.join(map(str, widths))}."
        )
    given: Any = slope
    if not isinstance(given, Real) or not math.isfinite(given):
        raise ValueError(
            f"slope is that of a LeakyReLU below 0, a finite number: got {slope}. Pass 0.2, or 0 for ReLU."
        )


def check_shape(x: Tensor, shape: Shape, dtype: torch.dtype) -> None:
    """Refuse what are no images (N, C, H, W) of this shape and of the weights' type, unless autocast brings them to it.

    Their range is not looked at, which would be slow.

    >>> check_shape(torch.zeros(5, 1, 8, 8), (1, 8, 8), torch.float32)
    """
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(shape) or not x.is_floating_point():
        raise ValueError(
            f"this net reads real-valued images (N, {', '.join(map(str, shape))}): got {tuple(x.shape)} of {x.dtype}. "
            f"Build it with the shape of the images, images.shape_of(task)."
        )
    if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(
            f"this net reads images of {dtype}, as its weights are: got {x.dtype}. "
            f"Use x.to({dtype}), or net.to({x.dtype})."
        )
