"""Files that a run writes: whole or not at all, checked when read, and folders that one run works in at a time.

Tensors are kept as safetensors with a JSON note, results as JSON. Both carry the SHA-256 of their content, so that a
damaged file is named and never read as another result. It knows no task, no net and no training.

>>> from torch import tensor
>>> with tempfile.TemporaryDirectory() as folder:
...     path = check_writable(Path(folder) / "new" / "some.safetensors")
...     write_tensors(path, {"x": tensor([1.0, 2.0])}, {"seed": 0})
...     read_tensors(path)
...     with one_at_a_time(path.with_name("count.json")):
...         write_json(path.with_name("count.json"), {"n": 1})
...         path.with_name(".count.json.lock").exists()  # for which others wait
...     read_json(path.with_name("count.json"))
({'x': tensor([1., 2.])}, {'seed': 0})
True
{'n': 1}
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load as of_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from ebm_course.origin import digest, in_order

LOCK = ".lock"
A_DAY = 24 * 3600.0
MACHINE = re.sub("[^A-Za-z0-9]", "_", platform.node())


@contextmanager
def locked(folder: Path, name: str = LOCK, *, patience: float = 0.0) -> Iterator[None]:
    """Inside, no other process or thread works in the folder; the system takes the lock from a killed process.

    Args:
        folder: made where it is missing.
        name: of the lock: those of other names do not meet.
        patience: seconds to wait for another.

    Raises:
        BlockingIOError: another run works there.
        OSError: a part of the path is a file, or the folder is read-only.

    >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder)):
    ...     with locked(Path(folder)):  # doctest: +ELLIPSIS
    ...         pass
    Traceback (most recent call last):
    BlockingIOError: ... is in use by another run, expected a folder of this run alone. Wait for the other, or give ...
    """
    check_writable(folder / name)
    lock = FileLock(folder / name)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise BlockingIOError(
            f"{folder} is in use by another run, expected a folder of this run alone. "
            f"Wait for the other, or give this one another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Inside, no other process or thread is inside for this path: what is read, changed and written loses nothing."""
    with FileLock(path.with_name(f".{path.name}{LOCK}")):
        yield


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: beside its place first, then moved there.

    What a killed process has left in that folder on the way to such a move is deleted.

    Args:
        path: where to write, through a link to the file that it names; its folder is made where it is missing.
        content: the bytes of the file.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder) / "new" / "some.txt", b"first")
    ...     write_atomically(Path(folder) / "new" / "some.txt", b"second")
    ...     [(path.name, path.read_bytes()) for path in (Path(folder) / "new").iterdir()]
    [('some.txt', b'second')]
    """
    path = real(path)  # a link stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    for part in path.parent.glob(".*.part"):
        if _abandoned(part):
            part.unlink(missing_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes a file that nobody else can read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> Path:
    """The path, refused where its folder cannot be made or written to, before the work that should end there.

    Raises:
        OSError: a part of the path is a file, or the folder is read-only; the message names it.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected the name of a file to write.")
    place = real(path) if path.is_symlink() else path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=_prefix(place), suffix=".part"):
            return path
    except OSError as error:
        raise type(error)(f"nothing can be written to {place.parent} ({error}): name another place.") from error


def real(path: Path) -> Path:
    """The path that links lead to, without an error where they lead in a circle: nothing can be written there anyway.

    >>> real(Path("/some") / ".." / "other").name
    'other'
    """
    return Path(os.path.realpath(path))


def _prefix(path: Path) -> str:
    return f".{path.name}.{MACHINE}-{os.getpid()}."


def _abandoned(part: Path) -> bool:
    """Whether a half-written file is of a process of this machine that has ended, or older than a day."""
    owner = re.fullmatch(r"\..*\.(\w*)-(\d+)\.[^.]*\.part", part.name)
    if not owner:  # not of this package
        return False
    try:
        if owner[1] == MACHINE and os.name == "posix":  # elsewhere signal 0 would end it
            os.kill(int(owner[2]), 0)
        return time.time() - part.stat().st_mtime > A_DAY
    except ProcessLookupError:
        return True
    except OSError:  # another user's process, or the file is gone
        return False


def write_tensors(path: Path, tensors: Mapping[str, Tensor], note: Any) -> None:
    """Write named tensors and a JSON note as one safetensors file, atomically.

    Args:
        path: where to write.
        tensors: name -> tensor on any device; copied, so tensors may share memory.
        note: anything JSON can hold.

    Raises:
        TypeError: what is to be written is no tensor with numbers of its own, such as one on the meta device.
    """
    for name, t in tensors.items():
        if not isinstance(t, Tensor) or t.is_meta or t.is_quantized or t.layout != torch.strided:
            raise TypeError(f"{name} is to be written: expected a dense tensor with numbers in memory, got {t!r:.60}.")
    copies = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    text = json.dumps(note)
    write_atomically(path, in_order(to_bytes(copies, metadata={"note": text, "sha256": _content(copies, text)})))


def read_tensors(path: Path, *, sealed: bool = False) -> tuple[dict[str, Tensor], Any]:
    """The tensors, on the CPU with memory of their own, and the note of a file made by :func:`write_tensors`.

    Args:
        sealed: refuse a file without the hash of its content, as files of earlier versions are.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: there is a folder of this name.
        ValueError: the file is truncated or of another format, or its content is not what was written.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected a file. Move it, or name another place.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        content = path.read_bytes()  # not mapped: whoever cut the file short meanwhile would end this process
        tensors = of_bytes(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header.get("__metadata__", {})
        text = metadata.get("note", "{}")
        if metadata.get("sha256", "" if sealed else None) not in (None, _content(tensors, text)):
            raise ValueError("its content has another SHA-256 than the one it was written with")
        return tensors, json.loads(text)
    except (SafetensorError, ValueError, RecursionError) as error:  # a fault of JSON is a ValueError, or of its depth
        size = path.stat().st_size
        raise ValueError(
            f"{path} ({size} bytes) is truncated, damaged or no safetensors file ({error}): expected a whole one. "
            f"Delete it and make or fetch it again."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value with the SHA-256 of its content, atomically.

    Raises:
        ValueError: a number of it is not finite.
    """
    content = json.dumps(value, allow_nan=False)
    whole = {"sha256": hashlib.sha256(content.encode()).hexdigest(), "content": value}
    write_atomically(path, json.dumps(whole, indent=1, allow_nan=False).encode())


def read_json(path: Path) -> Any:
    """The value of a file made by :func:`write_json`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is cut short, damaged, or was not made so; the message names it.
    """
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        content = whole["content"]
        if whole["sha256"] != hashlib.sha256(json.dumps(content, allow_nan=False).encode()).hexdigest():
            raise ValueError("its content has another SHA-256 than the one it was written with")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) is cut short, damaged or of another version of the course "
            f"({error}): expected a file written whole. Delete it, and its work is done again."
        ) from error
    return content


def _content(tensors: Mapping[str, Tensor], note: str) -> str:
    return hashlib.sha256(f"{digest(tensors)} {note}".encode()).hexdigest()
