"""Where sets of images are: in the folder named by ``EBM_COURSE_DATA``, else at a public address, by their SHA-256.

What is returned is (images, labels) for training and for testing, uint8, as published. It knows no split and no range.
Sources: LeCun et al. (1998), MNIST; Krizhevsky (2009), CIFAR-10; Xiao et al. (2017), Fashion-MNIST;
Netzer et al. (2011), SVHN.

Where files lie that are looked for, and what is said where a set has to be put there and is not:

>>> import tempfile
>>> from unittest.mock import patch
>>> with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", EBM_COURSE_DATA=folder):
...     for name in ("cifar10-subset/x.png", "svhn/train_32x32.mat", "svhn/test_32x32.mat", "cifar-10-binary.tar.gz"):
...         (Path(folder) / name).parent.mkdir(exist_ok=True)
...         (Path(folder) / name).touch()
...     has_cifar10(), has_cifar10_sheets(), has_svhn(), has_fashion_mnist()
(True, True, True, False)
>>> with patch.dict("os.environ", EBM_COURSE_DATA=""):
...     svhn_files()  # doctest: +ELLIPSIS
Traceback (most recent call last):
FileNotFoundError: svhn/train_32x32.mat is read from the folder named by EBM_COURSE_DATA, and ... is not set: get it...
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ebm_course.files import DataFile, check_sha256, fetch, read_sums
from ebm_course.runtime import data_folder
from ebm_course.tasks.image_formats import read_idx, read_matlab, read_records, read_sheet

Parts = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(images, labels) for training, and for testing."""

IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

MNIST_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST = {  # SHA-256 of the file as published, and of what it holds
    IDX[0]: (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    IDX[1]: (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    IDX[2]: (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    IDX[3]: (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}

CIFAR10 = DataFile(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
UNPACKED = "cifar-10-batches-bin"
BATCHES = {  # SHA-256 of what the archive holds
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}

SHEETS = "cifar10-subset"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def mnist_files() -> Parts:
    """MNIST, 60,000 and 10,000 images (N, 1, 28, 28): ``mnist/*.gz`` of the local folder, else downloaded once.

    Raises:
        ValueError: a file is damaged, or holds other numbers than MNIST.
        ConnectionError: a file is not there and cannot be downloaded.

    >>> import tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", EBM_COURSE_DATA=folder):
    ...     (Path(folder) / "mnist").mkdir()
    ...     _ = (Path(folder) / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"cut short")
    ...     mnist_files()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...train-images-idx3-ubyte.gz is damaged or another file: it cannot be unpacked (...). Fetch it again.
    """
    found, folder = [], data_folder()
    for name, (packed, content) in MNIST.items():
        path = folder / "mnist" / f"{name}.gz" if folder else None
        if path is None or not path.is_file():
            path = fetch(DataFile(f"mnist/{name}.gz", f"{MNIST_ADDRESS}{name}.gz", packed))
        found.append(read_idx(path, sha256=content))
    return _paired(found, "MNIST")


def fashion_mnist_files() -> Parts:
    """Fashion-MNIST, as MNIST: ``fashion-mnist/*.gz`` of the local folder.

    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", EBM_COURSE_DATA=""):
    ...     fashion_mnist_files()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: fashion-mnist/train-images-idx3-ubyte.gz is read from the folder named by EBM_COURSE_DATA...
    """
    get = _local("fashion-mnist", "https://github.com/zalandoresearch/fashion-mnist")
    return _paired([read_idx(get(f"{name}.gz")) for name in IDX], "Fashion-MNIST")


def has_fashion_mnist() -> bool:
    """Whether Fashion-MNIST lies in the local folder."""
    folder = data_folder()
    return folder is not None and all((folder / "fashion-mnist" / f"{name}.gz").is_file() for name in IDX)


def has_svhn() -> bool:
    """Whether SVHN lies in the local folder."""
    folder = data_folder()
    return folder is not None and all((folder / "svhn" / f"{part}_32x32.mat").is_file() for part in ("train", "test"))


def svhn_files() -> Parts:
    """SVHN, 73,257 and 26,032 images (N, 3, 32, 32) of house numbers: ``svhn/*_32x32.mat`` of the local folder."""
    get = _local("svhn", "http://ufldl.stanford.edu/housenumbers")
    return read_matlab(get("train_32x32.mat")), read_matlab(get("test_32x32.mat"))


def cifar10_files() -> Parts:
    """CIFAR-10, 50,000 and 10,000 images (N, 3, 32, 32).

    From ``cifar-10-batches-bin/*.bin`` of the local folder, from the archive ``cifar-10-binary.tar.gz`` there, or from
    a download of it, which is kept.

    Raises:
        ValueError: a file is damaged, or another than the binary CIFAR-10.
        ConnectionError: neither is there and the archive cannot be downloaded.

    >>> import tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", EBM_COURSE_DATA=folder):
    ...     _ = (Path(folder) / "cifar-10-binary.tar.gz").write_bytes(b"cut short")
    ...     cifar10_files()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...cifar-10-binary.tar.gz has SHA-256 ..., expected c4a38c50...: it is cut short or another file...
    """
    folder = data_folder()
    unpacked = folder / UNPACKED if folder else None
    if unpacked is not None and unpacked.is_dir():
        content = _local(UNPACKED, CIFAR10.url)
        read = {
            name: check_sha256(content(name), sha, f"Fetch it again from {CIFAR10.url}.").read_bytes()
            for name, sha in BATCHES.items()
        }
    else:
        read = _members(fetch(CIFAR10))
    batches = [read_records(read[name], name) for name in BATCHES]
    x, y = zip(*batches[:-1], strict=True)
    return (torch.cat(x), torch.cat(y)), batches[-1]


def has_cifar10() -> bool:
    """Whether the whole CIFAR-10 lies in the local folder, unpacked or not."""
    folder = data_folder()
    return folder is not None and ((folder / UNPACKED).is_dir() or (folder / CIFAR10.name).is_file())


def has_cifar10_sheets() -> bool:
    """Whether a part of CIFAR-10 lies in the local folder as sheets."""
    folder = data_folder()
    return folder is not None and (folder / SHEETS).is_dir()


def cifar10_sheets() -> Parts:
    """A part of CIFAR-10 from sheets ``cifar10-subset/{train,test}_{0..9}_{class}.png`` of the local folder, by class.

    Raises:
        ValueError: a sheet is damaged, or another than ``SHA256SUMS`` of the folder names, where that is there.

    >>> import tempfile
    >>> from unittest.mock import patch
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", EBM_COURSE_DATA=folder):
    ...     (Path(folder) / SHEETS).mkdir()
    ...     for name in (f"{part}_{k}_{name}.png" for part in ("train", "test") for k, name in enumerate(CLASSES)):
    ...         Image.new("RGB", (32, 32)).save(Path(folder) / SHEETS / name)
    ...     (x, y), test = cifar10_sheets()
    >>> x.shape, y.tolist()
    (torch.Size([10, 3, 32, 32]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    get, folder = _local(SHEETS, "the one who gave you the sheets"), data_folder()
    sums = read_sums(folder / "SHA256SUMS") if folder else {}
    parts = []
    for part in ("train", "test"):
        x, y = [], []
        for k, name in enumerate(CLASSES):
            sheet = f"{part}_{k}_{name}.png"
            path = get(sheet)
            if f"{SHEETS}/{sheet}" in sums:
                check_sha256(path, sums[f"{SHEETS}/{sheet}"], "Copy it again.")
            x.append(read_sheet(path))
            y.append(torch.full((len(x[-1]),), k, dtype=torch.uint8, device="cpu"))
        parts.append((torch.cat(x), torch.cat(y)))
    return parts[0], parts[1]


def _local(name: str, origin: str) -> Callable[[str], Path]:
    """Finds files of a set that is not downloaded, by their names."""

    def get(file: str) -> Path:
        folder = data_folder()
        path = (folder or Path("EBM_COURSE_DATA")) / name / file
        if not path.is_file():
            where = "EBM_COURSE_DATA is not set" if folder is None else f"there is no {path}"
            raise FileNotFoundError(
                f"{name}/{file} is read from the folder named by EBM_COURSE_DATA, and {where}: "
                f"get it from {origin} and put it there."
            )
        return path

    return get


def _members(path: Path) -> dict[str, bytes]:
    """The batches of the archive by name, in one pass, without unpacking it to the disk."""
    read = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in BATCHES and (file := archive.extractfile(member)):
                read[name] = file.read()
    return read


def _paired(found: list[Tensor], name: str) -> Parts:
    """Images get their axis of channels; each part has as many labels as images."""
    for x, y in (found[:2], found[2:]):
        if x.shape[1:] != (28, 28) or y.shape != x.shape[:1]:
            raise ValueError(
                f"{name} has images (N, 28, 28) and labels (N,): got {tuple(x.shape)} and {tuple(y.shape)}. "
                f"Fetch the files again, each under its own name."
            )
    return (found[0][:, None], found[1]), (found[2][:, None], found[3])
