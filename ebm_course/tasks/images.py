"""Images with classes: real numbers in [-1, 1] as (N, C, H, W), labels 0 .. K - 1 as (N,), split in three parts.

The test part is fixed: the same rows in the same order for every seed. The seed decides which of the other rows are
for validation and in which order the rest, for training, comes. It knows data and scores of logits, no net.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.core import Batch, Task
from ebm_course.runtime import torch_seed

MARGIN = 1e-3
"""How far an image may leave [-1, 1] by rounding."""


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
    rank = (F.one_hot(y[order], 10).cumsum(dim=0) - 1).gather(1, y[order, None])[:, 0]  # of a row in its class
    test, rest = order[rank < 36], order[rank >= 36].sort().values
    return split("digits", Batch(x[rest], y[rest]), Batch(x[test], y[test]), n_classes=10, n_valid=n_valid, seed=seed)


def split(name: str, rest: Batch, test: Batch, *, n_classes: int, n_valid: int, seed: int) -> Task:
    """A task of these images: ``n_valid`` rows of ``rest``, drawn by ``seed``, for validation, the others for training.

    Args:
        rest, test: images (N, C, H, W) in [-1, 1] with labels (N,) of 0 .. ``n_classes`` - 1.

    Raises:
        ValueError: images or labels out of range, or no row is left for training or validation.
    """
    for part in (rest, test):
        check_images(part.x)
    if rest.y is None or test.y is None:
        raise ValueError("images for a classifier have labels (N,): got a batch without. Pass y to Batch.")
    for y in (rest.y, test.y):
        check_labels(y, n_classes)
    if not 0 < n_valid < len(rest):
        raise ValueError(f"n_valid is 1 to {len(rest) - 1}, lest a part be empty: got {n_valid}.")
    order = torch.randperm(len(rest), generator=torch.Generator("cpu").manual_seed(torch_seed(seed)), device="cpu")
    return Task(name, rest[order[n_valid:]], rest[order[:n_valid]], test, None, score)


def score(logits: Tensor, batch: Batch) -> dict[str, float]:
    """``accuracy``, 0 to 1, and ``nll``, the mean of -log p(y | x) in nats, of logits (N, K) of a batch with labels.

    >>> score(torch.tensor([[2.0, 0.0], [3.0, 0.0]]), Batch(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])))["accuracy"]
    0.5
    """
    if logits.ndim != 2 or len(logits) == 0 or batch.y is None or len(logits) != len(batch):
        labels = "no labels" if batch.y is None else f"{len(batch)} labels"
        raise ValueError(
            f"a score compares logits (N, K), N > 0, with N labels: got {tuple(logits.shape)} and {labels}."
        )
    check_labels(batch.y, logits.shape[1])
    right = (logits.argmax(dim=1) == batch.y).float().mean()
    return {"accuracy": float(right), "nll": float(F.cross_entropy(logits.detach().float(), batch.y))}


def shape_of(task: Task) -> tuple[int, int, int]:
    """C, H and W of the task's images."""
    _, c, h, w = task.train.x.shape
    return c, h, w


def n_classes_of(task: Task) -> int:
    """Number K of classes: the largest label is K - 1."""
    return 1 + max(int(part.y.max()) for part in (task.train, task.valid, task.test) if part.y is not None)


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
    if x.numel() == 0:
        return
    low, high = float(x.min()), float(x.max())
    if not (low >= -1 - MARGIN and high <= 1 + MARGIN):  # NaN is not
        raise ValueError(
            f"images lie in [-1, 1]: got values from {low:g} to {high:g}. Scale them, as 2 * x - 1 from [0, 1]."
        )
    if low >= 0 and high > 0:
        raise ValueError(
            f"images lie in [-1, 1]: got none below 0, from {low:g} to {high:g}, as of the range [0, 1]. Use 2 * x - 1."
        )


def check_labels(y: Tensor, n_classes: int) -> None:
    """Refuse what are no labels (N,), int64, of 0 .. K - 1 (waits for the device).

    >>> check_labels(torch.tensor([0, 9]), 10)
    """
    if y.ndim != 1 or y.dtype != torch.int64:
        raise ValueError(f"labels are int64 (N,): got {tuple(y.shape)} of {y.dtype}. Use y.long().")
    if len(y) and (int(y.min()) < 0 or int(y.max()) >= n_classes):
        raise ValueError(
            f"a label is out of range: expected 0 to {n_classes - 1}, got {int(y.min())} to {int(y.max())}. "
            f"Count classes from 0."
        )
