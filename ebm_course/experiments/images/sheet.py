"""A few samples of every arm and every way, one of each class, to be kept beside the record. It trains nothing.

>>> import torch
>>> from tempfile import TemporaryDirectory
>>> from ebm_course.experiments.images.config import SMOKE
>>> from ebm_course.storage import write_tensors
>>> tiles = {name: torch.zeros(20, 1, 8, 8, dtype=torch.uint8) for name in ("data", "start", "short")}
>>> with TemporaryDirectory() as folder:
...     measured = Path(folder) / "run-0/digits/jem-measured"
...     write_tensors(measured / SAMPLES, tiles, {})
...     write_tensors(Path(folder) / "run-0/digits/jem" / BUFFER, {"x": torch.zeros(30, 1, 8, 8)}, {})
...     found = sheet(SMOKE, Path(folder))
>>> {name: len(images) for name, images in found.items()}
{'digits/data': 10, 'digits/start': 10, 'digits/jem/short': 10, 'digits/jem/buffer': 10}
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ebm_course.experiments.images.config import Config
from ebm_course.experiments.images.findings import WAYS
from ebm_course.experiments.images.measurements import BUFFER, SAMPLES
from ebm_course.experiments.images.sampling import in_bytes
from ebm_course.storage import read_tensors

N_IMAGES = 10
"""Of every way: one of each of the ten classes; of a buffer, whose chains have none, the first ones."""
ALIKE = ("data", "start")
"""Held-out images and starts of chains, which all arms of a run share."""


def sheet(config: Config, folder: Path) -> dict[str, Tensor]:
    """What the first run keeps of the samples it has measured.

    Args:
        config: the experiment's.
        folder: of its stages.

    Returns:
        ``DATA/data``, ``DATA/start`` and ``DATA/ARM/WAY`` -> images (10, channels, H, W) as bytes. Arms whose samples
        are not kept, as those that diverged, are left out.
    """
    found: dict[str, Tensor] = {}
    for data in config.data:
        for variant in config.arms(data):
            file = folder / f"{variant.stage(0)}-measured" / SAMPLES
            if not file.is_file():
                continue
            tiles, _ = read_tensors(file, sealed=True)
            buffer = folder / variant.stage(0) / BUFFER
            if buffer.is_file():
                tiles["buffer"] = in_bytes(read_tensors(buffer)[0]["x"][:N_IMAGES])
            for name in (way for way in (*ALIKE, *WAYS) if way in tiles):
                of = data if name in ALIKE else variant.name
                found.setdefault(f"{of}/{name}", tiles[name][:N_IMAGES])
    return found
