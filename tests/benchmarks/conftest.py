"""What the benchmarks share: two ways to the same result, run in turn, and the ratio of their times with its spread."""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

Act = Callable[[], Any]


@pytest.fixture(scope="session", autouse=True)
def freed_memory_is_kept() -> None:
    """Let glibc keep what is freed, so that whatever runs first does not pay alone for pages that all use after it.

    Measured: the first of two equal attacks on a small net took a fifth longer than the second. The two numbers name
    the size from which an allocation has pages of its own, and what may lie free before it goes back to the system.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-3, 32 << 20)
        libc.mallopt(-1, 1 << 30)


@pytest.fixture
def times_faster(benchmark: Any) -> Callable[..., float]:
    """``times_faster(name, fast, slow, rounds=...)``: the ratio slow / fast of the shortest times.

    It is printed and kept in the benchmark's ``extra_info``, with the lowest and highest ratio of single rounds.
    """

    def measure(name: str, fast: Act, slow: Act, *, rounds: int) -> float:
        slow_seconds: list[float] = []

        def time_slow() -> None:
            start = time.perf_counter()
            slow()
            slow_seconds.append(time.perf_counter() - start)

        benchmark.pedantic(fast, setup=time_slow, rounds=rounds, warmup_rounds=1)
        fast_seconds = benchmark.stats.stats.data
        pairs = zip(slow_seconds[-len(fast_seconds) :], fast_seconds, strict=True)  # the first slow one warmed up
        ratios = [s / f for s, f in pairs]
        ratio = min(slow_seconds[-len(fast_seconds) :]) / min(fast_seconds)
        benchmark.extra_info[name] = {"of_shortest": ratio, "lowest": min(ratios), "highest": max(ratios)}
        print(f"\n{name}: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds)")
        return ratio

    return measure


@pytest.fixture
def times_the_work(benchmark: Any) -> Callable[..., float]:
    """``times_the_work(name, one, other, rounds=...)``: the median ratio of CPU seconds, one / other.

    Both run in each round, on one thread, every other round in the other order: what else the machine does meanwhile
    meets both and counts for neither. The ratio is printed and kept in ``extra_info`` with its quartiles.
    """

    def measure(name: str, one: Act, other: Act, *, rounds: int) -> float:
        ratios: list[float] = []

        def seconds(act: Act) -> float:
            start = time.process_time()
            act()
            return time.process_time() - start

        def a_round() -> None:
            if len(ratios) % 2:
                ratios.append(seconds(one) / seconds(other))
            else:
                below = seconds(other)
                ratios.append(seconds(one) / below)

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            benchmark.pedantic(a_round, rounds=rounds, warmup_rounds=2)
        finally:
            torch.set_num_threads(threads)
        low, middle, high = statistics.quantiles(ratios[2:], n=4)
        benchmark.extra_info[name] = {"median": middle, "quartiles": [low, high], "rounds": len(ratios) - 2}
        print(f"\n{name}: {middle:.3f} (quartiles {low:.3f} and {high:.3f} of {len(ratios) - 2} rounds)")
        return middle

    return measure
