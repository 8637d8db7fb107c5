"""How many processors and how much memory this process may use: its own share, and the quota of its container.

Torch starts a thread for each core of the machine. Where a container may use two of sixty-four, the others only wait
for their turn. It knows files of Linux and nothing of torch; elsewhere it counts what the system says.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath


def usable_processors(root: Path = Path("/")) -> int:
    """The number of threads that can run at once, 1 or more: a quota of 2.5 processors counts 2.

    Args:
        root: where ``proc`` and ``sys`` lie.

    >>> 1 <= usable_processors() <= (os.cpu_count() or 1)
    True
    """
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min([bound, *map(int, _quotas(root))]))


def usable_memory(root: Path = Path("/")) -> float:
    """Bytes of memory that this process may have at most; infinite where the system does not say.

    Args:
        root: where ``proc`` and ``sys`` lie.

    >>> usable_memory() > 0
    True
    """
    found = []
    with suppress(OSError, ValueError, AttributeError):  # there are no such names on Windows
        found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    mounted = root / "sys/fs/cgroup"
    for controllers, group in _groups(root / "proc/self/cgroup"):
        for place in (group, *group.parents):
            inner = str(place).strip("/")
            version_2, version_1 = mounted / inner / "memory.max", mounted / "memory" / inner / "memory.limit_in_bytes"
            if not controllers or "memory" in controllers.split(","):
                with suppress(OSError, ValueError):  # "max" is no number
                    found.append(float((version_1 if controllers else version_2).read_text()))
    return min(found, default=float("inf"))


def _quotas(root: Path) -> Iterator[float]:
    """Processors that each control group round this process may use: of version 2 and of version 1."""
    mounted = root / "sys/fs/cgroup"
    for controllers, group in _groups(root / "proc/self/cgroup"):
        for place in (group, *group.parents):  # a limit further out holds as well
            inner = str(place).strip("/")
            if not controllers:
                yield from _quota(mounted / inner / "cpu.max")
            elif "cpu" in controllers.split(","):
                folder = mounted / "cpu" / inner
                yield from _quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")


def _quota(*files: Path) -> Iterator[float]:
    """Time over period from files that hold both, where there are such and they set a limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):  # "max" is no number
        quota, period = (float(number) for file in files for number in file.read_text().split())
        if quota > 0:  # -1 is no limit
            yield quota / period


def _groups(listing: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """Controllers, none of version 2, and the group of this process, from lines as ``4:cpu,cpuacct:/a/b``."""
    with suppress(OSError, ValueError):
        for line in listing.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            yield controllers, PurePosixPath(group)
