"""Where the course runs: device, random streams, and the settings read from the environment.

The only module that reads environment variables or sets a global seed. ``EBM_COURSE_DATA`` names a folder of
data sets, ``EBM_COURSE_DEVICE`` overrides the device. It knows no task and no algorithm.
"""

from __future__ import annotations

import os
import platform
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch

PUBLIC_ADDRESS = ""
"""Where the course is published: the one setting that turns launch buttons and installation in Colab on."""


@dataclass(frozen=True)
class Run:
    """A device and a seed, from which every random stream of a run is named."""

    device: torch.device
    seed: int

    def generator(self, name: str) -> torch.Generator:
        """A fresh stream of its own: the same seed and name give the same draws, other names independent ones."""
        mixed = (self.seed * 0x9E3779B97F4A7C15 + zlib.crc32(name.encode())) % 2**63
        return torch.Generator(device=self.device).manual_seed(mixed)


def setup(seed: int = 0, *, device: str | None = None, quiet: bool = False) -> Run:
    """Choose a device, seed initialisation and dropout, print versions, and return the run's random streams.

    Args:
        seed: any integer, 0 or larger.
        device: a torch device; by default ``EBM_COURSE_DEVICE``, else a GPU if there is one, else the CPU.
        quiet: print nothing.

    Raises:
        RuntimeError: the device asked for is not there.
    """
    name = device or os.environ.get("EBM_COURSE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError(f"device {name!r} was asked for and torch sees no GPU: use device='cpu'.")
    torch.manual_seed(seed)
    run = Run(torch.device(name), seed)
    if not quiet:
        print(f"python {platform.python_version()} · torch {torch.__version__} · {describe(run.device)} · seed {seed}")
    return run


def describe(device: torch.device) -> str:
    """One line on a device: a GPU's name, or the number of CPU threads torch uses."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"{device.type}, {torch.get_num_threads()} threads"


def data_folder() -> Path | None:
    """The folder of local data sets named by ``EBM_COURSE_DATA``, or None.

    Raises:
        FileNotFoundError: the variable is set and names no folder.
    """
    value = os.environ.get("EBM_COURSE_DATA")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"EBM_COURSE_DATA names {value!r}, which is no folder: set it to one, or unset it.")
    return folder
