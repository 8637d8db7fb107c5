"""What a reproduction found: numbers, curves and judged claims. It knows no file, no machine and no method.

>>> work = (Work("run-0/lm", 60.0, ("0123abc",), ("a CPU",)), Work("run-1/lm", 30.0, ("0123abc",), ("a CPU",)))
>>> found = Findings([Entry.of("correct", "Share of right sums.", [0.5, 0.7])], curves=[], work=work)
>>> found.entries[0].values, found.seconds
((0.5, 0.7), 90.0)
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Direction = Literal["higher", "lower", "same"]
Verdict = Literal["holds", "reverses", "no effect", "undecided"]


@dataclass(frozen=True)
class Entry:
    """One number: the mean over runs, beside the paper's.

    ``what`` is one sentence, ``paper`` the paper's number or claim in words, ``spread`` the standard deviation over
    runs (None for one), ``values`` one number a run, ``seconds`` the time of the work behind it.
    """

    name: str
    what: str
    value: float
    unit: str = ""
    paper: str | None = None
    spread: float | None = None
    values: tuple[float, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(cls, name: str, what: str, values: Sequence[float], unit: str = "", **rest: Any) -> Entry:
        """The mean and the standard deviation of one number a run.

        >>> Entry.of("correct", "Share of right sums.", [0.5, 0.7]).value
        0.6
        """
        if len(values) == 0:
            raise ValueError(f"the finding {name!r} has no values: expected one a run.")
        numbers = tuple(float(value) for value in values)
        check_finite(numbers, f"the finding {name}")
        return cls(name, what, statistics.fmean(numbers), unit, spread=_spread(numbers), values=numbers, **rest)


@dataclass(frozen=True)
class Curve:
    """A quantity over another, ``runs`` holding one line of ``len(x)`` values a run.

    >>> curve = Curve("attacked", "radius", [0.0, 0.1], "accuracy", [[1.0, 0.5], [0.8, 0.7]])  # a line a run
    >>> curve.mean(), [round(spread, 3) for spread in curve.spread()]
    ([0.9, 0.6], [0.141, 0.141])
    """

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

    def mean(self) -> list[float]:
        """The mean over runs at each x."""
        return [statistics.fmean(values) for values in zip(*self.runs, strict=True)]

    def spread(self) -> list[float] | None:
        """The standard deviation over runs at each x; None for one run."""
        if len(self.runs) < 2:
            return None
        return [statistics.stdev(values) for values in zip(*self.runs, strict=True)]


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper as something that can fail, declared in a configuration before the run.

    Args:
        name: unique in the experiment.
        paper_says: the sentence.
        endpoint: the name of the entry that decides: a difference with one value an independent run.
        better: the side on which the paper sees it; "same" where it says that there is no difference to speak of.
        smallest_effect: the smallest difference that would matter, in the endpoint's unit, above 0.
        control: the name of an entry that would make the claim trivial, such as that of the untrained head.

    >>> Claim("lifts", "The attack lifts samples.", "after-before", "higher", smallest_effect=0.0)
    Traceback (most recent call last):
        ...
    ValueError: the claim 'lifts' names the smallest difference that matters: expected a number above 0, got 0.0.
    """

    name: str
    paper_says: str
    endpoint: str
    better: Direction
    smallest_effect: float
    control: str = ""

    def __post_init__(self) -> None:
        if self.better not in get_args(Direction):
            raise ValueError(
                f"the claim {self.name!r} says on which side the paper sees it: expected one of "
                f"{', '.join(get_args(Direction))}, got {self.better!r}."
            )
        if not isinstance(self.smallest_effect, float | int) or not 0 < self.smallest_effect < math.inf:
            raise ValueError(
                f"the claim {self.name!r} names the smallest difference that matters: expected a number above 0, "
                f"got {self.smallest_effect}."
            )


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict: the mean over ``n_runs`` runs an interval for orientation (None for a single run).

    >>> from ebm_course.results.ledger import read
    >>> judged = read("carry-cpu").claims[0]
    >>> judged.claim.name, judged.low < judged.mean < judged.high
    ('wasted/mirrored-plain', True)
    """

    claim: Claim
    verdict: Verdict
    mean: float
    low: float | None
    high: float | None
    n_runs: int


@dataclass(frozen=True)
class Work:
    """A stage of the work behind the findings: its seconds; commits, hardware and torch of all its attempts."""

    name: str
    seconds: float
    commits: tuple[str, ...]
    hardware: tuple[str, ...]
    torch: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """All that a reproduction found; run k has the first seed plus k. The engine adds ``claims`` and ``work``."""

    entries: list[Entry]
    curves: list[Curve]
    claims: tuple[Judged, ...] = ()
    work: tuple[Work, ...] = ()

    @property
    def seconds(self) -> float:
        """Of all stages, resumed and killed attempts counted."""
        return sum(stage.seconds for stage in self.work)


def check_finite(value: Any, place: str = "the record") -> None:
    """Refuse a number that is not finite anywhere in nested dictionaries and lists, with a ValueError that names it.

    >>> check_finite({"entries": [{"name": "loss", "value": math.nan}]})
    Traceback (most recent call last):
        ...
    ValueError: the record, entries, loss, value is nan: expected finite numbers. Leave out what was not measured.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place} is {value}: expected finite numbers. Leave out what was not measured.")
    if isinstance(value, Mapping):
        for name, part in value.items():
            check_finite(part, f"{place}, {name}")
    elif isinstance(value, (list, tuple)):
        for k, part in enumerate(value):
            label = part["name"] if isinstance(part, Mapping) and "name" in part else f"number {k}"
            check_finite(part, f"{place}, {label}")


def _spread(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
