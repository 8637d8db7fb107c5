"""Seconds of a call, bytes of tensors alive at once, and the exponent of a growth law. It knows no method."""

from __future__ import annotations

import math
import statistics
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Act = Callable[[], Any]
MIB = 2**20


def seconds(act: Act, device: torch.device) -> float:
    """Seconds of one call, the device's work waited for."""
    _wait(device)
    start = time.perf_counter()
    act()
    _wait(device)
    return time.perf_counter() - start


def median_seconds(act: Act, device: torch.device, *, n_repeats: int, long: float = math.inf) -> float:
    """Median of ``n_repeats`` calls after one that warms up; a first call longer than ``long`` seconds stands alone."""
    first = seconds(act, device)
    if first > long:
        return first
    return statistics.median(seconds(act, device) for _ in range(n_repeats))


def medians_in_turn(acts: Mapping[str, Act], device: torch.device, *, n_repeats: int) -> dict[str, float]:
    """Median seconds of each call, the calls taken in turn, so that a slow moment of the machine meets all of them."""
    for act in acts.values():
        act()  # warms up
    taken = [{name: seconds(act, device) for name, act in acts.items()} for _ in range(n_repeats)]
    return {name: statistics.median(row[name] for row in taken) for name in acts}


def peak_bytes(act: Act, device: torch.device) -> int:
    """The most bytes that tensors made by a call took at once; what was there before does not count.

    On a GPU it is what torch allocated. Elsewhere results of operations are counted, not the scratch memory inside one.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        act()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    with _AliveBytes() as alive:
        act()
    return alive.peak


def exponent(x: Sequence[float], y: Sequence[float], *, last: int | None = None) -> float:
    """The slope b of the least-squares line log y = a + b log x, through the ``last`` points or through all.

    Raises:
        ValueError: fewer than two different x, or a value that is not above 0.
    """
    x, y = (list(values)[-last:] if last else list(values) for values in (x, y))
    if len(set(x)) < 2 or len(x) != len(y) or min(*x, *y) <= 0:
        raise ValueError(f"an exponent needs two sizes or more and values above 0: got {x} and {y}.")
    return statistics.linear_regression([math.log(v) for v in x], [math.log(v) for v in y]).slope


def matrix_rate(side: int, dtype: torch.dtype, device: torch.device, *, n_repeats: int) -> float:
    """Operations a second of the product of two matrices (side, side), two operations a multiply-add."""
    generator = torch.Generator(device=device).manual_seed(0)
    a = torch.randn(side, side, generator=generator, device=device).to(dtype)
    return 2 * side**3 / median_seconds(lambda: a @ a, device, n_repeats=n_repeats)


class _AliveBytes(TorchDispatchMode):
    """Sees every operation's results and counts the bytes of those still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self.seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor):  # it was there before, or has been counted
                self.seen.add(tensor.untyped_storage())
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self.seen:
            return
        self.seen.add(storage)
        n = storage.nbytes()
        self.alive += n
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._release, n)

    def _release(self, n: int) -> None:
        self.alive -= n


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
