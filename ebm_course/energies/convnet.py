"""A small convolutional net: images to logits, and to the features on which these are linear.

Three convolutions of 3 x 3 pixels, two of which halve the image, then a hidden layer and the logits. LeakyReLU and no
normalisation, so that rows never mix. As an energy it is wrapped in ``joint.Joint``. It knows no data and no sampler.
"""

from __future__ import annotations

from torch import Tensor, nn

from ebm_course.energies.image_layers import Norm, Shape, check_image_net, check_shape, normalization, start


class ConvNet(nn.Module):
    """Logits (N, K) of images (N, C, H, W), nominally in [-1, 1]; the range is not checked, for samplers leave it.

    Args:
        shape: C, H, W of an image.
        n_classes: number K of logits.
        width: channels of the first convolution; the next have twice and four times as many.
        slope: of the LeakyReLU below zero.
        norm: None, ``"batch"`` or ``"group"`` (see ``image_layers.normalization``), after each convolution.
        n_features: units of the hidden layer.

    Raises:
        ValueError: sizes are no whole numbers of 1 or more, or images have another shape or type than the weights.

    Source: none; a net that trains in seconds on a CPU. LeakyReLU(0.2) as in Yang and Ji (2021).

    >>> import torch
    >>> net, x = ConvNet((1, 8, 8), 10, width=8), torch.zeros(5, 1, 8, 8)
    >>> net(x).shape, net.features(x).shape, net.first_layer(x).shape
    (torch.Size([5, 10]), torch.Size([5, 64]), torch.Size([5, 8, 8, 8]))
    """

    def __init__(
        self,
        shape: Shape,
        n_classes: int,
        *,
        width: int = 32,
        slope: float = 0.2,
        norm: Norm = None,
        n_features: int = 64,
    ):
        super().__init__()
        check_image_net(shape, n_classes, width, n_features, slope=slope)
        self.shape, self.n_classes = shape, n_classes
        n_channels, height, breadth = shape
        self.first = nn.Conv2d(n_channels, width, 3, padding=1)
        layers: list[nn.Module] = [normalization(norm, width), nn.LeakyReLU(slope)]
        for n in (width, 2 * width):
            layers += [nn.Conv2d(n, 2 * n, 3, stride=2, padding=1), normalization(norm, 2 * n), nn.LeakyReLU(slope)]
        n_flat = 4 * width * -(-height // 4) * -(-breadth // 4)  # halved twice, rounded up
        layers.insert(-1, nn.Flatten())  # before the last activation, whose gradient then meets one layout, not two
        self.hidden = nn.Sequential(*layers, nn.Linear(n_flat, n_features), nn.LeakyReLU(slope))
        self.to_logits = nn.Linear(n_features, n_classes)
        start(self, slope)

    def first_layer(self, x: Tensor) -> Tensor:
        check_shape(x, self.shape, self.first.weight.dtype)
        h: Tensor = self.first(x)
        return h

    def from_first_layer(self, h: Tensor) -> Tensor:
        logits: Tensor = self.to_logits(self.hidden(h))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Outputs of the hidden layer (N, n_features)."""
        features: Tensor = self.hidden(self.first_layer(x))
        return features

    def forward(self, x: Tensor) -> Tensor:
        return self.from_first_layer(self.first_layer(x))
