"""The ledger: recorded results as one JSON file each, and as tables with the paper's number beside ours.

The files lie in the package beside this one, ``<name>-<preset>.json``. It knows no method.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ebm_course.files import write_atomically
from ebm_course.results.record import Entry, Record, check_finite, from_plain

FOLDER = Path(__file__).parent
"""Where the records that come with the course lie."""

HOLDS = {True: "yes", False: "no", None: ""}


def read(name: str, *, folder: Path | None = None) -> Record:
    """The record of this name, such as ``sequences-cpu``.

    Args:
        name: the file's name without ``.json``.
        folder: where it lies; by default the package's own folder.

    Raises:
        FileNotFoundError: there is none; the message names those that exist.
        ValueError: the file is damaged.
    """
    known = names(folder)
    if name not in known:
        raise FileNotFoundError(
            f"there is no record {name!r}: expected one of {', '.join(known) or '(none is recorded yet)'}. "
            f"Make it with python -m ebm_course reproduce NAME --preset PRESET --record."
        )
    return read_file((folder or FOLDER) / f"{name}.json")


def names(folder: Path | None = None) -> list[str]:
    """The names of the records in a folder, by default the package's own, in alphabetical order."""
    return sorted(path.stem for path in (folder or FOLDER).glob("*.json"))


def records(folder: Path | None = None) -> list[Record]:
    """Every record of a folder, by default the package's own, in alphabetical order."""
    return [read(name, folder=folder) for name in names(folder)]


def read_file(path: Path) -> Record:
    """The record in a file made by :func:`write`.

    Raises:
        ValueError: the file is no record; the message names the field at fault.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        check_finite(plain)
        return from_plain(Record, plain)
    except ValueError as error:  # a fault of JSON is one as well
        raise ValueError(f"{path.name} is no record of this course: {error} Run its command again.") from error


def write(record: Record, folder: Path) -> Path:
    """Write ``folder/<name>-<preset>.json`` whole or not at all, and return its path; see :func:`write_file`."""
    return write_file(record, folder / f"{record.key}.json")


def write_file(record: Record, path: Path) -> Path:
    """Write a record to any path.

    Raises:
        ValueError: a number of it is not finite, or it would not be read again as it is.
    """
    plain = asdict(record)
    check_finite(plain)
    text = _lines(plain) + "\n"
    if from_plain(Record, json.loads(text)) != record:
        raise ValueError(
            f"the record {record.key} holds what JSON does not keep: use lists, not tuples, in its config."
        )
    write_atomically(path, text.encode())
    return path


def number(value: float, spread: float | None = None) -> str:
    """A value with as many digits as its spread warrants (two of the spread), else four significant ones."""
    if not spread:
        return f"{value:.4g}"
    digits = max(0, 1 - _exponent(spread))
    return f"{value:.{digits}f} ± {spread:.{digits}f}"


def families(record: Record) -> dict[str, list[Entry]]:
    """The entries by the first part of their names, what stands before a slash."""
    found: dict[str, list[Entry]] = {}
    for entry in record.entries:
        found.setdefault(entry.name.split("/")[0], []).append(entry)
    return found


def headlines(record: Record) -> list[Entry]:
    """The families of entries in which the paper has a number or a claim; every entry where it has none."""
    with_paper = [family for family in families(record).values() if any(entry.paper for entry in family)]
    return [entry for family in with_paper for entry in family] or list(record.entries)


def rows(entries: Sequence[Entry]) -> list[tuple[str, str, str, str, str]]:
    """What was measured, the paper's number, ours with its spread, number of runs, and whether the claim holds."""
    return [
        (
            entry.what,
            entry.paper or "",
            f"{number(entry.value, entry.spread)} {entry.unit}".strip(),
            str(len(entry.values) or 1),
            HOLDS[entry.holds],
        )
        for entry in entries
    ]


TITLES = ("what", "paper", "here", "runs", "holds")


def head(record: Record) -> list[tuple[str, str]]:
    """What is to be known of a record before its numbers, as (title, text)."""
    lines = [
        ("command", record.command),
        ("hardware", f"{record.hardware}, torch {record.torch}"),
        ("minutes", f"{record.seconds / 60:.1f}"),
        ("seeds", ", ".join(map(str, record.seeds))),
        ("commit", record.commit),
    ]
    return [*lines, ("notes", record.notes)] if record.notes else lines


def table(record: Record, entries: Sequence[Entry] | None = None, *, width: int = 48) -> str:
    """The record as aligned plain text for a terminal.

    Args:
        record: what to show.
        entries: those to show, by default all.
        width: sentences are wrapped after so many characters.
    """
    cells = [[textwrap.wrap(text, width) or [""] for text in row] for row in (TITLES, *rows(_or_all(record, entries)))]
    widths = [max(len(line) for row in cells for line in row[k]) for k in range(len(TITLES))]
    lines = [f"{title:<9} {text}" for title, text in head(record)] + [""]
    for n, row in enumerate(cells):
        for k in range(max(map(len, row))):
            parts = [(cell[k] if k < len(cell) else "").ljust(w) for cell, w in zip(row, widths, strict=True)]
            lines.append("  ".join(parts).rstrip())
        if n == 0:
            lines.append("  ".join("-" * w for w in widths))
    return "\n".join(lines)


def markdown(record: Record, entries: Sequence[Entry] | None = None) -> str:
    """The record's numbers, or those of ``entries``, as a pipe table."""
    body: list[Sequence[str]] = [TITLES, ("---", "---", "---:", "---:", "---"), *rows(_or_all(record, entries))]
    return "\n".join("| " + " | ".join(text.replace("|", r"\|") for text in row) + " |" for row in body)


def _or_all(record: Record, entries: Sequence[Entry] | None) -> Sequence[Entry]:
    return record.entries if entries is None else entries


def _exponent(x: float) -> int:
    return int(f"{x:e}".split("e")[1])


def _lines(value: Any, indent: str = "") -> str:
    """JSON with a line for each field and for each list of numbers, so that a changed number is a changed line."""
    deeper = indent + " "
    if isinstance(value, dict) and value:
        parts = [f"{json.dumps(name)}: {_lines(part, deeper)}" for name, part in value.items()]
    elif isinstance(value, (list, tuple)) and any(isinstance(part, (dict, list, tuple)) for part in value):
        parts = [_lines(part, deeper) for part in value]
    else:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{right}"
