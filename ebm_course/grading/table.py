"""The table of grades: one CSV, a row a submission, written as soon as one is graded, so that a killed run goes on.

A row stays as it is, with what a teacher has entered, while neither the submission nor the tests change.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ebm_course.grading.questions import Question
from ebm_course.grading.workers import Graded
from ebm_course.storage import write_atomically

FORMULA = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet would compute."""


@dataclass
class Table:
    """The rows of one assignment.

    Args:
        path: the CSV.
        questions: those that a program grades.
        manual: names of questions that a person grades: a column for the points, left empty, and one with the answer.

    >>> import tempfile
    >>> from ebm_course.grading.questions import Verdict
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Table(Path(folder) / "grades.csv", [Question("q1", 2, ())], [])
    ...     table.write()
    ...     table.add(Graded("ada.ipynb", {"q1": Verdict(0, "x is 1")}), {}, "v1")["messages"]
    ...     again = Table(table.path, table.questions, [])
    ...     again.read()
    ...     again.keep({"ada.ipynb": "v1", "bob.ipynb": "v1"})  # still to be graded
    'q1: x is 1'
    ['bob.ipynb']
    """

    path: Path
    questions: Sequence[Question]
    manual: Sequence[str]
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The first line."""
        of_manual = [column for name in self.manual for column in (name, f"answer {name}")]
        names = [question.name for question in self.questions]
        return ["file", "points", "of", *names, *of_manual, "messages", "version"]

    def read(self) -> None:
        """Read what an earlier run has left; a last line that was not finished is no row.

        Raises:
            ValueError: the file is the table of something else.
        """
        if not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8-sig")
        whole = csv.DictReader(io.StringIO(lines[: lines.rfind("\n") + 1], newline=""))
        if whole.fieldnames is not None and list(whole.fieldnames) != self.columns:
            raise ValueError(
                f"{self.path} has other columns than this assignment: it holds other grades. Move it, or name another "
                f"file with --out."
            )
        self.rows = {row["file"]: row for row in whole if None not in row and None not in row.values()}

    def keep(self, versions: Mapping[str, str]) -> list[str]:
        """Drop rows whose submission is another now, or gone; return the names that are still to be graded.

        Args:
            versions: name of a submission -> fingerprints of it and of the tests, with a hyphen between.
        """
        by_name = {plain(name): version for name, version in versions.items()}
        self.rows = {name: row for name, row in self.rows.items() if by_name.get(name) == row["version"]}
        return [name for name in versions if plain(name) not in self.rows]

    def add(self, found: Graded, answers: Mapping[str, str], version: str) -> dict[str, str]:
        """Add a row at the end of the file and return it."""
        points = {name: verdict.points for name, verdict in found.verdicts.items()}
        told = [f"{q.name}: {found.verdicts[q.name].message}" for q in self.questions if found.verdicts[q.name].message]
        row = {
            "file": found.name,
            "points": f"{sum(points.values()):g}",
            "of": f"{sum(question.points for question in self.questions):g}",
            **{name: f"{value:g}" for name, value in points.items()},
            **dict.fromkeys(self.manual, ""),
            **{f"answer {name}": answers[name] for name in self.manual},
            "messages": "\n".join([*found.notes, *told]),
            "version": version,
        }
        row = {column: plain(row[column]) for column in self.columns}
        self.rows[row["file"]] = row
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_lines([row], self.columns))
            file.flush()
            os.fsync(file.fileno())
        return row

    def write(self) -> None:
        """Write the whole file again, sorted, in place of the old one."""
        ordered = [self.rows[name] for name in sorted(self.rows)]
        head = dict(zip(self.columns, self.columns, strict=True))
        write_atomically(self.path, _lines([head, *ordered], self.columns).encode())


def plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula.

    >>> plain("=1+1"), plain("because"), plain("-1")
    ("'=1+1", 'because', "'-1")
    """
    return f"'{text}" if text.startswith(FORMULA) else text


def _lines(rows: Iterable[Mapping[str, str]], columns: Sequence[str]) -> str:
    written = io.StringIO(newline="")
    csv.DictWriter(written, columns).writerows(rows)
    return written.getvalue()
