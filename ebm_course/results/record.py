"""One recorded result: its numbers, its curves, its claims, and all that is needed to run it again.

It knows no file.

>>> from dataclasses import asdict
>>> from ebm_course.results.findings import Entry
>>> made = ("python -m ebm_course reproduce sums", "0123abc", "a CPU", "2.13.0")
>>> right = Entry.of("correct", "Share of right sums.", (0.5, 0.7))
>>> record = Record("sums", "cpu", *made, 90.0, (3, 4), {"rate": 0.1}, (right,), choices=("data=toy",))
>>> record.key, record.entry("correct").value, from_plain(asdict(record)) == record
('sums-cpu-data=toy', 0.6, True)
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ebm_course.results.findings import Curve, Entry, Judged, Work, check_finite


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Record:
    """A reproduction at one preset: what was run, where, for how long, and what came out.

    ``choices`` are what the command line changed of the preset, such as ``("data=potts",)``. Records of earlier
    layouts have no ``claims`` and no ``work``.
    """

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
    choices: tuple[str, ...] = ()
    claims: tuple[Judged, ...] = ()
    work: tuple[Work, ...] = ()

    @property
    def key(self) -> str:
        """The name under which :func:`ebm_course.results.ledger.read` finds it: ``sequences-cpu``."""
        return "-".join((self.name, self.preset, *self.choices))

    def entry(self, name: str) -> Entry:
        """The entry of this name; a KeyError names those that are near."""
        found: Entry = _named(self.entries, name, f"the record {self.key} has no entry")
        return found

    def curve(self, name: str) -> Curve:
        """The curve of this name; a KeyError names those that are near."""
        found: Curve = _named(self.curves, name, f"the record {self.key} has no curve")
        return found

    def variant(self, name: str) -> dict[str, Any]:
        """The configuration of a method by its name; a KeyError names those there are."""
        rows = {row["name"]: row["config"] for row in self.config.get("variants", ())}
        rows |= self.config.get("methods", {})  # until version 0.2
        rows |= {f"idea/{idea}": config for idea, config in self.config.get("ideas", {}).items()}
        if name not in rows:
            raise KeyError(f"the record {self.key} has no variant {name!r}: expected one of {', '.join(rows)}.")
        found: dict[str, Any] = rows[name]
        return found


_RECORD = TypeAdapter(Record)
RETIRED = {"entries": ("holds",)}
"""Fields that records of earlier versions have and this one does not read, by the list they stand in."""


def from_plain(plain: Any) -> Record:
    """A :class:`Record` from what JSON holds, of this version or of an earlier one.

    Raises:
        ValueError: a field is missing, unknown or of another type; the message names it.
    """
    if isinstance(plain, Mapping):
        check_finite(plain)
        plain = dict(plain)
        for part, retired in RETIRED.items():
            if isinstance(plain.get(part), list):
                plain[part] = [_without(row, retired) for row in plain[part]]
    try:
        return _RECORD.validate_json(json.dumps(plain), strict=True)  # strict: no text is taken for a number
    except ValidationError as error:
        faults = [f"{', '.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r:.60}" for e in error.errors()]
        raise ValueError("; ".join(faults[:3])) from error


def _without(row: Any, retired: Sequence[str]) -> Any:
    return {name: value for name, value in row.items() if name not in retired} if isinstance(row, Mapping) else row


def _named(parts: Sequence[Any], name: str, fault: str) -> Any:
    found = {part.name: part for part in parts}
    if name not in found:
        near = difflib.get_close_matches(name, found, n=5, cutoff=0.5) or list(found)
        raise KeyError(f"{fault} {name!r}: expected one such as {', '.join(near) or '(it has none)'}.")
    return found[name]
