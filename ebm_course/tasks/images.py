"""Images with classes: real numbers in [-1, 1] as (N, C, H, W), labels 0 .. K - 1 as (N,), split in three parts.

The test part is fixed: the same rows in the same order for every seed. The seed decides which of the other rows are
for validation and in which order the rest, for training, comes. Digits come with a package; where files of the other
sets are found stands in ``image_sources``. This module knows data and scores of logits, no net.

Small sets here, in the place of those that are published:

>>> from unittest.mock import patch
>>> y = torch.arange(20, dtype=torch.uint8) % 10
>>> grey, coloured = (torch.zeros(20, 1, 28, 28).byte(), y), (torch.zeros(20, 3, 32, 32).byte(), y)
>>> small = dict.fromkeys(("mnist_files", "fashion_mnist_files"), lambda: (grey, grey))
>>> small |= dict.fromkeys(("svhn_files", "cifar10_files"), lambda: (coloured, coloured))
>>> with patch.multiple("ebm_course.tasks.images", **small):
...     sets = mnist(size=14), fashion_mnist(), svhn(size=16), cifar10(subset=False)
>>> [(task.name, *shape_of(task)) for task in sets]
[('mnist-14', 1, 14, 14), ('fashion-mnist-28', 1, 28, 28), ('svhn-16', 3, 16, 16), ('cifar10-32', 3, 32, 32)]
>>> [(len(task.train), len(task.valid), len(task.test), n_classes_of(task)) for task in sets[:2]]
[(18, 2, 20, 10), (18, 2, 20, 10)]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.batch import ranks_in_class
from ebm_course.checks import at_least_single, check_count, check_finite
from ebm_course.core import Batch, Task
from ebm_course.runtime import torch_seed
from ebm_course.tasks.image_checks import check_images, check_labels
from ebm_course.tasks.image_sources import (
    cifar10_files,
    cifar10_sheets,
    fashion_mnist_files,
    has_cifar10,
    has_cifar10_sheets,
    mnist_files,
    svhn_files,
)

Bytes = tuple[Tensor, Tensor]  # images (N, C, H, W) and labels (N,), uint8


def digits(*, seed: int = 0, n_valid: int = 180) -> Task:
    """1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn: nothing is downloaded.

    The 360 rows for testing are chosen once and for all, 36 of each class. As the set does not name its thirteen
    writers, they occur in every part.

    Args:
        seed: chooses ``n_valid`` of the other 1,437 rows for validation; the rest is for training.

    Returns:
        A task of images (N, 1, 8, 8); ``task.score`` is :func:`score`.

    Source: Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, its test part.

    >>> task = digits()
    >>> [len(part) for part in (task.train, task.valid, task.test)], shape_of(task), n_classes_of(task)
    ([1257, 180, 360], (1, 8, 8), 10)
    """
    from sklearn.datasets import load_digits  # here: it takes a second

    loaded = load_digits()
    x = torch.from_numpy(loaded.images).float()[:, None] / 8 - 1  # 0 to 16 shades
    y = torch.from_numpy(loaded.target).long()
    order = torch.randperm(len(y), generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    rank = ranks_in_class(y[order], 10)
    test, rest = order[rank < 36], order[rank >= 36].sort().values
    return split("digits", Batch(x[rest], y[rest]), Batch(x[test], y[test]), n_classes=10, n_valid=n_valid, seed=seed)


def mnist(*, size: int = 28, seed: int = 0, n_valid: int | None = None) -> Task:
    """MNIST, 70,000 handwritten digits (N, 1, 28, 28): 54,000, 6,000 and the 10,000 published for testing.

    Args:
        size: 28, or 14 for means over 2 x 2 pixels.
        seed: chooses the rows for validation.
        n_valid: their number, by default a tenth.

    Raises:
        ValueError: another size, or a damaged file.
        ConnectionError: the files are neither in ``EBM_COURSE_DATA/mnist`` nor to be downloaded.
    """
    return _published("mnist", 28, mnist_files, size=size, seed=seed, n_valid=n_valid)


def fashion_mnist(*, size: int = 28, seed: int = 0, n_valid: int | None = None) -> Task:
    """Fashion-MNIST, ten kinds of clothes in the format of MNIST, from ``EBM_COURSE_DATA/fashion-mnist``."""
    return _published("fashion-mnist", 28, fashion_mnist_files, size=size, seed=seed, n_valid=n_valid)


def svhn(*, size: int = 32, seed: int = 0, n_valid: int | None = None) -> Task:
    """Street-view house numbers (N, 3, 32, 32), or 16 x 16, from ``EBM_COURSE_DATA/svhn``: not the extra images."""
    return _published("svhn", 32, svhn_files, size=size, seed=seed, n_valid=n_valid)


def cifar10(*, size: int = 32, seed: int = 0, n_valid: int | None = None, subset: bool | None = None) -> Task:
    """CIFAR-10, photographs of ten classes (N, 3, 32, 32): 45,000, 5,000 and the 10,000 published for testing.

    Args:
        size: 32, or 16 for means over 2 x 2 pixels.
        seed: chooses the rows for validation.
        n_valid: their number, by default a tenth.
        subset: whether to read the sheets in ``EBM_COURSE_DATA/cifar10-subset`` (10,000 and 2,000 images, the latter
            in one order drawn once and for all, as sheets are sorted by class). By default only where these are there
            and the whole set is not; the task's name says which it is.

    Raises:
        ValueError: another size, or a damaged file.
        ConnectionError: neither is there and the set cannot be downloaded.
    """
    if subset or (subset is None and has_cifar10_sheets() and not has_cifar10()):
        return _published("cifar10-subset", 32, _shuffled_sheets, size=size, seed=seed, n_valid=n_valid)
    return _published("cifar10", 32, cifar10_files, size=size, seed=seed, n_valid=n_valid)


def _shuffled_sheets() -> tuple[Bytes, Bytes]:
    rest, (x, y) = cifar10_sheets()
    order = torch.randperm(len(y), generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    return rest, (x[order], y[order])


def _published(
    name: str, side: int, files: Callable[[], tuple[Bytes, Bytes]], *, size: int, seed: int, n_valid: int | None
) -> Task:
    """The task of a set with ten classes that is published in two parts; files are looked for last."""
    if size not in (side, side // 2):
        raise ValueError(f"{name} has {side} pixels a side: expected size={side} or {side // 2}, got {size!r}.")
    rest, test = files()
    parts = (Batch(scaled(x, factor=side // size), y.long()) for x, y in (rest, test))
    n_valid = len(rest[1]) // 10 if n_valid is None else n_valid
    return split(f"{name}-{size}", *parts, n_classes=10, n_valid=n_valid, seed=seed)


def scaled(x: Tensor, *, factor: int = 1) -> Tensor:
    """Bytes (N, C, H, W) as real numbers in [-1, 1], each the mean over ``factor`` x ``factor`` of them.

    Raises:
        ValueError: x are no bytes (N, C, H, W), as numbers that were scaled before, or H or W is no multiple of the
            factor.

    >>> scaled(torch.tensor([[0, 255], [255, 255]], dtype=torch.uint8).view(1, 1, 2, 2), factor=2).item()
    0.5
    """
    if x.ndim != 4 or x.dtype != torch.uint8:
        raise ValueError(f"bytes (N, C, H, W) are scaled, uint8: got {tuple(x.shape)} of {x.dtype}. Scale them once.")
    check_count("factor", factor, least=1)
    if any(size % factor for size in x.shape[2:]):
        raise ValueError(f"factor divides H and W, here {tuple(x.shape[2:])}: got {factor}. Pass 1 for the images.")
    parts = [F.avg_pool2d(part.float(), factor) / 127.5 - 1 for part in x.split(4096)]  # a part, to save memory
    return torch.cat(parts)


def split(name: str, rest: Batch, test: Batch, *, n_classes: int, n_valid: int, seed: int) -> Task:
    """A task of these images: ``n_valid`` rows of ``rest``, drawn by ``seed``, for validation, the others for training.

    Args:
        rest, test: images (N, C, H, W) in [-1, 1] with labels (N,) of 0 .. ``n_classes`` - 1.

    Raises:
        ValueError: images or labels out of range, the two parts differ in shape or kind of their images, or no row is
            left for training or validation.

    >>> some = Batch(torch.zeros(5, 1, 2, 2), torch.arange(5))
    >>> task = split("some", some, some, n_classes=5, n_valid=2, seed=0)
    >>> sorted(torch.cat([task.train.y, task.valid.y]).tolist()), len(task.valid), task.test.y.tolist()
    ([0, 1, 2, 3, 4], 2, [0, 1, 2, 3, 4])
    """
    for part in (rest, test):
        check_images(part.x)
    (first, other) = ((tuple(part.x.shape[1:]), part.x.dtype) for part in (rest, test))
    if first != other:
        raise ValueError(
            f"images of one task are alike: got {first[0]} of {first[1]} and, for testing, {other[0]} of {other[1]}. "
            f"Bring them to one size and type."
        )
    if rest.y is None or test.y is None:
        raise ValueError("images for a classifier have labels (N,): got a batch without. Pass y to Batch.")
    for y in (rest.y, test.y):
        check_labels(y, n_classes)
    if isinstance(n_valid, float) or n_valid not in range(1, len(rest)):
        raise ValueError(f"n_valid is 1 to {len(rest) - 1}, lest a part be empty: got {n_valid}.")
    order = torch.randperm(len(rest), generator=torch.Generator("cpu").manual_seed(torch_seed(seed)), device="cpu")
    return Task(name, rest[order[n_valid:]], rest[order[:n_valid]], test, None, score)


def score(logits: Tensor, batch: Batch) -> dict[str, float]:
    """``accuracy``, 0 to 1, and ``nll``, the mean of -log p(y | x) in nats, of logits (N, K) of a batch with labels.

    Raises:
        ValueError: other shapes, no row, complex numbers, or a label out of 0 .. K - 1.
        FloatingPointError: a logit is not finite.

    >>> score(torch.tensor([[2.0, 0.0], [3.0, 0.0]]), Batch(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])))["accuracy"]
    0.5
    """
    if logits.ndim != 2 or len(logits) == 0 or logits.is_complex() or batch.y is None or len(logits) != len(batch):
        labels = "no labels" if batch.y is None else f"{len(batch)} labels"
        raise ValueError(
            f"a score compares real logits (N, K), N > 0, with N labels: got {tuple(logits.shape)} of {logits.dtype} "
            f"and {labels}."
        )
    check_labels(batch.y, logits.shape[1])
    check_finite("a logit", logits, "Look for the net that diverged.")
    right = (logits.argmax(dim=1) == batch.y).float().mean()
    return {"accuracy": float(right), "nll": float(F.cross_entropy(at_least_single(logits.detach()), batch.y))}


def shape_of(task: Task) -> tuple[int, int, int]:
    """C, H and W of the task's images, refused where its states are none."""
    if task.train.x.ndim != 4:
        raise ValueError(
            f"images are (N, C, H, W): {task.name} has states {tuple(task.train.x.shape)}. Name a set of them."
        )
    _, c, h, w = task.train.x.shape
    return c, h, w


def n_classes_of(task: Task) -> int:
    """Number K of classes: the largest label is K - 1; refused where there are no labels."""
    labels = [part.y for part in (task.train, task.valid, task.test) if part.y is not None]
    if sum(map(len, labels)) == 0:
        raise ValueError(f"classes are counted by labels: {task.name} has none. Name a set that has some.")
    return 1 + int(torch.cat(labels).max())
