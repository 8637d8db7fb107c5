"""Averages of logged values over intervals, read from the device once an interval.

It knows what a value is called and after which update it came; nothing of the update itself.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

REMEDY = (
    "Lower the learning rate or the sampler's step size, or add an L2 penalty on the energies, and start again; "
    "where a folder was given, it holds the last finite state."
)


def is_whole(number: object) -> bool:
    """Whether something can count updates: a whole number of Python, numpy or torch, and neither True nor False.

    >>> is_whole(3), is_whole(2.5), is_whole(float("nan")), is_whole(True)
    (True, False, False, False)
    """
    with suppress(TypeError):
        return not isinstance(number, bool) and isinstance(operator.index(number), int)  # type: ignore[arg-type]
    return False


def named(who: str, values: Any) -> Mapping[str, Any]:
    """The values that a step or a validation returned, refused where they have no names.

    >>> named("validate", 1.5)
    Traceback (most recent call last):
    TypeError: validate returns name -> number: got a float. Return a dictionary, such as {'loss': loss}.
    """
    if not isinstance(values, Mapping):
        got = f"{type(values).__name__}. Return a dictionary, such as {{'loss': loss}}"
        raise TypeError(f"{who} returns name -> number: got a {got}.")
    return values


class IntervalLog:
    """Collect scalars on the device and average them over an interval.

    ``kept`` holds what was read from the device since the last average: name -> values in order.

    >>> log = IntervalLog()
    >>> log.add(1, {"loss": torch.tensor(1.0)})
    >>> log.add(2, {"loss": torch.tensor(4.0)})
    >>> log.average(), log.average()  # of two updates, and of none since then
    ({'loss': 2.5}, {})
    """

    def __init__(self, kept: Mapping[str, list[float]] | None = None):
        self.kept = {name: list(numbers) for name, numbers in (kept or {}).items()}
        self._waiting: list[tuple[str, int, Tensor]] = []

    def add(self, update: int, values: Mapping[str, Tensor]) -> None:
        """Note the values of one update without reading them.

        Args:
            update: its number, counted from 1.
            values: name -> scalar of shape (); copied.

        Raises:
            TypeError: the values have no names.
            ValueError: a value is no scalar, or is called "step", which is the name of the update's number.
        """
        for name, value in named("a step", values).items():
            tensor = torch.as_tensor(value)
            if tensor.ndim or name == "step":
                raise ValueError(
                    f"a step logs scalars under names other than 'step': {name!r} has shape {tuple(tensor.shape)}, "
                    f"expected (). Log a mean, such as e.mean()."
                )
            self._waiting.append((name, update, tensor.detach().clone()))

    def read(self) -> None:
        """Copy what waits on the device to ``kept``, in one copy.

        Raises:
            FloatingPointError: a value is not finite; names it and its update.
        """
        if not self._waiting:
            return
        names, updates, tensors = zip(*self._waiting, strict=True)
        self._waiting = []
        device = max((t.device for t in tensors), key=lambda d: d.type != "cpu")
        precision = torch.float32 if device.type == "mps" else torch.float64
        numbers = torch.stack([t.to(device, precision, non_blocking=True) for t in tensors]).tolist()
        for name, update, number in zip(names, updates, numbers, strict=True):
            check_number(name, number, update)
            self.kept.setdefault(name, []).append(number)

    def average(self) -> dict[str, float]:
        """The mean of each value since the last call, and start anew. Raises what :meth:`read` raises."""
        self.read()
        means = {name: math.fsum(numbers) / len(numbers) for name, numbers in self.kept.items()}
        self.kept = {}
        return means


def check_number(name: str, number: float, update: int) -> None:
    """Refuse a NaN or an infinity, naming it, the update it came after, and a remedy.

    >>> check_number("loss", float("nan"), 7)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FloatingPointError: loss is nan at step 7: expected a finite number. Lower the learning rate or the sampler's ...
    """
    if not math.isfinite(number):
        raise FloatingPointError(f"{name} is {number} at step {update}: expected a finite number. {REMEDY}")


@contextmanager
def validating(update: int) -> Iterator[None]:
    """Inside, a number that a validation refuses as not finite is said to have come after this update.

    >>> with validating(20):  # doctest: +ELLIPSIS
    ...     raise FloatingPointError("the energy is not finite in 1 of 2 entries.")
    Traceback (most recent call last):
    FloatingPointError: the validation at step 20: the energy is not finite in 1 of 2 entries. ...
    """
    try:
        yield
    except FloatingPointError as error:
        raise FloatingPointError(f"the validation at step {update}: {error} {REMEDY}") from error
