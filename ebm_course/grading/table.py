"""The table of grades: one CSV, a row a submission, written as soon as one is graded, so that a killed run goes on.

A row stays as it is while neither the submission nor the tests change. What a teacher has entered stays as long as the
submission is the same, whatever becomes of the tests; where it has to go, the table is copied first.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ebm_course.grading.questions import Question
from ebm_course.grading.workers import Graded
from ebm_course.storage import write_atomically

SEPARATORS = (",", ";", "\t")
"""What spreadsheets write between cells, the second where a comma stands in numbers."""
FORMULA = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet would compute."""
VERSION = re.compile("[0-9a-f]{16}-[0-9a-f]{16}")
"""Fingerprints of a submission and of the tests: a row that ends in less was not written to its end."""


@dataclass
class Table:
    """The rows of one assignment.

    Args:
        path: the CSV.
        questions: those that a program grades.
        manual: names of questions that a person grades: a column for the points, left empty, and one with the answer.
        rows: name of a submission -> its row, also of submissions that are not there at the moment.
        dropped: names of submissions whose entered points are no longer in the rows.
        layout: how the file begins, empty or a byte order mark, and what stands between its cells. Both stay as a
            spreadsheet has written them.

    >>> import tempfile
    >>> from ebm_course.grading.questions import Verdict
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Table(Path(folder) / "grades.csv", [Question("q1", 2, ())], [])
    ...     table.write()
    ...     version = f"{'a' * 16}-{'0' * 16}"  # of ada's file, and of the tests
    ...     table.add(Graded("ada.ipynb", {"q1": Verdict(0, "x is 1")}), {}, version)["messages"]
    ...     again = Table(table.path, table.questions, [])
    ...     again.read()
    ...     again.keep({"ada.ipynb": version, "bob.ipynb": version})  # still to be graded
    'q1: x is 1'
    ['bob.ipynb']
    """

    path: Path
    questions: Sequence[Question]
    manual: Sequence[str]
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    layout: tuple[str, str] = ("", ",")

    @property
    def columns(self) -> list[str]:
        """The first line."""
        of_manual = [column for name in self.manual for column in (name, f"answer {name}")]
        names = [question.name for question in self.questions]
        return ["file", "points", "of", *names, *of_manual, "messages", "version"]

    def read(self) -> None:
        """Read what an earlier run or a spreadsheet has left; a last line that was not finished is no row.

        Raises:
            ValueError: the file is the table of something else, or in another encoding than UTF-8.
        """
        if not self.path.is_file():
            return
        usual = csv.field_size_limit(sys.maxsize)  # a student's answer may be long
        try:
            for row in self._lines_of(self._text()):
                self._take(row)
        finally:
            csv.field_size_limit(usual)

    def _take(self, row: dict[str, str]) -> None:
        """Keep a row of the file where it is whole, and note points that were entered in one that goes."""
        name, lost = row["file"], self._entered(row)
        if None not in row and None not in row.values() and VERSION.fullmatch(row["version"]):
            lost = {k: v for k, v in self._entered(self.rows.get(name, {})).items() if row[k] != v}  # a second row
            self.rows[name] = row
        self.dropped |= {name} if lost else set()

    def keep(self, versions: Mapping[str, str]) -> list[str]:
        """Drop rows whose submission is another now; return the names that are still to be graded.

        A row of the same submission under other tests keeps what was entered and waits for new points.

        Args:
            versions: name of a submission -> fingerprints of it and of the tests, with a hyphen between.
        """
        waiting = {"points": "", **{question.name: "" for question in self.questions}, "messages": "not graded yet"}
        for name, version in ((plain(name), version) for name, version in versions.items()):
            row = self.rows.get(name)
            if row and _submitted(row["version"]) != _submitted(version):
                del self.rows[name]
                self.dropped |= {name} if self._entered(row) else set()
            elif row and row["version"] != version:
                row.update(waiting)
        graded = {name: row["version"] for name, row in self.rows.items()}
        return [name for name, version in versions.items() if graded.get(plain(name)) != version]

    def back_up(self) -> Path | None:
        """Where entered points are no longer in the rows, copy the file as it is, and return the copy's path."""
        if not self.dropped:
            return None
        copies = (self.path.with_name(f"{self.path.name}.bak{k or ''}") for k in range(10**6))
        copy = next(path for path in copies if not path.exists())
        write_atomically(copy, self.path.read_bytes())
        return copy

    def add(self, found: Graded, answers: Mapping[str, str], version: str) -> dict[str, str]:
        """Add a row, with what was entered for the same submission, write the file, and return the row."""
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
        row.update(self._entered(self.rows.get(row["file"], {})))
        self.rows[row["file"]] = row
        self.write()
        return row

    def write(self) -> None:
        """Write the whole file again, sorted, in place of the old one."""
        ordered = [self.rows[name] for name in sorted(self.rows)]
        head = dict(zip(self.columns, self.columns, strict=True))
        begin, separator = self.layout
        written = io.StringIO(newline="")
        csv.DictWriter(written, self.columns, delimiter=separator).writerows([head, *ordered])
        write_atomically(self.path, (begin + written.getvalue()).encode())

    def _lines_of(self, text: str) -> csv.DictReader[str]:
        """The rows of a file, whatever of the usual separators it has."""
        begin, text = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
        for separator in SEPARATORS:
            lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
            if list(lines.fieldnames or ()) == self.columns:
                self.layout = begin, separator
                return lines
        if text.strip():
            raise ValueError(
                f"{self.path} has other columns than this assignment: it holds other grades. Move it, or name another "
                f"file with --out."
            )
        return csv.DictReader(())

    def _text(self) -> str:
        """The file as text; its last sign may be half written."""
        content, decoder = self.path.read_bytes(), codecs.getincrementaldecoder("utf-8")()
        try:
            text = decoder.decode(content)
            if "\0" in text:
                raise ValueError("it holds zero bytes, as UTF-16 does")
        except ValueError as error:
            raise ValueError(
                f"{self.path} is not in UTF-8 ({error}), expected the table as it was written. Open it in the "
                f'spreadsheet again and save it as "CSV UTF-8".'
            ) from error
        return text

    def _entered(self, row: Mapping[str, str | None]) -> dict[str, str]:
        """What a teacher has entered in a row."""
        return {name: value for name in self.manual if (value := row.get(name))}


def plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula and that every file can hold: halves of signs are spelt out.

    >>> plain("=1+1"), plain("because"), plain("-1"), plain("\\ud83d"), plain("\\0")
    ("'=1+1", 'because', "'-1", '\\\\ud83d', '\\\\x00')
    >>> plain("'=1+1") == plain("=1+1")  # of two files of these names, each has a row
    False
    """
    text = text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def _submitted(version: str) -> str:
    """Of a version, the fingerprint of the submission."""
    return version.partition("-")[0]
