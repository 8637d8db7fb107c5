"""Entries and curves of an experiment while its findings are put together. It knows no method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ebm_course.experiments.stages import Results
from ebm_course.results.findings import Curve, Entry


class Collected:
    """What an experiment's findings have so far; an experiment inherits and adds its own numbers.

    Args:
        config: the experiment's.
        results: of its stages.

    >>> from pathlib import Path
    >>> found = Collected(config=None, results=Results(Path("folder")))
    >>> found.add("correct", "Share of right sums.", [0.5, 0.7], paper="0.8")
    >>> [(entry.name, entry.value, entry.paper) for entry in found.entries]
    [('correct', 0.6, '0.8')]
    """

    def __init__(self, config: Any, results: Results):
        self.config, self.results = config, results
        self.entries: list[Entry] = []
        self.curves: list[Curve] = []

    def add(self, name: str, what: str, values: Sequence[float], **rest: Any) -> None:
        """One more entry, see ``Entry.of``."""
        self.entries.append(Entry.of(name, what, values, **rest))
