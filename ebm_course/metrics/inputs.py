"""What metrics of images and classifiers refuse, in one sentence each, and what they count with: float64.

It knows tensors alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebm_course.checks import in_double


def check_real(**values: object) -> None:
    """Refuse what is no tensor of real numbers, by the name of the argument: half of a complex one would be lost.

    >>> check_real(labels=[0, 1])
    Traceback (most recent call last):
    TypeError: labels: expected a tensor of real numbers, got a list. Pass torch.as_tensor(labels).
    """
    for name, x in values.items():
        if not isinstance(x, Tensor):
            got = f"a {type(x).__name__}. Pass torch.as_tensor({name})"
            raise TypeError(f"{name}: expected a tensor of real numbers, got {got}.")
        if x.is_complex():
            raise TypeError(f"{name}: expected a tensor of real numbers, got {x.dtype}. Pass {name}.real, or .abs().")


def vectors(name: str, x: Tensor, *, least: int) -> Tensor:
    """Rows (N, *S) as finite vectors (N, D) in float64, refused where there are fewer than ``least`` of them.

    >>> vectors("images", torch.zeros(2, 1, 8, 8), least=2).shape
    torch.Size([2, 64])
    """
    check_real(**{name: x})
    if x.ndim < 2 or len(x) < least or x[0].numel() == 0:
        raise ValueError(
            f"{name} has one row for each image, {least} rows or more: got shape {tuple(x.shape)}. "
            f"Pass images (N, C, H, W) or features (N, D)."
        )
    return finite(name, x).flatten(1)


def rows_of_logits(name: str, logits: Tensor) -> Tensor:
    """Logits (N, K), N > 0, K > 1, in float64; refused where one is not finite.

    >>> rows_of_logits("logits", torch.zeros(2, 3)).dtype
    torch.float64
    """
    check_real(**{name: logits})
    if logits.ndim != 2 or len(logits) == 0 or logits.shape[1] < 2:
        raise ValueError(
            f"{name} has shape (N, K), a row for each image and a column for each of K > 1 classes: got "
            f"{tuple(logits.shape)}. Pass what the classifier returns for the whole set."
        )
    return finite(name, logits)


def labels_of(rows: Tensor, labels: Tensor) -> Tensor:
    """Labels (N,) on the device of the rows (N, K) they belong to, refused where they are not 0 .. K - 1.

    >>> labels_of(torch.zeros(2, 3), torch.tensor([0, 2]))
    tensor([0, 2])
    """
    n, k = rows.shape
    check_real(labels=labels)
    if labels.dtype != torch.int64 or labels.shape != (n,):
        raise ValueError(
            f"labels are int64 with one for each of the {n} rows: got {labels.dtype} of shape {tuple(labels.shape)}. "
            f"Pass batch.y."
        )
    if int(labels.min()) < 0 or int(labels.max()) >= k:
        raise ValueError(
            f"a label names a column: expected 0 to {k - 1}, got {int(labels.min())} to {int(labels.max())}. "
            f"Count classes from 0, and as many as the classifier knows."
        )
    return labels.to(rows.device)


def power_of_two(*sets: Tensor) -> float:
    """The largest power of 2 that is no larger than the largest entry; over it, squares are numbers. 0.5 for zeros.

    To divide by it is exact, so that ratios keep all their digits.

    >>> power_of_two(torch.tensor([1.0, -5.0]), torch.tensor([3.0]))
    4.0
    """
    largest = max(float(x.abs().max()) for x in sets)
    return math.ldexp(1.0, math.frexp(largest)[1] - 1)


def finite(name: str, x: Tensor) -> Tensor:
    """x in float64, without its graph; refused where a number is not finite.

    >>> finite("values", torch.ones(1)).dtype
    torch.float64
    """
    check_real(**{name: x})
    if not bool(torch.isfinite(x).all()):
        raise ValueError(
            f"{name} holds finite numbers: got {int((~torch.isfinite(x)).sum())} of {x.numel()} that are not. "
            f"Look for the net or the chain that diverged."
        )
    return in_double(x)
