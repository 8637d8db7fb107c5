"""What images and their labels may be: real numbers (N, C, H, W) in [-1, 1], and classes (N,) from 0.

Nets and samplers do not look at the range, which would wait for the device at every step; tasks and recipes do, once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import check_count

MARGIN = 1e-3
"""How far a pixel may leave [-1, 1] by rounding."""


def check_images(x: Tensor) -> None:
    """Refuse what are no images (N, C, H, W) of real numbers in [-1, 1] (waits for the device).

    Raises:
        ValueError: another shape or kind, a pixel out of range or not finite, or no pixel below 0, as in images of
            [0, 1].

    >>> check_images(torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2))
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"images are real numbers (N, C, H, W) in [-1, 1]: got {tuple(x.shape)} of {x.dtype}. "
            f"Use x.float() / 127.5 - 1 for bytes, and x[:, None] for one channel."
        )
    if len(x) == 0:
        return
    if x.numel() == 0:
        raise ValueError(f"an image has a pixel at least: got {tuple(x.shape)}. Pass images (N, C, H, W).")
    low, high = float(x.detach().min()), float(x.detach().max())
    if not (low >= -1 - MARGIN and high <= 1 + MARGIN):  # NaN is not
        raise ValueError(
            f"images lie in [-1, 1]: got values from {low:g} to {high:g}. Scale them, as 2 * x - 1 from [0, 1]."
        )
    if low >= 0 and high > 0:
        raise ValueError(
            f"images lie in [-1, 1]: got none below 0, from {low:g} to {high:g}, as of the range [0, 1]. Use 2 * x - 1."
        )


def check_labels(y: Tensor, n_classes: int) -> None:
    """Refuse what are no labels (N,), int64, of 0 .. K - 1, and a K that is no whole number (waits for the device).

    >>> check_labels(torch.tensor([0, 9]), 10)
    """
    check_count("n_classes", n_classes, least=1)
    if y.ndim != 1 or y.dtype != torch.int64:
        raise ValueError(f"labels are int64 (N,): got {tuple(y.shape)} of {y.dtype}. Use y.long().")
    if len(y) and (int(y.min()) < 0 or int(y.max()) >= n_classes):
        raise ValueError(
            f"a label is out of range: expected 0 to {n_classes - 1}, got {int(y.min())} to {int(y.max())}. "
            f"Count classes from 0."
        )
