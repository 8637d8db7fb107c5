"""Pictures of samples kept beside a record, for readers who want to see what a distance or a score was given for.

They lie beside the record, ``<key>.samples.safetensors``, as bytes of pixels, with the record's command, seeds and
commit as their note. It knows no method.

>>> from tempfile import TemporaryDirectory
>>> made = ("python -m ebm_course reproduce blots", "0123abc", "a CPU", "2.13.0")
>>> record = Record("blots", "cpu", *made, 90.0, (3, 4), {}, (), choices=("data=toy",))
>>> tiles = {"toy/data": torch.zeros(2, 1, 8, 8, dtype=torch.uint8)}
>>> with TemporaryDirectory() as folder:
...     path = write(tiles, record, ledger.write(record, Path(folder)))
...     path.name, names(Path(folder)), read("blots-cpu-data=toy", folder=Path(folder))["toy/data"].shape
('blots-cpu-data=toy.samples.safetensors', ['blots-cpu-data=toy'], torch.Size([2, 1, 8, 8]))
>>> belongs({"command": made[0], "seeds": [3, 4], "commit": "0123abc"}, record), belongs({}, record)
(True, False)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebm_course.results import ledger
from ebm_course.results.record import Record
from ebm_course.storage import read_tensors, write_tensors

SUFFIX = ".samples.safetensors"


def read(key: str, *, folder: Path | None = None) -> dict[str, Tensor]:
    """The samples kept beside the record of this name.

    Args:
        key: the record's, such as ``images-cpu-data=digits``.
        folder: where both lie; by default the package's own folder.

    Returns:
        Name, such as ``digits/jem/short``, -> images (N, channels, H, W) of bytes, 0 to 255, in the order of writing.

    Raises:
        FileNotFoundError: no samples are kept beside it; the message names the records that have some.
        ValueError: the file is damaged, or of another run than the record.

    >>> tiles = read("images-cpu-data=digits")
    >>> tiles["digits/data"].shape, tiles["digits/data"].dtype
    (torch.Size([10, 1, 8, 8]), torch.uint8)
    """
    if key not in names(folder):
        raise FileNotFoundError(
            f"no samples are kept beside a record {key!r}: expected one of {', '.join(names(folder)) or '(none)'}."
        )
    path = (folder or ledger.FOLDER) / f"{key}{SUFFIX}"
    tiles, note = read_tensors(path, sealed=True)
    if not belongs(note, ledger.read(key, folder=folder)):
        raise ValueError(f"{path.name} is of another run than the record beside it. Run its command again.")
    return {name: tiles[name] for name in note["names"]}


def names(folder: Path | None = None) -> list[str]:
    """The records in a folder that have samples, by default in the package's own, in alphabetical order.

    >>> "images-cpu-data=digits" in names()
    True
    """
    return sorted(path.name.removesuffix(SUFFIX) for path in (folder or ledger.FOLDER).glob(f"*{SUFFIX}"))


def write(tiles: Mapping[str, Tensor], record: Record, path: Path) -> Path | None:
    """Keep samples beside a record; where there are none, those of an earlier record are removed.

    Args:
        tiles: name -> images (N, channels, H, W) of bytes.
        record: whose samples they are.
        path: the record's own file.

    Raises:
        ValueError: tiles that are no images of bytes; the message names the first.

    >>> write({"toy": torch.zeros(2, 8, 8)}, None, Path("toy.json"))
    Traceback (most recent call last):
        ...
    ValueError: samples toy: expected images (N, channels, H, W) of uint8, got (2, 8, 8) of float32.
    """
    beside = path.with_name(f"{path.stem}{SUFFIX}")
    for name, images in tiles.items():
        if images.ndim != 4 or images.dtype != torch.uint8:
            kind = str(images.dtype).removeprefix("torch.")
            raise ValueError(
                f"samples {name}: expected images (N, channels, H, W) of uint8, got {tuple(images.shape)} of {kind}."
            )
    if not tiles:
        beside.unlink(missing_ok=True)
        return None
    write_tensors(beside, tiles, _note_of(record) | {"names": list(tiles)})
    return beside


def _note_of(record: Record) -> dict[str, Any]:
    """What stands beside the samples and names the run that drew them."""
    return {"command": record.command, "seeds": list(record.seeds), "commit": record.commit}


def belongs(note: Any, record: Record) -> bool:
    """Whether samples with this note are those of the record."""
    return _note_of(record).items() <= dict(note).items()
