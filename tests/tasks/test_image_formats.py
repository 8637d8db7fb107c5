"""Files of images in the formats in which they are published, tiny and made here, whole and damaged."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from ebm_course.tasks import image_formats
from ebm_course.tasks.image_formats import RECORD, read_idx, read_matlab, read_records, read_sheet


def idx(values: np.ndarray) -> bytes:
    """The idx format by its description: two zero bytes, 8 for unsigned bytes, the number of axes, sizes big-endian."""
    head = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return head + values.astype(np.uint8).tobytes()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("shape", [(5, 28, 28), (5,), (300, 2, 3)])
def test_an_idx_file_holds_what_was_written(tmp_path: Path, shape: tuple[int, ...]):
    values, path = noise(*shape), tmp_path / "a.gz"
    path.write_bytes(gzip.compress(idx(values)))
    read = read_idx(path)
    assert read.dtype == torch.uint8
    np.testing.assert_array_equal(read.numpy(), values)


def test_the_sha256_is_that_of_the_content_however_it_was_packed(tmp_path: Path):
    content, path = idx(noise(5, 3)), tmp_path / "a.gz"
    sha = hashlib.sha256(content).hexdigest()
    for level in (1, 9):
        path.write_bytes(gzip.compress(content, compresslevel=level, mtime=level))
        assert read_idx(path, sha256=sha).shape == (5, 3)
    path.write_bytes(gzip.compress(content[:-1] + b"\7"))
    with pytest.raises(ValueError, match=f"a.gz is damaged or another file: .* another SHA-256 than {sha}"):
        read_idx(path, sha256=sha)


@pytest.mark.parametrize(
    "content, words",
    [
        (gzip.compress(idx(noise(50, 28)))[:-200], r"it cannot be unpacked"),
        (gzip.compress(b"x" * 99)[:20] + b"\0" * 30, r"it cannot be unpacked"),
        (b"not gzip", r"it cannot be unpacked"),
        (b"", r"it is no idx file of bytes"),
        (gzip.compress(b""), r"it is no idx file of bytes"),
        (gzip.compress(b"\0\0\x0d\1\0\0\0\4" + bytes(4)), r"it is no idx file of bytes"),  # of floats
        (gzip.compress(idx(noise(5, 3))[:-1]), r"not as long as its head says"),
        (gzip.compress(idx(noise(5, 3)) + b"\0"), r"not as long as its head says"),
        (gzip.compress(b"\0\0\x08\2\0"), r"not as long as its head says"),
    ],
    ids=[
        "cut short",
        "damaged",
        "no gzip",
        "empty",
        "of nothing",
        "of floats",
        "a byte less",
        "a byte more",
        "no sizes",
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.gz is damaged or another file: .*{words}.*Fetch it again\."):
        read_idx(tmp_path / "a.gz")


def test_records_are_a_label_and_three_planes_of_colour():
    x, y = noise(4, 3, 32, 32), np.array([3, 9, 0, 1], np.uint8)
    content = b"".join(bytes([label]) + image.tobytes() for image, label in zip(x, y, strict=True))
    read = read_records(content, "a.bin")
    np.testing.assert_array_equal(read[0].numpy(), x)
    assert read[1].tolist() == [3, 9, 0, 1]
    for wrong in (content[:-1], b""):
        with pytest.raises(
            ValueError, match=rf"a\.bin is damaged.*its {len(wrong)} bytes are no whole number .*{RECORD}"
        ):
            read_records(wrong, "a.bin")
    with pytest.raises(ValueError, match=r"a\.bin is damaged.*its labels go up to 10, expected 0 to 9"):
        read_records(content + bytes([10]) + bytes(RECORD - 1), "a.bin")


def test_a_sheet_is_read_row_by_row_tile_by_tile(tmp_path: Path):
    n, columns = 6, 3
    tiles = noise(n, 32, 32, 3)  # as in the recipe by which such sheets are made and read
    sheet = tiles.reshape(n // columns, columns, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(64, 96, 3)
    Image.fromarray(sheet).save(tmp_path / "a.png")
    read = read_sheet(tmp_path / "a.png")
    np.testing.assert_array_equal(read.numpy(), tiles.transpose(0, 3, 1, 2))


def test_a_damaged_sheet_is_named(tmp_path: Path):
    path = tmp_path / "a.png"
    Image.fromarray(noise(64, 96, 3)).save(path)
    for content in (path.read_bytes()[:-4000], b"no image", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.png is damaged or another file: it is no image"):
            read_sheet(path)
    Image.fromarray(noise(64, 95, 3)).save(path)
    with pytest.raises(ValueError, match="its 95 x 64 pixels are no whole number of tiles of 32 x 32"):
        read_sheet(path)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_a_sheet_that_is_not_in_plain_colour_is_named(tmp_path: Path, mode: str):
    Image.fromarray(noise(64, 96, 3)).convert(mode).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=rf"a\.png is damaged or another file: its pixels are {mode}, expected RGB"):
        read_sheet(tmp_path / "a.png")


def test_a_matlab_file_has_rows_last_and_calls_zero_ten(tmp_path: Path):
    images = noise(32, 32, 3, 4)
    savemat(tmp_path / "a.mat", {"X": images, "y": np.array([[10], [1], [9], [10]], np.uint8)})
    x, y = read_matlab(tmp_path / "a.mat")
    assert x.shape == (4, 3, 32, 32) and x.dtype == torch.uint8
    assert x[2, 1, 5, 7] == images[5, 7, 1, 2]
    assert y.tolist() == [0, 1, 9, 0]


@pytest.mark.parametrize(
    "given, words",
    [
        ({"X": noise(32, 32, 3, 4)}, r"it is no MATLAB file with X and y \(KeyError\)"),
        ({"X": noise(32, 32, 3, 4), "y": noise(3, 1)}, "there are 4 images and 3 labels"),
        ({"X": noise(32, 32, 3, 4) / 255, "y": noise(4, 1)}, r"X is \(32, 32, 3, 4\) of float64"),
        ({"X": noise(32, 32, 3, 2), "y": [[3], [11]]}, "its labels go from 3 to 11, expected whole numbers of 1 to 10"),
        ({"X": noise(32, 32, 3, 2), "y": [[-1], [9]]}, "its labels go from -1 to 9"),
        ({"X": noise(32, 32, 3, 2), "y": [[0.5], [9]]}, "its labels go from 0.5 to 9"),
        ({"X": noise(32, 32, 3, 2), "y": ["a", "b"]}, r"it is no MATLAB file with X and y \(TypeError\)"),
        (
            {"X": noise(32, 32, 3, 2), "y": np.array([[1], [2, 3]], dtype=object)},
            r"it is no MATLAB file with X and y \(TypeError\)",
        ),
        ({"X": noise(4, 3, 32, 32), "y": noise(4, 1)}, r"X is \(4, 3, 32, 32\) of uint8, expected \(32, 32, 3, N\)"),
    ],
)
def test_a_matlab_file_of_something_else_is_named(tmp_path: Path, given: dict, words: str):
    savemat(tmp_path / "a.mat", given)
    with pytest.raises(ValueError, match=rf"a\.mat is damaged or another file: {words}"):
        read_matlab(tmp_path / "a.mat")


@pytest.mark.parametrize("kept", [0, 60, 200, 5000, -1])
def test_a_matlab_file_cut_short_is_named(tmp_path: Path, kept: int):
    path = tmp_path / "a.mat"
    savemat(path, {"X": noise(32, 32, 3, 4), "y": noise(4, 1)}, do_compression=True)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"a\.mat is damaged or another file"):
        read_matlab(path)


@pytest.mark.parametrize("read", [read_idx, read_sheet, read_matlab])
def test_a_file_that_is_not_there_is_not_called_damaged(tmp_path: Path, read):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing")


def test_a_packed_file_that_would_fill_the_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_formats, "MOST", 2 * image_formats.PIECE)
    (path := tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(40 * image_formats.PIECE)))
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=r"bomb\.gz is damaged or another file: it unpacks to more than 2,097,152 bytes"
    ):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * image_formats.PIECE


def test_a_sheet_that_says_to_be_huge_is_named(tmp_path: Path):
    """A billion pixels by the head of the file, none of them there."""
    head = struct.pack(">IIBBBBB", 32_000, 32_000, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in parts]
    (path := tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(ValueError, match=r"huge\.png is damaged or another file: it is no image that can be read"):
        read_sheet(path)
