"""The files in which sets of images are published, read as bytes: idx, records of CIFAR-10, sheets of tiles, MATLAB.

Each reader returns images (N, C, H, W) and labels (N,), uint8, or says in one sentence what is wrong with a file. It
knows formats, not where files come from.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import itertools
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SIDE = 32  # pixels of a photograph of CIFAR-10 or SVHN, both ways
RECORD = 1 + 3 * SIDE * SIDE
N_CLASSES = 10
PIECE = 1 << 20
MOST = 256 * PIECE
"""Bytes that a packed file may hold, five times those of MNIST: what unpacks to more would fill the memory."""


def read_idx(path: Path, *, sha256: str | None = None) -> Tensor:
    """The numbers (N, ...) of a gzip-compressed idx file of bytes: a magic number, sizes of the axes, then the values.

    Args:
        path: a file such as ``train-images-idx3-ubyte.gz``.
        sha256: of what was compressed, not of the file: gzip makes other files of it on other days.

    Raises:
        ValueError: the file is damaged, no idx file of bytes, holds something else, or more than ``MOST`` bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.gz"
    ...     _ = path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])))  # bytes, one axis, two numbers
    ...     read_idx(path).tolist()
    [7, 9]
    """
    packed = io.BytesIO(path.read_bytes())
    try:
        with gzip.open(packed) as file:
            pieces = iter(functools.partial(file.read, PIECE), b"")
            content = b"".join(itertools.islice(pieces, MOST // PIECE + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"it cannot be unpacked ({error})") from error
    if len(content) > MOST:
        raise _damaged(path, f"it unpacks to more than {MOST:,} bytes")
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise _damaged(path, f"what it holds has another SHA-256 than {sha256}")
    n_axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    sizes = [int.from_bytes(content[4 + 4 * k : 8 + 4 * k]) for k in range(n_axes)]
    if n_axes == 0 or len(content) != 4 + 4 * n_axes + math.prod(sizes):
        raise _damaged(path, "it is no idx file of bytes, or not as long as its head says")
    return _tensor(content[4 + 4 * n_axes :]).view(sizes)


def read_records(content: bytes, name: str) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) and labels (N,) of a file of the binary CIFAR-10: a label, then red, green and blue.

    Args:
        content: the file's bytes.
        name: of the file, for the error.

    Raises:
        ValueError: the bytes are no whole number of records, or a label is above 9.

    >>> x, y = read_records(bytes([7]) + bytes(3072), "data_batch_1.bin")
    >>> x.shape, y.tolist()
    (torch.Size([1, 3, 32, 32]), [7])
    """
    if not content or len(content) % RECORD:
        raise _damaged(Path(name), f"its {len(content)} bytes are no whole number of records of {RECORD}")
    records = _tensor(content).view(-1, RECORD)
    if (most := int(records[:, 0].max())) >= N_CLASSES:
        raise _damaged(Path(name), f"its labels go up to {most}, expected 0 to {N_CLASSES - 1}")
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE), records[:, 0].clone()


def read_sheet(path: Path) -> Tensor:
    """Images (N, 3, 32, 32) of a sheet of tiles without gaps, read row by row.

    Raises:
        ValueError: the file is no image in colour without transparency, or its sides are no multiples of 32.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (64, 32), (255, 0, 9)).save(path := Path(folder) / "two.png")
    ...     x = read_sheet(path)
    >>> x.shape, x[1, :, 0, 0].tolist()
    (torch.Size([2, 3, 32, 32]), [255, 0, 9])
    """
    from PIL import Image  # here: of all sets this alone needs it

    content = io.BytesIO(path.read_bytes())
    try:
        with Image.open(content) as image:
            mode, pixels = image.mode, np.asarray(image)  # (rows * 32, columns * 32, 3)
    except Exception as error:  # of many kinds, by where the damage is; one of a size that no sheet has
        raise _damaged(path, "it is no image that can be read") from error
    if mode != "RGB":
        raise _damaged(path, f"its pixels are {mode}, expected RGB")
    height, width, _ = pixels.shape
    if height % SIDE or width % SIDE:
        raise _damaged(path, f"its {width} x {height} pixels are no whole number of tiles of {SIDE} x {SIDE}")
    tiles = torch.from_numpy(pixels.copy()).view(height // SIDE, SIDE, width // SIDE, SIDE, 3)
    return tiles.permute(0, 2, 4, 1, 3).reshape(-1, 3, SIDE, SIDE)


def read_matlab(path: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) and labels (N,) of a file of SVHN: X (32, 32, 3, N) and y (N, 1), where 10 stands for 0.

    Raises:
        ValueError: the file is damaged, X and y are not there in these shapes, or a label is out of 0 to 10.

    >>> import tempfile
    >>> from scipy.io import savemat
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     savemat(path := Path(folder) / "two.mat", {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [[10], [3]]})
    ...     x, y = read_matlab(path)
    >>> x.shape, y.tolist()
    (torch.Size([2, 3, 32, 32]), [0, 3])
    """
    from scipy.io import loadmat  # here: of all sets this alone needs it

    content = io.BytesIO(path.read_bytes())
    try:
        found = loadmat(content, variable_names=["X", "y"])
        images, labels = found["X"], found["y"].reshape(-1)
        if labels.dtype.kind not in "buif":  # such as text, or tables in cells
            raise TypeError(f"y is of {labels.dtype}")
    except Exception as error:  # of many kinds, by where the damage is
        raise _damaged(path, f"it is no MATLAB file with X and y ({type(error).__name__})") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (SIDE, SIDE, 3):
        raise _damaged(path, f"X is {images.shape} of {images.dtype}, expected (32, 32, 3, N) of uint8")
    if len(labels) != images.shape[3]:
        raise _damaged(path, f"there are {images.shape[3]} images and {len(labels)} labels")
    if not np.isin(labels, range(11)).all():
        raise _damaged(path, f"its labels go from {labels.min()} to {labels.max()}, expected whole numbers of 1 to 10")
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1)))
    return x, torch.from_numpy((labels % 10).astype(np.uint8))


def _tensor(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} is damaged or another file: {what}. Fetch it again.")
