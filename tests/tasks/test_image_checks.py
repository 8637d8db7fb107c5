"""What images and labels may be, each refusal in one sentence."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.tasks.image_checks import check_images, check_labels


def images() -> Tensor:
    return torch.linspace(-1, 1, 48).view(3, 1, 4, 4)


def with_pixel(value: float) -> Tensor:
    x = images()
    x[1, 0, 2, 2] = value
    return x


@pytest.mark.parametrize("x", [images(), images() * 1.0005, images().double(), images()[:0], torch.zeros(2, 1, 4, 4)])
def test_images_in_range_pass_with_a_margin_for_rounding(x: Tensor):
    check_images(x)


@pytest.mark.parametrize(
    "x, words",
    [
        ((images() + 1) / 2, r"got none below 0, from 0 to 1, as of the range \[0, 1\]\. Use 2 \* x - 1"),
        (torch.ones(1, 1, 4, 4) * 0.2, r"got none below 0, from 0\.2 to 0\.2"),
        (with_pixel(1.01), r"images lie in \[-1, 1\]: got values from -1 to 1\.01"),
        (with_pixel(-1.01), r"images lie in \[-1, 1\]: got values from -1\.01 to 1"),
        (with_pixel(torch.nan), "got values from nan to nan"),
        (with_pixel(torch.inf), "got values from -1 to inf"),
        ((images() * 127 + 127).byte(), r"got \(3, 1, 4, 4\) of torch\.uint8\. Use x\.float\(\) / 127\.5 - 1"),
        (images()[:, :0], r"an image has a pixel at least: got \(3, 0, 4, 4\)"),
        (images()[0], r"images are real numbers \(N, C, H, W\).*got \(1, 4, 4\)"),
    ],
)
def test_other_images_are_refused_in_words(x: Tensor, words: str):
    with pytest.raises(ValueError, match=words):
        check_images(x)


def test_labels_from_0_to_k_minus_1_pass():
    check_labels(torch.tensor([0, 3, 2]), 4)
    check_labels(torch.zeros(0).long(), 4)


@pytest.mark.parametrize(
    "y, words",
    [
        (torch.tensor([0, 4]), "a label is out of range: expected 0 to 3, got 0 to 4"),
        (torch.tensor([-1, 1]), "a label is out of range: expected 0 to 3, got -1 to 1"),
        (torch.tensor([0.0, 1.0]), r"labels are int64 \(N,\): got \(2,\) of torch\.float32"),
        (torch.tensor([[0], [1]]), r"labels are int64 \(N,\): got \(2, 1\)"),
    ],
)
def test_other_labels_are_refused_in_words(y: Tensor, words: str):
    with pytest.raises(ValueError, match=words):
        check_labels(y, 4)


@pytest.mark.parametrize("n_classes", ["3", None, 3.5, 0])
def test_a_number_of_classes_is_a_whole_one(n_classes: Any):
    with pytest.raises(ValueError, match="n_classes is a whole number: expected 1 or larger"):
        check_labels(torch.tensor([0, 1]), n_classes)


def test_images_with_a_graph_are_checked_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_images(torch.linspace(-1, 1, 4).view(1, 1, 2, 2).requires_grad_())
