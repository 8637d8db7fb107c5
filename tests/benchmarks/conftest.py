"""What the benchmarks share: two ways to the same result, run in turn, and the ratio of their times with its spread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

Act = Callable[[], Any]


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
