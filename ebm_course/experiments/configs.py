"""What every experiment's configuration has, and changes to configurations. It knows no method.

>>> @dataclass(frozen=True, kw_only=True)
... class Config(Settings):
...     n_samples: int = 8
>>> shared(Config(n_runs=5, words="small"))  # what may not change from one call to the next
{'claims': [], 'n_samples': 8}
>>> changed(Config(), {"n_samples": 2, "rate": 0.1}) == Config(n_samples=2)  # it has no rate
True
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ebm_course.experiments.variants import Variant
from ebm_course.origin import LATER, plain
from ebm_course.results.findings import Claim

T = TypeVar("T")

FREE = ("n_runs", "variants", "data", "words")
"""Fields that may differ between calls in one folder: what is asked for may grow. Claims are declared and stay."""
GROWS = {**LATER, "free": True}
"""``metadata`` of a field of one experiment that may differ so too."""

MOST_RUNS = 10_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the engine reads of an experiment's configuration, which inherits from this.

    Args:
        n_runs: independent runs; run k has the first seed plus k.
        variants: the methods, a row each.
        claims: declared before the run.
        data: the data sets worked on, where an experiment has several.
        words: what this preset is, for headings.
    """

    n_runs: int = 1
    variants: tuple[Variant, ...] = ()
    claims: tuple[Claim, ...] = ()
    data: tuple[str, ...] = ()
    words: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.n_runs <= MOST_RUNS:
            raise ValueError(f"n_runs counts independent runs: expected 1 to {MOST_RUNS:,}, got {self.n_runs}.")
        for part, rows in (("variants", self.variants), ("claims", self.claims)):
            names = [row.name for row in rows]
            if len(set(names)) < len(names):
                raise ValueError(f"{part} are told apart by name: expected each once, got {', '.join(names)}.")

    def variant(self, name: str) -> Variant:
        """The variant of this name.

        Raises:
            KeyError: there is none.
        """
        return next(v for v in self.variants if v.name == name) if self.has(name) else _missing(name, self.variants)

    def has(self, *names: str) -> bool:
        """Whether all of these variants are among the rows."""
        return {v.name for v in self.variants} >= set(names)


def shared(config: Settings) -> dict[str, Any]:
    """What all stages depend on, as JSON: the configuration without what may differ between two calls."""
    free = {*FREE, *(f.name for f in dataclasses.fields(config) if "free" in f.metadata)}
    return {name: value for name, value in plain(config).items() if name not in free}


def changed(config: T, changes: Mapping[str, Any], keep: tuple[str, ...] = ()) -> T:
    """The configuration with those changes made that it has a field for, but for the fields to keep."""
    names = {f.name for f in dataclasses.fields(config)} - set(keep)  # type: ignore[arg-type]
    return replace(config, **{name: value for name, value in changes.items() if name in names})  # type: ignore[type-var]


def _missing(name: str, variants: tuple[Variant, ...]) -> Variant:
    raise KeyError(f"there is no variant {name!r}: expected one of {', '.join(v.name for v in variants) or '(none)'}.")
