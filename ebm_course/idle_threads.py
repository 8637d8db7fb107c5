"""Idle threads of torch sleep and do not spin, also where torch was loaded before this package.

OpenMP reads how threads wait once, when torch is loaded. While there are more threads than processors, though, GNU's
OpenMP, which torch has on Linux, spins a three-hundredth as long: its manual says so under GOMP_SPINCOUNT. So threads
that sleep for good cure those that would spin. It knows torch and OpenMP alone.
"""

from __future__ import annotations

import functools
import os
import sys
import threading

import torch

from ebm_course import TORCH_CAME_FIRST


@functools.cache
def let_idle_threads_sleep() -> bool:
    """Start sleeping threads, one more than there are processors, where idle ones of torch would spin; once.

    Returns:
        Whether that was called for: torch was loaded first, on Linux, has several threads, and nothing was asked for.

    >>> let_idle_threads_sleep() is let_idle_threads_sleep()
    True
    """
    n_threads = torch.get_num_threads()
    if not TORCH_CAME_FIRST or sys.platform != "linux" or n_threads == 1:
        return False
    ready = threading.Event()
    threading.Thread(target=_sleep, args=[ready], name="ebm_course-sleeper", daemon=True).start()
    ready.wait()
    torch.set_num_threads(n_threads)
    return True


def _sleep(ready: threading.Event) -> None:
    """Let this thread have a team of OpenMP as large as the machine, and keep it, asleep, to the end of the process."""
    try:
        n_processors = len(os.sched_getaffinity(0))
        torch.set_num_threads(n_processors)
        torch.zeros(n_processors << 16, device="cpu").add_(1)  # large enough for all of them
    finally:
        ready.set()
    threading.Event().wait()
