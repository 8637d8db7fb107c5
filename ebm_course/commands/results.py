"""``results``: print what was recorded, the paper's number or claim beside ours. It runs nothing.

>>> import io
>>> from contextlib import redirect_stdout
>>> parser = argparse.ArgumentParser()
>>> add(parser.add_subparsers())
>>> with redirect_stdout(io.StringIO()) as said:
...     code = results(parser.parse_args(["results", "likelihood-cpu", "--only", "words/exact"]))
>>> code, said.getvalue().split()[:4]
(0, ['likelihood-cpu', '==============', 'command', 'python'])
>>> results(parser.parse_args(["results", "likelihood-cpu", "--only", "none"]))  # doctest: +ELLIPSIS
Traceback (most recent call last):
ebm_course.commands.choices.RefusedError: no number of likelihood-cpu begins with 'none': expected one of ...
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ebm_course.commands.choices import RefusedError
from ebm_course.results import ledger
from ebm_course.results.record import Curve, Entry, Record

TO_RECORD = "python -m ebm_course reproduce sequences --preset cpu --record"


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("results", help="print recorded results beside the paper's")
    parser.add_argument("name", nargs="?", help="one record, such as sequences-cpu, or its file; by default all")
    parser.add_argument("--only", metavar="PREFIX", help="all numbers and curves whose names begin so; '' for all")
    parser.add_argument("--curves", action="store_true", help="print the curves as well")
    parser.set_defaults(run=results)


def results(options: argparse.Namespace) -> int:
    """Print one record, or all that come with the course; says what to run where there is none."""
    try:
        found = [_record(options.name)] if options.name else ledger.records()
    except (FileNotFoundError, ValueError) as error:
        raise RefusedError(str(error)) from error
    if not found:
        print(f"Nothing is recorded yet. To make a record: {TO_RECORD}")
    columns = shutil.get_terminal_size().columns
    for record in found:
        shown = ledger.table(record, _chosen(record, options.only), claims=options.only is None, columns=columns)
        print(f"{record.key}\n{'=' * len(record.key)}\n{shown}\n")
        for curve in record.curves if options.curves else ():
            if curve.name.startswith(options.only or ""):
                print(curve_text(curve, columns=columns) + "\n")
        print(textwrap.fill(_more(record), columns) + "\n" if options.only is None else "")
    return 0


def curve_text(curve: Curve, *, columns: int = 180) -> str:
    """A curve as lines of x, mean over runs and standard deviation; its title is wrapped after so many columns.

    >>> print(curve_text(Curve("kl", "update", [0, 10], "KL (nats)", [[2.0, 0.5], [3.0, 0.7]])))
    kl: KL (nats) against update, 2 runs
             0  2.50 ± 0.71
            10  0.60 ± 0.14
    """
    spread: Sequence[float | None] = curve.spread() or [None] * len(curve.x)
    lines = [f"{curve.name}: {curve.y_name} against {curve.x_name}, {len(curve.runs)} runs"]
    lines += [f"paper: {curve.paper}"] if curve.paper else []
    rows = zip(curve.x, curve.mean(), spread, strict=True)
    lines = [part for line in lines for part in textwrap.wrap(line, max(20, columns))]
    return "\n".join(lines + [f"{x:>10g}  {ledger.number(mean, sd)}" for x, mean, sd in rows])


def _chosen(record: Record, prefix: str | None) -> list[Entry]:
    if prefix is None:
        return ledger.headlines(record)
    found = [entry for entry in record.entries if entry.name.startswith(prefix)]
    if not found:
        known = ", ".join(ledger.families(record))
        raise RefusedError(f"no number of {record.key} begins with {prefix!r}: expected one of {known}.")
    return found


def _more(record: Record) -> str:
    shown = {entry.name for entry in ledger.headlines(record)}
    more = {k: len(v) for k, v in ledger.families(record).items() if v[0].name not in shown}
    counts = ", ".join(f"{name} ({n})" for name, n in more.items())
    return f"Further numbers, printed by --only NAME: {counts}." if more else ""


def _record(name: str) -> Record:
    path = Path(name)
    return ledger.read_file(path) if path.suffix == ".json" and path.is_file() else ledger.read(name)
