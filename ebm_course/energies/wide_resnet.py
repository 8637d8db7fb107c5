"""A wide residual network: images to logits, of any depth and width, with or without normalisation.

Without normalisation the second convolution of every block starts smaller, divided by the square root of the number of
blocks: the mean square of what passes grows e-fold at most, however deep the net is. As an energy it is wrapped in
``joint.Joint``. It knows no data and no sampler.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ebm_course.energies.image_layers import Norm, Shape, check_image_net, check_shape, normalization, start


class ResidualBlock(nn.Module):
    """x + F(x), with normalisation and activation in front of both 3 x 3 convolutions of F.

    Where channels change, x passes the first activation and a 1 x 1 convolution instead of being added as it is.

    >>> ResidualBlock(16, 32, stride=2, slope=0.2, norm=None, dropout=0)(torch.zeros(2, 16, 8, 8)).shape
    torch.Size([2, 32, 4, 4])
    """

    def __init__(self, n_in: int, n_out: int, *, stride: int, slope: float, norm: Norm, dropout: float):
        super().__init__()
        bias = norm is None
        self.before = nn.Sequential(normalization(norm, n_in), nn.LeakyReLU(slope))
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=bias)
        self.between = nn.Sequential(normalization(norm, n_out), nn.LeakyReLU(slope), nn.Dropout(dropout))
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=bias)
        changes = n_in != n_out or stride != 1
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride=stride, bias=bias) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.before(x)
        skipped = x if self.shortcut is None else self.shortcut(h)
        out: Tensor = skipped + self.conv2(self.between(self.conv1(h)))
        return out


class WideResNet(nn.Module):
    """Logits (N, K) of images (N, C, H, W), nominally in [-1, 1]; the range is not checked, for samplers leave it.

    Args:
        shape: C, H, W of an image.
        n_classes: number K of logits.
        depth: layers, 6 n + 4 with n blocks in each of three stages; the second and third halve the image.
        widen: the stages have 16, 32 and 64 times as many channels.
        slope: of the LeakyReLU below zero; 0 is a ReLU.
        norm: None, ``"batch"`` or ``"group"`` (see ``image_layers.normalization``). Convolutions have biases without.
        dropout: probability between the two convolutions of a block.

    Raises:
        ValueError: another depth or width, or images of another shape or type than the weights.

    Source: Zagoruyko and Komodakis (2016), Table 1 and Figure 1 (c, d). Departures: LeakyReLU as in Yang and Ji (2021);
    the start of the weights without normalisation, as said above.

    >>> net, x = WideResNet((3, 16, 16), 10, depth=10, widen=1), torch.zeros(5, 3, 16, 16)
    >>> net(x).shape, net.features(x).shape, net.first_layer(x).shape
    (torch.Size([5, 10]), torch.Size([5, 64]), torch.Size([5, 16, 16, 16]))
    """

    def __init__(
        self,
        shape: Shape,
        n_classes: int,
        *,
        depth: int = 28,
        widen: int = 10,
        slope: float = 0.2,
        norm: Norm = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_image_net(shape, n_classes, widen, slope=slope)
        if isinstance(depth, float) or depth < 10 or (depth - 4) % 6:
            raise ValueError(f"a wide residual network has a depth of 6 n + 4, as 10, 16, 22 or 28: got {depth}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is a probability of 0 or larger, below 1: got {dropout}.")
        self.shape, self.n_classes = shape, n_classes
        n_blocks, widths = (depth - 4) // 6, (16, 16 * widen, 32 * widen, 64 * widen)
        self.first = nn.Conv2d(shape[0], 16, 3, padding=1, bias=norm is None)
        blocks = []
        for stage in range(3):
            for k in range(n_blocks):
                n_in, n_out = widths[stage] if k == 0 else widths[stage + 1], widths[stage + 1]
                stride = 2 if stage > 0 and k == 0 else 1
                blocks.append(ResidualBlock(n_in, n_out, stride=stride, slope=slope, norm=norm, dropout=dropout))
        self.blocks = nn.Sequential(*blocks)
        self.after = nn.Sequential(normalization(norm, widths[3]), nn.LeakyReLU(slope))
        self.to_logits = nn.Linear(widths[3], n_classes)
        start(self, slope)
        if norm is None:
            with torch.no_grad():
                for block in blocks:
                    block.conv2.weight.div_(math.sqrt(len(blocks)))

    def first_layer(self, x: Tensor) -> Tensor:
        check_shape(x, self.shape, self.first.weight.dtype)
        h: Tensor = self.first(x)
        return h

    def from_first_layer(self, h: Tensor) -> Tensor:
        logits: Tensor = self.to_logits(self._pooled(h))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Means over positions of the last activations (N, 64 widen)."""
        return self._pooled(self.first_layer(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.from_first_layer(self.first_layer(x))

    def _pooled(self, h: Tensor) -> Tensor:
        pooled: Tensor = self.after(self.blocks(h)).mean(dim=(2, 3))
        return pooled
