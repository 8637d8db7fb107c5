"""Augmentation: crops of the reflected image, mirror images, noise; each image by a draw of its own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.tasks.augmentation import augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int, c: int = 2, h: int = 6, w: int = 5) -> Tensor:
    return torch.rand(n, c, h, w, generator=generator(9)) * 2 - 1


@pytest.mark.parametrize("flip", [False, True])
def test_every_row_is_a_crop_of_its_reflected_image_and_all_crops_are_equally_likely(flip: bool):
    x, pad, n = images(1, w=7), 2, 10_000
    out = augment(x.expand(n, 2, 6, 7), pad=pad, flip=flip, noise_std=0, generator=generator())
    padded = F.pad(x, (pad,) * 4, mode="reflect")
    crops = [padded[:, :, i : i + 6, j : j + 7] for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
    crops += [crop.flip(3) for crop in crops] if flip else []
    counts = torch.stack([(out == crop).flatten(1).all(dim=1).sum() for crop in crops])
    assert counts.sum() == n
    p = 1 / len(crops)
    assert (counts / n - p).abs().max() < 5 * math.sqrt(p * (1 - p) / n)  # five standard errors


def test_channels_move_together_and_rows_apart():
    x = images(1, c=1).expand(200, 3, 6, 5)
    out = augment(x, pad=2, flip=True, noise_std=0, generator=generator())
    assert torch.equal(out[:, :1].expand_as(out), out)
    assert len(torch.unique(out[:, 0].flatten(1), dim=0)) > 30


def test_the_noise_has_the_standard_deviation_that_was_asked_for():
    x = torch.zeros(200, 3, 8, 8)
    noise = augment(x, pad=0, noise_std=0.03, generator=generator())
    n = noise.numel()
    assert abs(noise.mean()) < 5 * 0.03 / math.sqrt(n)  # five standard errors
    assert abs(noise.std() - 0.03) < 5 * 0.03 / math.sqrt(2 * n)


def test_nothing_asked_for_is_an_equal_copy_and_the_images_are_not_changed():
    x = images(4)
    before = x.clone()
    same = augment(x, pad=0, noise_std=0, generator=generator())
    assert torch.equal(same, x) and same.data_ptr() != x.data_ptr()
    augment(x, pad=2, flip=True, generator=generator())
    assert torch.equal(x, before)


def test_the_same_generator_gives_the_same_images_in_any_precision_and_memory_format():
    x = images(8).double()
    out = augment(x, pad=2, flip=True, generator=generator(3))
    assert torch.equal(out, augment(x, pad=2, flip=True, generator=generator(3))) and out.dtype == torch.float64
    assert torch.equal(augment(x.to(memory_format=torch.channels_last), pad=2, flip=True, generator=generator(3)), out)
    assert augment(x[:0], generator=generator()).shape == (0, 2, 6, 5)


@pytest.mark.parametrize(
    "x, options, words",
    [
        (images(2), {"pad": 5}, r"a shift stays below H and W, here \(6, 5\): got pad=5"),
        (images(2), {"pad": -1}, "pad is a whole number: expected 0 or larger, got -1"),
        (images(2), {"noise_std": -0.1}, r"noise_std is 0 or larger and finite: got -0\.1"),
        (images(2), {"noise_std": math.nan}, "noise_std is 0 or larger and finite: got nan"),
        (images(2), {"noise_std": "a"}, "noise_std is a number: expected a real one, got 'a'"),
        (images(2), {"noise_std": torch.ones(2)}, "noise_std is a number: expected a real one, got tensor"),
        (images(2)[0], {"pad": 1}, r"images are real numbers \(N, C, H, W\): got \(2, 6, 5\)"),
        (images(2).byte(), {"pad": 1}, r"images are real numbers .* of torch\.uint8"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(x: Tensor, options: dict, words: str):
    with pytest.raises(ValueError, match=words):
        augment(x, **options, generator=generator())
