"""Sets of images as tasks: what is in which part, where files are looked for, the range, and how logits are scored."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits
from torch import Tensor

from ebm_course.core import Batch, Task
from ebm_course.files import DataFile
from ebm_course.runtime import data_folder
from ebm_course.tasks import image_sources
from ebm_course.tasks.images import (
    check_images,
    cifar10,
    digits,
    fashion_mnist,
    mnist,
    n_classes_of,
    scaled,
    score,
    shape_of,
    split,
    svhn,
)

PARTS = ("train", "valid", "test")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def rows_of(task: Task, *parts: str) -> set[bytes]:
    """Images with their labels, as something that can be compared."""
    chosen = [getattr(task, part) for part in parts]
    return {x.numpy().tobytes() + bytes([y]) for part in chosen for x, y in zip(part.x, part.y.tolist(), strict=True)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EBM_COURSE_DATA", str(tmp_path))

    def no_network(file: DataFile) -> Path:
        local = tmp_path / file.name
        if not local.is_file():
            raise ConnectionError(f"{file.name} would be downloaded from {file.url}")
        return image_sources.check_sha256(local, file.sha256, "Fetch it again.")

    monkeypatch.setattr(image_sources, "fetch", no_network)
    return tmp_path


# Digits


def test_digits_are_those_of_scikit_learn_each_in_one_part_and_from_minus_one_to_one():
    task, loaded = digits(), load_digits()
    assert [len(getattr(task, part)) for part in PARTS] == [1257, 180, 360]
    expected = {
        (x / 8 - 1).astype(np.float32).tobytes() + bytes([y]) for x, y in zip(loaded.images, loaded.target, strict=True)
    }
    assert rows_of(task, *PARTS) == expected and len(expected) == 1797
    assert task.train.x.dtype == torch.float32 and task.train.y.dtype == torch.int64
    assert (task.name, task.n_values, shape_of(task), n_classes_of(task)) == ("digits", None, (1, 8, 8), 10)
    check_images(task.train.x)


def test_digits_for_testing_are_the_same_36_of_each_class_for_every_seed():
    one, other = digits(seed=0), digits(seed=1)
    assert torch.equal(one.test.x, other.test.x) and torch.equal(one.test.y, other.test.y)
    assert torch.bincount(one.test.y).tolist() == [36] * 10
    assert len(one.test.y[:60].unique()) == 10  # not sorted by class
    assert rows_of(one, "train", "valid") == rows_of(other, "train", "valid")
    assert rows_of(one, "valid") != rows_of(other, "valid")
    assert rows_of(one, "valid") == rows_of(digits(seed=0), "valid")


def test_parts_of_large_seeds_are_their_own():
    sets = [rows_of(digits(seed=seed), "valid") for seed in (1, 1 + 2**32, 2**64)]
    assert sets[0] != sets[1] and sets[1] != sets[2] and sets[0] != sets[2]


# What a task of images refuses


def batch(n: int = 6) -> Batch:
    return Batch(scaled(torch.from_numpy(noise(n, 1, 4, 4))), torch.arange(n) % 3)


@pytest.mark.parametrize(
    "rest, words",
    [
        (replace(batch(), x=(batch().x + 1) / 2), r"as of the range \[0, 1\]"),
        (replace(batch(), x=batch().x * 2), r"images lie in \[-1, 1\]"),
        (replace(batch(), y=batch().y + 1), "a label is out of range: expected 0 to 2, got 1 to 3"),
        (replace(batch(), y=None), r"images for a classifier have labels \(N,\)"),
    ],
)
def test_a_part_with_other_images_or_labels_is_refused(rest: Batch, words: str):
    for parts in ((rest, batch()), (batch(), rest)):
        with pytest.raises(ValueError, match=words):
            split("a", *parts, n_classes=3, n_valid=2, seed=0)


@pytest.mark.parametrize("n_valid", [0, 6, -1, 2.5, 2.0, math.nan, "2"])
def test_no_part_may_be_empty(n_valid: int):
    with pytest.raises(ValueError, match=f"n_valid is 1 to 5, lest a part be empty: got {n_valid}"):
        split("a", batch(), batch(), n_classes=3, n_valid=n_valid, seed=0)


def test_a_test_part_of_another_size_or_type_is_refused():
    small, double = batch().x[:, :, :2], batch().x.double()
    for x, words in ((small, r"for testing, \(1, 2, 4\) of torch.float32"), (double, r"\(1, 4, 4\) of torch.float64")):
        with pytest.raises(ValueError, match=rf"images of one task are alike: got \(1, 4, 4\) of .*{words}"):
            split("a", batch(), replace(batch(), x=x), n_classes=3, n_valid=2, seed=0)


def test_a_task_without_rows_for_testing_has_its_classes_all_the_same():
    assert n_classes_of(split("a", batch(), batch()[:0], n_classes=3, n_valid=2, seed=0)) == 3


# Scores


def test_the_score_is_the_share_of_right_classes_and_the_mean_of_minus_log_p_of_the_label():
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    result = score(logits, Batch(torch.zeros(4, 1, 2, 2), torch.tensor([0, 0, 1, 1])))
    p = [1 / (1 + math.exp(-2)), 0.5, 1 / (1 + math.exp(-3)), 1 / (1 + math.exp(1))]
    assert result["accuracy"] == 0.75
    assert result["nll"] == pytest.approx(-sum(map(math.log, p)) / 4)
    task = digits()
    assert task.score(torch.zeros(360, 10), task.test) == pytest.approx({"accuracy": 0.1, "nll": math.log(10)})


@pytest.mark.parametrize("logits", [torch.zeros(4, 2), torch.zeros(6), torch.zeros(0, 2)])
def test_logits_of_other_rows_are_refused(logits: Tensor):
    with pytest.raises(
        ValueError, match=r"a score compares real logits \(N, K\), N > 0, with N labels: got .* and 6 labels"
    ):
        score(logits, batch())
    with pytest.raises(ValueError, match="a label is out of range: expected 0 to 1, got 0 to 2"):
        score(torch.zeros(6, 2), batch())


# Sizes


def test_half_the_size_is_the_mean_over_two_by_two_pixels():
    x = torch.from_numpy(noise(5000, 1, 4, 4))
    full, half = scaled(x), scaled(x, factor=2)
    assert full.min() == -1 and full.max() == 1
    torch.testing.assert_close(half, full.view(-1, 1, 2, 2, 2, 2).mean(dim=(3, 5)), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "x, factor, words",
    [
        (torch.rand(2, 1, 4, 4), 1, r"bytes \(N, C, H, W\) are scaled, uint8: got \(2, 1, 4, 4\) of torch.float32"),
        (torch.zeros(2, 4, 4).byte(), 1, r"got \(2, 4, 4\) of torch.uint8"),
        (torch.zeros(2, 1, 4, 4).byte(), 0, "factor is a whole number: expected 1 or larger, got 0"),
        (torch.zeros(2, 1, 4, 4).byte(), 3, r"factor divides H and W, here \(4, 4\): got 3"),
    ],
)
def test_bytes_alone_are_scaled_and_no_pixel_is_left_out(x: Tensor, factor: int, words: str):
    with pytest.raises(ValueError, match=words):
        scaled(x, factor=factor)


# MNIST and Fashion-MNIST


def idx(values: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return head + values.tobytes()


def write_idx(folder: Path, n_train: int = 40, n_test: int = 7) -> dict[str, bytes]:
    """The four files; returns what they hold."""
    folder.mkdir()
    contents = {}
    for seed, (part, n) in enumerate((("train", n_train), ("t10k", n_test))):
        contents[f"{part}-images-idx3-ubyte"] = idx(noise(n, 28, 28, seed=seed))
        contents[f"{part}-labels-idx1-ubyte"] = idx((np.arange(n) % 10).astype(np.uint8))
    for name, content in contents.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return contents


@pytest.fixture
def tiny_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in write_idx(folder / "mnist").items():
        published = image_sources.MNIST[name][0]
        monkeypatch.setitem(image_sources.MNIST, name, (published, hashlib.sha256(content).hexdigest()))
    return folder / "mnist"


@pytest.mark.usefixtures("tiny_mnist")
def test_mnist_keeps_its_test_rows_in_order_and_a_tenth_of_the_others_for_validation():
    task = mnist(seed=3)
    assert (task.name, shape_of(task)) == ("mnist-28", (1, 28, 28))
    assert [len(getattr(task, part)) for part in PARTS] == [36, 4, 7]
    torch.testing.assert_close(task.test.x, scaled(torch.from_numpy(noise(7, 1, 28, 28, seed=1))))
    assert task.test.y.tolist() == list(range(7))
    images = scaled(torch.from_numpy(noise(40, 1, 28, 28, seed=0)))
    labels = [k % 10 for k in range(40)]
    expected = {x.numpy().tobytes() + bytes([y]) for x, y in zip(images, labels, strict=True)}
    assert rows_of(task, "train", "valid") == expected and len(expected) == 40
    assert len(mnist(n_valid=10).valid) == 10


@pytest.mark.usefixtures("tiny_mnist")
def test_mnist_of_14_pixels_is_pooled_and_other_sizes_are_refused():
    small, large = mnist(size=14), mnist()
    assert (small.name, shape_of(small)) == ("mnist-14", (1, 14, 14))
    pooled = large.test.x.view(7, 1, 14, 2, 14, 2).mean(dim=(3, 5))
    torch.testing.assert_close(small.test.x, pooled, atol=1e-6, rtol=0)
    assert torch.equal(small.test.y, large.test.y) and torch.equal(small.valid.y, large.valid.y)
    with pytest.raises(ValueError, match="mnist has 28 pixels a side: expected size=28 or 14, got 7"):
        mnist(size=7)


def test_a_changed_file_of_mnist_is_named(tiny_mnist: Path):
    path = tiny_mnist / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(40, np.uint8))))
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz is damaged or another file: .*SHA-256"):
        mnist()


def test_a_file_of_mnist_that_is_not_there_is_downloaded_by_its_published_sha256(tiny_mnist: Path):
    (tiny_mnist / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(ConnectionError, match=r"mnist/t10k-images-idx3-ubyte\.gz would be downloaded from https://"):
        mnist()


@pytest.mark.skipif(
    data_folder() is None or not (data_folder() / "mnist").is_dir(), reason="EBM_COURSE_DATA holds no MNIST"
)
def test_the_real_mnist_has_the_sha256_written_here():
    task = mnist(size=14)
    assert [len(getattr(task, part)) for part in PARTS] == [54_000, 6_000, 10_000]
    assert task.test.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_fashion_mnist_is_read_from_the_readers_folder(folder: Path):
    write_idx(folder / "fashion-mnist")
    assert [len(getattr(fashion_mnist(), part)) for part in PARTS] == [36, 4, 7]
    assert fashion_mnist(size=14).name == "fashion-mnist-14" and image_sources.has_fashion_mnist()
    (folder / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert not image_sources.has_fashion_mnist() and not image_sources.has_svhn()
    with pytest.raises(
        FileNotFoundError, match=r"there is no .*t10k-labels-idx1-ubyte\.gz: get it from https://github"
    ):
        fashion_mnist()


def test_files_of_images_and_labels_that_changed_places_are_refused(folder: Path):
    write_idx(folder / "fashion-mnist")
    one, other = (folder / "fashion-mnist" / f"train-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(ValueError, match=r"Fashion-MNIST has images \(N, 28, 28\) and labels \(N,\): got \(40,\)"):
        fashion_mnist()


@pytest.mark.parametrize(
    "part, values, got",
    [
        ("t10k-images-idx3", noise(7, 20, 20), r"got \(7, 20, 20\) and \(7,\)"),
        ("t10k-labels-idx1", noise(6), r"got \(7, 28, 28\) and \(6,\)"),
    ],
)
def test_images_of_another_size_or_number_than_labels_are_refused(
    folder: Path, part: str, values: np.ndarray, got: str
):
    write_idx(folder / "fashion-mnist")
    (folder / "fashion-mnist" / f"{part}-ubyte.gz").write_bytes(gzip.compress(idx(values)))
    with pytest.raises(ValueError, match=got):
        fashion_mnist()


# CIFAR-10


def write_records(path: Path, n: int, seed: int) -> None:
    x, y = noise(n, 3072, seed=seed), (np.arange(n) % 10).astype(np.uint8)
    path.write_bytes(np.concatenate([y[:, None], x], axis=1).tobytes())


@pytest.fixture
def unpacked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny CIFAR-10 as the archive unpacks it: six files in a folder of its own."""
    inside = folder / "cifar-10-batches-bin"
    inside.mkdir()
    for seed, name in enumerate(image_sources.BATCHES):
        write_records(inside / name, 10, seed)
        sha = hashlib.sha256((inside / name).read_bytes()).hexdigest()
        monkeypatch.setitem(image_sources.BATCHES, name, sha)
    return inside


def pack(inside: Path) -> Path:
    """The archive, with a note and an order as in the published one."""
    path = inside.parent / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("cifar-10-batches-bin/readme.html"), io.BytesIO())
        for file in sorted(inside.iterdir(), reverse=True):
            archive.add(file, f"cifar-10-batches-bin/{file.name}")
            file.unlink()
    inside.rmdir()
    return path


@pytest.mark.usefixtures("unpacked")
def test_cifar10_is_five_batches_and_one_for_testing():
    task = cifar10()
    assert (task.name, shape_of(task), n_classes_of(task)) == ("cifar10-32", (3, 32, 32), 10)
    assert [len(getattr(task, part)) for part in PARTS] == [45, 5, 10]
    torch.testing.assert_close(task.test.x, scaled(torch.from_numpy(noise(10, 3072, seed=5)).view(10, 3, 32, 32)))
    assert task.test.y.tolist() == list(range(10))
    assert len(rows_of(task, "train", "valid")) == 50
    assert shape_of(cifar10(size=16)) == (3, 16, 16)


def test_cifar10_is_the_same_from_its_archive(unpacked: Path, monkeypatch: pytest.MonkeyPatch):
    expected = cifar10(seed=2)
    path = pack(unpacked)
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(image_sources, "CIFAR10", replace(image_sources.CIFAR10, sha256=sha))
    task = cifar10(seed=2)
    for part in PARTS:
        assert torch.equal(getattr(task, part).x, getattr(expected, part).x)
        assert torch.equal(getattr(task, part).y, getattr(expected, part).y)


def test_another_archive_or_batch_is_named(unpacked: Path):
    write_records(unpacked / "data_batch_3.bin", 10, seed=9)
    with pytest.raises(
        ValueError, match=r"data_batch_3\.bin has SHA-256 .*, expected .*Fetch it again from https://www"
    ):
        cifar10()
    pack(unpacked)
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz has SHA-256 .*, expected c4a38c50a1bc"):
        cifar10()


def test_without_files_cifar10_is_downloaded(folder: Path):
    with pytest.raises(
        ConnectionError, match=r"cifar-10-binary\.tar\.gz would be downloaded from https://www\.cs\.toronto"
    ):
        cifar10()


@pytest.fixture
def sheets(folder: Path) -> Path:
    """Sheets of four images a class for training and two for testing, each class of its own brightness."""
    inside = folder / "cifar10-subset"
    inside.mkdir()
    for part, columns in (("train", 2), ("test", 1)):
        for k, name in enumerate(image_sources.CLASSES):
            sheet = 25 * k + noise(64, 32 * columns, 3, seed=k) // 32
            Image.fromarray(sheet.astype(np.uint8)).save(inside / f"{part}_{k}_{name}.png")
    return inside


@pytest.mark.usefixtures("sheets")
def test_a_part_of_cifar10_comes_from_sheets_with_the_class_of_their_names_and_shuffled():
    task = cifar10(seed=1)
    assert task.name == "cifar10-subset-32"
    assert [len(getattr(task, part)) for part in PARTS] == [36, 4, 20]
    for part in PARTS:
        x, y = getattr(task, part).x, getattr(task, part).y
        brightness = ((x + 1) * 127.5).mean(dim=(1, 2, 3))
        assert ((brightness / 25).floor().long() == y).all()
    assert torch.bincount(task.test.y).tolist() == [2] * 10
    assert task.test.y.tolist() != sorted(task.test.y.tolist())
    assert torch.equal(task.test.x, cifar10(seed=2).test.x)
    assert cifar10(size=16).name == "cifar10-subset-16"


@pytest.mark.usefixtures("sheets", "unpacked")
def test_the_whole_of_cifar10_goes_before_its_part_unless_the_part_is_asked_for():
    assert cifar10().name == "cifar10-32"
    assert cifar10(subset=True).name == "cifar10-subset-32"


def test_the_part_does_not_stand_for_the_whole_where_that_is_asked_for(sheets: Path):
    with pytest.raises(ConnectionError, match="would be downloaded"):
        cifar10(subset=False)
    (sheets / "test_3_cat.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"cifar10-subset/test_3_cat\.png is read from the folder"):
        cifar10()


def test_a_sheet_is_checked_where_the_folder_has_a_list_of_sha256(sheets: Path):
    sums = sheets.parent / "SHA256SUMS"
    sha = hashlib.sha256((sheets / "train_0_airplane.png").read_bytes()).hexdigest()
    sums.write_text(f"{sha}  cifar10-subset/train_0_airplane.png\n")
    cifar10()
    sums.write_text(f"{'0' * 64}  cifar10-subset/train_0_airplane.png\n")
    with pytest.raises(ValueError, match=r"train_0_airplane\.png has SHA-256 .*, expected 000"):
        cifar10()


# SVHN


def test_svhn_is_read_from_the_readers_folder(folder: Path):
    (folder / "svhn").mkdir()
    for seed, (part, n) in enumerate((("train", 20), ("test", 3))):
        y = (np.arange(n) % 10 + 1)[:, None].astype(np.uint8)  # 10 stands for 0
        savemat(folder / "svhn" / f"{part}_32x32.mat", {"X": noise(32, 32, 3, n, seed=seed), "y": y})
    task = svhn()
    assert (task.name, shape_of(task)) == ("svhn-32", (3, 32, 32))
    assert [len(getattr(task, part)) for part in PARTS] == [18, 2, 3]
    assert task.test.y.tolist() == [1, 2, 3]
    assert sorted(torch.cat([task.train.y, task.valid.y]).tolist()) == sorted([*range(10)] * 2)
    assert task.test.x[2, 1, 4, 6].item() == pytest.approx(
        noise(32, 32, 3, 3, seed=1)[4, 6, 1, 2] / 127.5 - 1, abs=1e-6
    )
    assert shape_of(svhn(size=16)) == (3, 16, 16)


@pytest.mark.parametrize("task, side", [(mnist, 28), (fashion_mnist, 28), (cifar10, 32), (svhn, 32)])
def test_a_size_that_there_is_not_is_refused_before_any_file_is_looked_for(task: Callable[..., Task], side: int):
    with pytest.raises(ValueError, match=f"has {side} pixels a side: expected size={side} or {side // 2}, got 15"):
        task(size=15)


@pytest.mark.parametrize("task", [svhn, fashion_mnist, lambda: cifar10(subset=True)])
def test_a_set_that_is_not_downloaded_says_where_it_belongs(task: Callable[[], Task], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EBM_COURSE_DATA", raising=False)
    with pytest.raises(
        FileNotFoundError, match="named by EBM_COURSE_DATA, and EBM_COURSE_DATA is not set: get it from"
    ):
        task()


def test_a_large_logit_of_double_precision_is_no_nan():
    batch = Batch(torch.zeros(1, 1, 2, 2), torch.tensor([1]))
    assert score(torch.tensor([[1e300, 0.0]], dtype=torch.float64), batch)["nll"] == 1e300
    with pytest.raises(
        ValueError, match=r"real logits \(N, K\), N > 0, with N labels: got \(1, 2\) of torch.complex64"
    ):
        score(torch.zeros(1, 2, dtype=torch.complex64), batch)


def test_what_is_no_task_of_images_has_no_shape_and_without_labels_no_classes():
    points = Batch(torch.zeros(3, 2))
    task = Task("points", points, points, points, None, score)
    with pytest.raises(ValueError, match=r"images are \(N, C, H, W\): points has states \(3, 2\)"):
        shape_of(task)
    for part in (points, Batch(points.x[:0], torch.zeros(0).long())):
        with pytest.raises(ValueError, match="classes are counted by labels: points has none"):
            n_classes_of(replace(task, train=part, valid=part, test=part))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_are_refused_and_not_counted_as_wrong(bad: float) -> None:
    logits = torch.tensor([[2.0, 0.0], [bad, 0.0]])
    with pytest.raises(FloatingPointError, match="a logit is not finite"):
        score(logits, Batch(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])))
