"""One recorded result: its numbers, its curves, and all that is needed to run it again. It knows no file."""

from __future__ import annotations

import difflib
import math
import statistics
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, TypeVar

from ebm_course.results.findings import CurveFinding, Finding

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One number: the mean over runs, beside the paper's.

    ``what`` is one sentence, ``paper`` the paper's number or claim in words, ``spread`` the standard deviation over
    runs (None for one), ``values`` one number a run, ``seconds`` the time of the work behind it, and ``holds`` whether
    the paper's claim held (None where there is none).
    """

    name: str
    what: str
    value: float
    unit: str = ""
    paper: str | None = None
    spread: float | None = None
    values: tuple[float, ...] = ()
    seconds: float = 0.0
    holds: bool | None = None

    @classmethod
    def of(cls, found: Finding) -> Entry:
        """The mean and the standard deviation of what a recipe found."""
        if not found.values:
            raise ValueError(f"the finding {found.name!r} has no values: expected one a run.")
        check_finite(found.values, f"the finding {found.name}")
        return cls(**asdict(found), value=statistics.fmean(found.values), spread=_spread(found.values))


@dataclass(frozen=True)
class Curve:
    """A quantity over another, ``runs`` holding one line of ``len(x)`` values a run."""

    name: str
    x_name: str
    x: list[float]
    y_name: str
    runs: list[list[float]]
    paper: str | None = None

    def __post_init__(self) -> None:
        lengths = [len(run) for run in self.runs]
        if not lengths or set(lengths) != {len(self.x)}:
            raise ValueError(f"the curve {self.name!r} needs one value for each of {len(self.x)} x, got {lengths}.")

    @classmethod
    def of(cls, found: CurveFinding) -> Curve:
        """The curve that a recipe found."""
        return cls(**asdict(found))

    def mean(self) -> list[float]:
        """The mean over runs at each x."""
        return [statistics.fmean(values) for values in zip(*self.runs, strict=True)]

    def spread(self) -> list[float] | None:
        """The standard deviation over runs at each x; None for one run."""
        if len(self.runs) < 2:
            return None
        return [statistics.stdev(values) for values in zip(*self.runs, strict=True)]


@dataclass(frozen=True)
class Record:
    """A reproduction at one preset: what was run, where, for how long, and what came out."""

    name: str
    preset: str
    command: str
    commit: str
    hardware: str
    torch: str
    seconds: float
    seeds: tuple[int, ...]
    config: dict[str, Any]
    entries: tuple[Entry, ...]
    curves: tuple[Curve, ...] = ()
    notes: str = ""

    @property
    def key(self) -> str:
        """The name under which :func:`ebm_course.results.ledger.read` finds it: ``sequences-cpu``."""
        return f"{self.name}-{self.preset}"

    def entry(self, name: str) -> Entry:
        """The entry of this name; a KeyError names those that are near."""
        return _named(self.entries, name, f"the record {self.key} has no entry")

    def curve(self, name: str) -> Curve:
        """The curve of this name; a KeyError names those that are near."""
        return _named(self.curves, name, f"the record {self.key} has no curve")


def check_finite(value: Any, place: str = "the record") -> None:
    """Refuse a number that is not finite anywhere in nested dictionaries and lists, with a ValueError that names it."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place} is {value}: expected finite numbers. Leave out what was not measured.")
    if isinstance(value, Mapping):
        for name, part in value.items():
            check_finite(part, f"{place}, {name}")
    elif isinstance(value, (list, tuple)):
        for k, part in enumerate(value):
            label = part["name"] if isinstance(part, Mapping) and "name" in part else f"number {k}"
            check_finite(part, f"{place}, {label}")


def from_plain(cls: type[T], plain: Any, place: str = "the record") -> T:
    """A :class:`Record`, or a part of one, from what JSON holds.

    Raises:
        ValueError: a field is missing, unknown or of another type; the message names it.
    """
    return typing.cast(T, _of(cls, plain, place))


def _of(hint: Any, value: Any, place: str) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _dataclass_of(hint, value, place)
    if origin is types.UnionType:  # X | None is the only kind
        return None if value is None else _of(parts[0], value, place)
    if origin in (tuple, list) and isinstance(value, list):
        return origin(_of(parts[0], part, f"{place}, number {k}") for k, part in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = origin or hint
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise ValueError(f"{place}: expected {getattr(plain, '__name__', plain)}, got {value!r}.")
    return value


def _dataclass_of(cls: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: expected a JSON object, got {value!r}.")
    hints, names = typing.get_type_hints(cls), [field.name for field in fields(cls)]
    faults = [f"{name} is missing" for name in names if name not in value]
    faults += [f"{name} is unknown" for name in value if name not in names]
    if faults:
        raise ValueError(f"{place}: {'; '.join(faults)}. Expected {', '.join(names)}.")
    return cls(**{name: _of(hints[name], part, f"{place}, {name}") for name, part in value.items()})


def _named(parts: Sequence[Any], name: str, fault: str) -> Any:
    found = {part.name: part for part in parts}
    if name not in found:
        near = difflib.get_close_matches(name, found, n=5, cutoff=0.5) or list(found)
        raise KeyError(f"{fault} {name!r}: expected one such as {', '.join(near) or '(it has none)'}.")
    return found[name]


def _spread(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
