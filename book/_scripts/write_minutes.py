"""Write the minutes of every chapter into the table of the instructor's guide: ``make minutes``.

Reading takes what the chapter's head says ("*To read:* 52 minutes"); exercises the sum of what each of them says.
Numbers, titles and minutes come from the notebooks, the last column of the table is written by hand. ``--check`` writes
nothing and fails where the table is not that of the chapters.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat

BOOK = Path(__file__).parents[1]
ROW = re.compile(r"^\| (\d+) \| .*? \| \d+ min \| \d+ min \| (.*) \|$", flags=re.MULTILINE)
EXERCISE = re.compile(r"^(?:#+ |\*\*Exercise).*★.*", flags=re.MULTILINE)
MINUTES = re.compile(r"(\d+) minutes?\b")


def minutes(path: Path) -> tuple[int, str, int, int]:
    """Number, title, minutes to read and minutes of the exercises of the chapter at ``path``.

    Raises:
        ValueError: the chapter has no title of the form "# 5. Title", no line "*To read:* 52 minutes", or no exercise.
    """
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    title = re.match(r"# (\d+)\. (.+)", text)
    reading = re.search(r"\*To read:\* (\d+) minutes\b", text)
    exercises = sum(int(k) for line in EXERCISE.findall(text) for k in MINUTES.findall(line))
    parts = {
        "title '# 5. Title'": title,
        "line '*To read:* 52 minutes'": reading,
        "exercise '(★, 5 minutes)'": exercises,
    }
    if not title or not reading or not exercises:
        missing = next(name for name, part in parts.items() if not part)
        raise ValueError(f"{path.name}: expected a {missing} and found none: write it, then run make notebooks.")
    return int(title[1]), title[2], int(reading[1]), exercises


def table(guide: str, paths: list[Path]) -> str:
    """``guide`` with the minutes of the chapters at ``paths`` in the rows of its table.

    Raises:
        ValueError: the rows of the table are not the chapters, one each and in their order.
    """
    chapters = {number: rest for number, *rest in map(minutes, paths)}
    rows = [int(row[1]) for row in ROW.finditer(guide)]
    if rows != list(chapters):
        raise ValueError(f"instructors.md: the table has rows for chapters {rows}, the book has {list(chapters)}.")

    def row(found: re.Match) -> str:
        title, reading, exercises = chapters[int(found[1])]
        return f"| {found[1]} | {title} | {reading} min | {exercises} min | {found[2]} |"

    return ROW.sub(row, guide)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where something differs")
    check = parser.parse_args().check
    guide = BOOK / "instructors.md"
    stored = guide.read_text(encoding="utf-8")
    try:
        wanted = table(stored, sorted(BOOK.glob("[0-9][0-9]_*.ipynb")))
    except ValueError as error:
        print(error)
        return 1
    if check and wanted != stored:
        print("the minutes in book/instructors.md are not those of the chapters: run make minutes")
    elif wanted != stored:
        guide.write_text(wanted, encoding="utf-8")
        print("book/instructors.md")
    return int(check and wanted != stored)


if __name__ == "__main__":
    sys.exit(main())
