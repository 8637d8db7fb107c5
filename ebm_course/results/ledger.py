"""The ledger: recorded results as one JSON file each, and as tables with the paper's number beside ours.

The files lie in the package beside this one, ``<name>-<preset>.json``. It knows no method.

>>> from tempfile import TemporaryDirectory
>>> right = Entry.of("correct/sums", "Share of right sums.", (0.9, 0.95), paper="0.8")
>>> record = Record("sums", "cpu", "a command", "0123abc", "a CPU", "2.13.0", 90.0, (3, 4), {}, (right,))
>>> with TemporaryDirectory() as folder:
...     path = write(record, Path(folder))
...     path.name, names(Path(folder)), records(Path(folder)) == [read_file(write_file(record, path))] == [record]
('sums-cpu.json', ['sums-cpu'], True)
>>> head(record)[2], list(families(record)), headlines(record) == [right]
(('minutes', '1.5'), ['correct'], True)
>>> rows(record.entries)
[('Share of right sums.', '0.8', '0.925 ± 0.035', '2')]
>>> len(markdown(rows(record.entries), TITLES).splitlines())  # the titles, a rule and the row
3
>>> carry = read("carry-cpu")
>>> len(claim_rows(carry)) == len(carry.claims), table(carry, columns=60).splitlines()[0]
(True, 'command   python -m ebm_course reproduce carry --preset cpu')
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from ebm_course.results.findings import Entry, Judged, check_finite
from ebm_course.results.record import Record, from_plain
from ebm_course.storage import write_atomically

FOLDER = Path(__file__).parent
"""Where the records that come with the course lie."""


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
        return from_plain(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:  # a fault of JSON is one; too many brackets are the other
        reason = str(error).rstrip(".")
        raise ValueError(f"{path.name} is no record of this course: {reason}. Run its command again.") from error


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
    if from_plain(json.loads(text)) != record:
        raise ValueError(
            f"the record {record.key} holds what JSON does not keep: use lists, not tuples, in its config."
        )
    write_atomically(path, text.encode())
    return path


def number(value: float, spread: float | None = None) -> str:
    """A value with as many digits as its spread warrants (two of the spread), else four significant ones.

    >>> number(0.123456), number(0.123456, spread=0.0213)
    ('0.1235', '0.123 ± 0.021')
    """
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
    """The entries that decide claims or control them, and the families in which the paper has a number; else all."""
    named = {name for judged in record.claims for name in (judged.claim.endpoint, judged.claim.control)}
    of_paper = {name for name, family in families(record).items() if any(entry.paper for entry in family)}
    chosen = [entry for entry in record.entries if entry.name in named or entry.name.split("/")[0] in of_paper]
    return chosen or list(record.entries)


def rows(entries: Sequence[Entry]) -> list[tuple[str, str, str, str]]:
    """What was measured, the paper's number, ours with its standard deviation over runs, and the number of runs."""
    return [
        (
            entry.what,
            entry.paper or "",
            f"{number(entry.value, entry.spread)} {entry.unit}".strip(),
            str(len(entry.values) or 1),
        )
        for entry in entries
    ]


TITLES = ("what", "paper", "here, mean ± SD", "runs")
CLAIM_TITLES = ("claim", "what was declared", "here", "verdict", "control")


def claim_rows(record: Record, claims: Sequence[Judged] | None = None) -> list[tuple[str, ...]]:
    """Name, what was declared, ours with interval, runs and smallest effect, verdict and control, a row a claim.

    Args:
        claims: by default the record's own.
    """
    values = {entry.name: entry for entry in record.entries}
    found: list[tuple[str, ...]] = []
    for judged in record.claims if claims is None else claims:
        claim, control = judged.claim, values.get(judged.claim.control)
        interval = ""
        if judged.low is not None and judged.high is not None:
            interval = f" [{judged.low:+.2g}, {judged.high:+.2g}]"
        sign = {"higher": "+", "lower": "-", "same": "±"}[claim.better]
        runs = f"{judged.n_runs} run{'s' * (judged.n_runs > 1)}"
        ours = f"{judged.mean:+.2g}{interval}, {runs}; matters from {sign}{claim.smallest_effect:g}"
        shown = "" if control is None else f"{number(control.value, control.spread)}, {control.name}"
        found.append((claim.name, claim.paper_says, ours, judged.verdict, shown))
    return found


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


def table(record: Record, entries: Sequence[Entry] | None = None, *, claims: bool = True, columns: int = 180) -> str:
    """The record as aligned plain text for a terminal.

    Args:
        record: what to show.
        entries: those to show, by default all.
        claims: show the claims and their verdicts first.
        columns: the longest line; where it leaves too little to a table, each of its rows is a block of lines.
    """
    parts = [_block(head(record), columns)]
    if claims and record.claims:
        parts.append(_text(claim_rows(record), CLAIM_TITLES, columns))
    return "\n\n".join([*parts, _text(rows(_or_all(record, entries)), TITLES, columns)])


def markdown(table: Sequence[Sequence[str]], titles: Sequence[str]) -> str:
    """Rows as a pipe table."""
    cells = [[text.replace("|", r"\|") for text in row] for row in table]
    return tabulate(cells, titles, tablefmt="github", disable_numparse=True)


def _text(table: Sequence[Sequence[str]], titles: Sequence[str], columns: int) -> str:
    """A table whose texts are wrapped where they have to be, or a block for each row."""
    for width in range(40, 19, -2):
        rows = [[_unbroken(part) for part in row] for row in table]
        text = tabulate(rows, titles, tablefmt="simple", maxcolwidths=width, disable_numparse=True).translate(_FREE)
        if max(map(len, text.splitlines())) <= columns:
            return text
    return "\n\n".join(_block(list(zip(titles, row, strict=True)), columns) for row in table)


def _block(pairs: Sequence[tuple[str, str]], columns: int) -> str:
    """A title and its text a line, wrapped."""
    room = max(20, columns - max(len(title) for title, _ in pairs) - 2)
    rows = [(title, _unbroken(text)) for title, text in pairs]
    text = tabulate(rows, tablefmt="plain", maxcolwidths=[None, room], disable_numparse=True)
    return text.translate(_FREE)


_BOUND = str.maketrans("-,", "\u2011\u201a")  # no line is broken at such a hyphen, and 66,477 is no number then
_FREE = str.maketrans("\u2011\u201a", "-,")


def _unbroken(text: str) -> str:
    return text.translate(_BOUND)


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
