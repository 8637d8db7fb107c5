"""What a reproduction found: numbers and curves, one value or line a run. It knows no file and no machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One number of several runs: ``what`` says in a sentence what was measured, ``values`` holds one number a run.

    ``paper`` is the paper's number or claim in words, ``holds`` whether it held here (None where it claims nothing),
    ``seconds`` the time of the work behind the number.
    """

    name: str
    what: str
    values: tuple[float, ...]
    unit: str = ""
    paper: str | None = None
    seconds: float = 0.0
    holds: bool | None = None


@dataclass(frozen=True)
class CurveFinding:
    """A quantity over another: ``runs`` holds one line of ``len(x)`` values a run."""

    name: str
    x_name: str
    x: list[float]
    y_name: str
    runs: list[list[float]]
    paper: str | None = None


@dataclass(frozen=True)
class Findings:
    """All that a reproduction found in ``seconds``, resumed work counted; run k has the seed of the first plus k."""

    entries: list[Finding]
    curves: list[CurveFinding]
    seconds: float
