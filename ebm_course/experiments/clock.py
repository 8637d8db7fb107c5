"""Seconds of a call, bytes of tensors alive at once, and the exponent of a growth law. It knows no method."""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

Act = Callable[[], Any]
MIB = 2**20


def seconds(act: Act, device: torch.device) -> float:
    """Seconds of one call, the device's work waited for.

    >>> seconds(lambda: time.sleep(0.01), torch.device("cpu")) >= 0.01
    True
    """
    _wait(device)
    start = time.perf_counter()
    act()
    _wait(device)
    return time.perf_counter() - start


def median_seconds(act: Act, device: torch.device, *, n_repeats: int, long: float = math.inf) -> float:
    """Median of ``n_repeats`` calls after one that warms up; a first call longer than ``long`` seconds stands alone.

    >>> calls = []
    >>> taken = median_seconds(lambda: calls.append(1), torch.device("cpu"), n_repeats=3)
    >>> taken = median_seconds(lambda: calls.append(2), torch.device("cpu"), n_repeats=3, long=0.0)
    >>> calls
    [1, 1, 1, 1, 2]
    """
    first = seconds(act, device)
    if first > long:
        return first
    return statistics.median(seconds(act, device) for _ in range(n_repeats))


def medians_in_turn(acts: Mapping[str, Act], device: torch.device, *, n_repeats: int) -> dict[str, float]:
    """Median seconds of each call, the calls taken in turn, so that a slow moment of the machine meets all of them.

    >>> calls = []
    >>> acts = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    >>> list(medians_in_turn(acts, torch.device("cpu"), n_repeats=2)), "".join(calls)
    (['a', 'b'], 'ababab')
    """
    for act in acts.values():
        act()  # warms up
    taken = [{name: seconds(act, device) for name, act in acts.items()} for _ in range(n_repeats)]
    return {name: statistics.median(row[name] for row in taken) for name in acts}


def peak_bytes(act: Act, device: torch.device) -> int:
    """The most bytes that tensors made by a call took at once; what was there before does not count.

    It is what torch allocated, the scratch memory inside operations too.

    >>> x = torch.zeros(500)
    >>> peak_bytes(lambda: x + x, torch.device("cpu"))  # 500 numbers of 4 bytes
    2000
    >>> peak_bytes(lambda: (x + x) + x, torch.device("cpu"))  # the first sum is there until the second is made
    4000
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        act()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    return max(itertools.accumulate(_traced_bytes(act), initial=0))


def exponent(x: Sequence[float], y: Sequence[float], *, last: int | None = None) -> float:
    """The slope b of the least-squares line log y = a + b log x, through the ``last`` points or through all.

    Raises:
        ValueError: fewer than two different x, or a value that is not above 0 and finite.

    >>> round(exponent([1, 2, 4], [5, 20, 80]), 6)
    2.0
    >>> round(exponent([1, 2, 4], [7, 20, 80], last=2), 6)  # the fixed cost of small sizes left out
    2.0
    """
    x, y = (list(values)[-last:] if last else list(values) for values in (x, y))
    if len(set(x)) < 2 or len(x) != len(y) or not all(0 < v < math.inf for v in (*x, *y)):
        raise ValueError(f"an exponent needs two sizes or more and finite values above 0: got {x} and {y}.")
    return statistics.linear_regression([math.log(v) for v in x], [math.log(v) for v in y]).slope


def matrix_rate(side: int, dtype: torch.dtype, device: torch.device, *, n_repeats: int) -> float:
    """Operations a second of the product of two matrices (side, side), two operations a multiply-add.

    >>> rate = matrix_rate(64, torch.float32, torch.device("cpu"), n_repeats=3)
    >>> 2 * 64**3 / rate < 1.0  # seconds of one product
    True
    """
    generator = torch.Generator(device=device).manual_seed(0)
    a = torch.randn(side, side, generator=generator, device=device).to(dtype)
    return 2 * side**3 / median_seconds(lambda: a @ a, device, n_repeats=n_repeats)


def _traced_bytes(act: Act) -> list[int]:
    """Bytes allocated (above 0) and freed (below 0) on the CPU during a call, in order of time."""
    with tempfile.TemporaryDirectory() as folder, _silent_stderr():  # the profiler writes lines of its own
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            act()
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    traced = [(e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]"]
    return [n_bytes for _, n_bytes in sorted(traced, key=lambda event: event[0])]


@contextmanager
def _silent_stderr() -> Iterator[None]:
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
