"""Data sets and checkpoints, each known by its SHA-256.

A data set is read from the folder named by ``EBM_COURSE_DATA`` or downloaded once by pooch. A checkpoint is a
safetensors file with a JSON note in its header (see ``storage``): it holds numbers and text, never code. It knows no
task and no net.

>>> import tempfile, torch
>>> from unittest.mock import patch
>>> net, fresh = nn.Linear(2, 1), nn.Linear(2, 1)
>>> with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", EBM_COURSE_DATA=folder):
...     home = Path(folder)
...     (home / "SHA256SUMS").touch()  # a list of checkpoints, renewed from here on
...     made = save_checkpoint(home / "net.safetensors", net, meta={"seed": 0})
...     _, note = load_checkpoint(shipped_checkpoint("net", folder=home), fresh)
...     made == sha256_of(home / "net.safetensors") == read_sums(home / "SHA256SUMS")["net.safetensors"]
...     fetch(DataFile("net.safetensors", "https://example.org/net", made)).name  # found there, not downloaded
True
'net.safetensors'
>>> note, torch.equal(fresh.weight, net.weight)
({'seed': 0}, True)
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch
from torch import Tensor, nn

from ebm_course.origin import Origin, load_weights, weights_of
from ebm_course.runtime import data_folder
from ebm_course.storage import one_at_a_time, read_tensors, write_atomically, write_tensors

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""Where the checkpoints that come with the course lie, beside their list ``SHA256SUMS``."""

ATTEMPTS = 3
"""How often a download is tried."""

OF_THE_DISK = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO")}
OF_THE_DISK -= {None}


@dataclass(frozen=True)
class DataFile:
    """A published file: its place ``folder/name`` among the data sets, its public address and its SHA-256."""

    name: str
    url: str
    sha256: str


def cache_folder() -> Path:
    """Where downloads are kept: the operating system's cache folder for this course.

    >>> "ebm_course" in str(cache_folder())
    True
    """
    return Path(pooch.os_cache("ebm_course"))


def fetch(file: DataFile, *, cache: Path | None = None) -> Path:
    """The path of a data file, from the local folder if it is there, else downloaded once.

    Args:
        file: what to find; its SHA-256 is checked wherever it comes from.
        cache: where downloads are kept; by default :func:`cache_folder`.

    Raises:
        ValueError: the local file or the download has another SHA-256; a download cut short has one.
        ConnectionError: the file is not there and cannot be downloaded, after three attempts.
        OSError: it cannot be stored, as on a full disk.
        FileNotFoundError: ``EBM_COURSE_DATA`` names no folder.
    """
    local = data_folder()
    if local is not None and (local / file.name).is_file():
        return check_sha256(local / file.name, file.sha256, f"Fetch it again from {file.url}.")
    path = (cache or cache_folder()) / file.name
    path.parent.mkdir(parents=True, exist_ok=True)  # here, lest a fault of the disk be taken for one of the network
    pooch.get_logger().setLevel("WARNING")  # its messages name machine paths, which would be stored in notebooks
    try:
        # Downloads to a temporary name, checks the hash, then moves; once more after one second, and after two.
        source = {"base_url": "", "registry": {path.name: f"sha256:{file.sha256}"}, "urls": {path.name: file.url}}
        pooch.create(path.parent, **source, retry_if_failed=ATTEMPTS - 1).fetch(path.name)
    except OSError as error:
        if error.errno in OF_THE_DISK:
            raise type(error)(
                error.errno,
                f"{file.name} of {file.url} cannot be stored ({error.strerror}): expected a folder with room for it. "
                f"Free some, or name a folder that holds {file.name} in EBM_COURSE_DATA",
                str(path.parent),
            ) from error
        raise ConnectionError(
            f"{file.name} could not be downloaded from {file.url} ({type(error).__name__}): expected a network "
            f"connection. Try again, or name a folder that holds {file.name} in EBM_COURSE_DATA."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"the download of {file.name} from {file.url} is cut short or another file: {error} Nothing was kept: "
            f"try again, or name a folder that holds {file.name} in EBM_COURSE_DATA."
        ) from error
    return path


def check_sha256(path: Path, expected: str, remedy: str) -> Path:
    """The path, refused where the file's SHA-256 is another.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (path := Path(folder) / "empty").touch()
    ...     check_sha256(path, "0" * 64, "Fetch it again.")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...empty has SHA-256 e3b0c442..., expected 0000...: it is cut short or another file. Fetch it again.
    """
    found = sha256_of(path)
    if found != expected.lower():
        raise ValueError(f"{path} has SHA-256 {found}, expected {expected}: it is cut short or another file. {remedy}")
    return path


def read_sums(path: Path) -> dict[str, str]:
    """File name -> SHA-256 of a ``SHA256SUMS`` file as ``sha256sum`` writes it; empty where there is none.

    Raises:
        ValueError: a line is none of such a file; the message names it.
    """
    text = path.read_bytes().decode("utf-8-sig", "replace") if path.is_file() else ""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        parts = re.fullmatch(r"([0-9A-Fa-f]{64}) [ *](\S.*)", line)
        if parts:
            found[parts[2]] = parts[1].lower()
        elif line.strip():
            raise ValueError(
                f"line {number} of {path} is {line[:80]!r}, expected a SHA-256 of 64 digits, two spaces and a name. "
                f"Make the file again: sha256sum FILES > {path.name}."
            )
    return found


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(path: Path | str, source: nn.Module | Mapping[str, Tensor], *, meta: Mapping[str, Any]) -> str:
    """Write a module's weights and a note on where they come from, atomically.

    Args:
        path: where to write; ends in ``.safetensors``. In the course's own folder, and wherever ``SHA256SUMS`` lies
            beside it, its line there is renewed.
        source: a module, or its ``state_dict``; not changed.
        meta: a JSON dictionary: configuration, seed, command, scores.

    Returns:
        The file's SHA-256.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"a checkpoint's name ends in .safetensors: got {path.name!r}.")
    write_tensors(path, weights_of(source), dict(meta))
    digest, sums = sha256_of(path), path.with_name("SHA256SUMS")
    if sums.is_file() or path.parent.resolve() == CHECKPOINTS.resolve():
        with one_at_a_time(sums):
            lines = sorted((read_sums(sums) | {path.name: digest}).items())
            write_atomically(sums, "".join(f"{value}  {name}\n" for name, value in lines).encode())
    return digest


def load_checkpoint(
    path: Path | str, module: nn.Module | None = None, *, sha256: str | None = None, origin: Origin | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint, and put its weights into ``module`` where one is given.

    Args:
        path: a file made by :func:`save_checkpoint`.
        module: takes the weights; unchanged where anything does not fit.
        sha256: the file's hash, checked before it is read.
        origin: what must have made it by its note, checked before anything is loaded.

    Returns:
        ``(state, meta)``: the weights by name, on the CPU, and the note. Of a compiled module they have the names of
        the module itself, and can be loaded into either.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, has another hash or origin, or other names or shapes than the module.
    """
    path = Path(path)
    if sha256 is not None and path.is_file():
        check_sha256(path, sha256, "Delete it and make or fetch it again.")
    state, meta = read_tensors(path, sealed=origin is not None)
    state = weights_of(state)
    if not isinstance(meta, dict):
        raise ValueError(f"{path} has no note of a checkpoint. Make it with save_checkpoint.")
    if origin is not None:
        origin.check(meta.get("origin"), path)
    if module is not None:
        _check_fit(path, state, weights_of(module))
        load_weights(module, state)
    return state, meta


def shipped_checkpoint(name: str, *, folder: Path | None = None) -> Path:
    """The path of a checkpoint that comes with the course, its SHA-256 checked.

    Args:
        name: the file's name without ``.safetensors``.
        folder: where it lies with its list ``SHA256SUMS``; by default the course's own folder.

    Raises:
        ValueError: the file's hash is not the one in ``SHA256SUMS``.
        FileNotFoundError: no such checkpoint is listed there, or its file is missing.
    """
    folder = folder or CHECKPOINTS
    sums, path = read_sums(folder / "SHA256SUMS"), folder / f"{name}.safetensors"
    if path.name not in sums or not path.is_file():
        known = ", ".join(sorted(Path(listed).stem for listed in sums)) or "none"
        raise FileNotFoundError(
            f"no checkpoint {name!r} comes with the course: there are {known}. "
            f"Name one of them, or train it with python -m ebm_course train."
        )
    return check_sha256(path, sums[path.name], "Install the course again, or train it anew.")


def _check_fit(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if any(t.is_meta for t in expected.values()):
        raise ValueError(
            "the module lies on the meta device, expected one with memory to load weights into. "
            "Build it inside torch.device('cpu'), or call module.to_empty(device='cpu') first."
        )
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name} is unexpected" for name in found if name not in expected]
    for name in (name for name in expected if name in found):
        shapes = tuple(found[name].shape), tuple(expected[name].shape)
        if shapes[0] != shapes[1]:
            faults.append(f"{name} has shape {shapes[0]}, expected {shapes[1]}")
    if faults:
        more = f" (and {len(faults) - 4} more)" if len(faults) > 4 else ""
        raise ValueError(
            f"{path} does not fit the module: {'; '.join(faults[:4])}{more}. "
            f"Build the module with the configuration in the checkpoint's note."
        )
