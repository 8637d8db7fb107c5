"""Where a number comes from: the commit of the sources and the machine they ran on. It knows no recipe."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import torch

from ebm_course import __version__
from ebm_course.runtime import Run, describe

PACKAGE = Path(__file__).parents[1]
PROCESSORS = Path("/proc/cpuinfo")  # Linux


def commit(package: Path = PACKAGE) -> str:
    """The commit of the checkout the package lies in, else the package's version.

    ``+changes`` follows where files that git knows differ from that commit.

    >>> commit(Path("no checkout")) == f"version {__version__}"
    True
    """
    try:
        # An environment may lie in a checkout of something else.
        _git(package, "ls-files", "--error-unmatch", "core.py")
        found = _git(package, "rev-parse", "HEAD")
        changes = _git(package, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"  # the package need not be installed
    return found + ("+changes" if changes else "")


def hardware(run: Run) -> str:
    """One line on the machine: its processor, and the GPU or the number of CPU threads torch uses.

    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> hardware(SINGLE_PROCESS) == f"{processor()}, cpu, {torch.get_num_threads()} threads"
    True
    """
    lines = [processor(), describe(run.device)]
    if run.device.type != "cpu":
        lines.append(f"{torch.get_num_threads()} CPU threads")
    if run.n_processes > 1:
        lines.append(f"{run.n_processes} processes")
    return ", ".join(lines)


def processor(listing: Path = PROCESSORS) -> str:
    """The processor's name, from the system's listing where there is one.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     n_letters = (Path(folder) / "cpuinfo").write_text("model name : A processor")
    ...     processor(Path(folder) / "cpuinfo")
    'A processor'
    """
    found = re.search(r"^model name\s*:\s*(.+)$", listing.read_text(), re.MULTILINE) if listing.is_file() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
