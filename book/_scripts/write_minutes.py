"""Write what the chapters cost and need into the pages for readers and instructors: ``make minutes``.

Tables stand between the comments ``% begin NAME`` and ``% end NAME`` of a page and are written whole, from the heads of
the chapters and from the records. ``--check`` writes nothing and fails where a page is not what would be written.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from chapters import Chapter, chapters, path_to
from write_results import claims_of, declared

from ebm_course.results import ledger

BOOK = Path(__file__).parents[1]
BLOCK = re.compile(r"^% begin (\w+)\b.*\n(.*?)^% end \1$", flags=re.MULTILINE | re.DOTALL)
VERDICTS = ("holds", "reverses", "no effect", "undecided")


def hours(minutes: float) -> str:
    """Minutes as hours, to a quarter; below half a quarter as minutes.

    >>> hours(80), hours(7.4 * 60), hours(4.7)
    ('1¼ h', '7½ h', '5 min')
    """
    quarters = round(minutes / 15)
    return f"{quarters // 4 or ''}{('', '¼', '½', '¾')[quarters % 4]} h" if quarters else f"{minutes:.0f} min"


def table(head: str, rows: list[list[str]]) -> str:
    """A pipe table from ``head``, with bars, and rows of cells."""
    rule = "|" + "---|" * (head.count("|") - 1)
    return "\n".join([head, rule, *(f"| {' | '.join(row)} |" for row in rows)])


def costs(book: list[Chapter]) -> str:
    """Every chapter with its minutes, seconds, memory, whether it needs a GPU, and which chapters it builds on."""
    rows = [
        [
            str(c.number),
            f"[{c.title}]({c.name}.ipynb)",
            f"{c.reading} min",
            f"{c.exercises} min",
            f"{c.seconds} s",
            f"{c.megabytes:,} MB",
            "yes" if c.gpu else "no",
            ", ".join(map(str, c.before)) or "none",
        ]
        for c in book
    ]
    reading, exercises = sum(c.reading for c in book), sum(c.exercises for c in book)
    head = "| | Chapter | To read | Exercises | To run | Memory | GPU | Builds on |"
    return f"{table(head, rows)}\n\nTogether {hours(reading)} to read and {hours(exercises)} of exercises."


def weeks(book: list[Chapter], n: int) -> list[list[Chapter]]:
    """The chapters in order over ``n`` weeks, the fullest week as light as can be; a week holds whole chapters.

    Where there are more weeks than chapters each has a week, and the rest of the weeks none.
    """
    n = min(n, len(book))
    best: dict[tuple[int, int], tuple[int, list[list[Chapter]]]] = {(0, 0): (0, [])}
    for k in range(1, n + 1):
        for end in range(k, len(book) + 1):
            options = []
            for start in range(k - 1, end):
                if (k - 1, start) in best:
                    fullest, plan = best[k - 1, start]
                    last = book[start:end]
                    options.append((max(fullest, sum(c.minutes for c in last)), [*plan, last]))
            best[k, end] = min(options, key=lambda option: option[0])
    return best[n, len(book)][1]


def syllabus(book: list[Chapter], n: int) -> str:
    """A table of ``n`` weeks; weeks that are left over go to projects."""
    rows = [
        [
            str(k + 1),
            "; ".join(f"{c.number}. {c.title}" for c in week),
            hours(sum(c.reading for c in week)),
            hours(sum(c.exercises for c in week)),
        ]
        for k, week in enumerate(weeks(book, n))
    ]
    if len(rows) == n - 1:
        rows.append([str(n), "Projects", "", ""])
    elif len(rows) < n:
        rows.append([f"{len(rows) + 1} to {n}", "Projects", "", ""])
    return table("| Week | Chapters | To read | Exercises |", rows)


def syllabi(book: list[Chapter]) -> str:
    """Courses of 3, 6 and 13 weeks: the first two parts, then all chapters."""
    parts = list(dict.fromkeys(c.part for c in book))
    short = [c for c in book if c.part in parts[:2]]
    return "\n\n".join(
        [
            f"**Three weeks: {' and '.join(parts[:2])}.**\n\n{syllabus(short, 3)}",
            f"**Six weeks: every chapter.**\n\n{syllabus(book, 6)}",
            f"**Thirteen weeks: a chapter a week.**\n\n{syllabus(book, 13)}",
        ]
    )


def prerequisites(book: list[Chapter]) -> str:
    """What each chapter asks for, in its own words, and the shortest way to it through the book."""
    rows = []
    for c in book:
        way = path_to(c.number, book)
        minutes = sum(other.reading for other in book if other.number in way)
        rows.append(
            [
                f"[{c.number}. {c.title}]({c.name}.ipynb)",
                " → ".join(map(str, way)),
                hours(minutes),
                c.needs.replace("|", r"\|"),
            ]
        )
    return table("| To read | the shortest way | takes | and asks for |", rows)


def verdicts(book: list[Chapter]) -> str:
    """Of every record, how many of its claims got which verdict, and on what it ran."""
    rows = []
    for record in ledger.records():
        found = Counter(str(judged.verdict) for judged in claims_of(record, declared(record.name))[0])
        cells = [str(found[verdict] or "") for verdict in VERDICTS]
        rows.append([f"`{record.key}`", *cells, str(len(record.seeds)), hours(record.seconds / 60), record.hardware])
    return table(f"| Record | {' | '.join(VERDICTS)} | runs | took | on |", rows)


BLOCKS: dict[str, Callable[[list[Chapter]], str]] = {
    "costs": costs,
    "syllabi": syllabi,
    "prerequisites": prerequisites,
    "verdicts": verdicts,
}


def written(page: str, book: list[Chapter]) -> str:
    """``page`` with its tables as the chapters and records are now.

    Raises:
        ValueError: the page asks for a table that is not made here.
    """

    def block(found: re.Match[str]) -> str:
        if found[1] not in BLOCKS:
            raise ValueError(f"there is no table {found[1]!r}: expected one of {', '.join(BLOCKS)}.")
        return f"% begin {found[1]}, written by make minutes\n\n{BLOCKS[found[1]](book)}\n\n% end {found[1]}"

    return BLOCK.sub(block, page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where something differs")
    check, differs = parser.parse_args().check, False
    try:
        book = chapters()
        for path in sorted(BOOK.glob("*.md")):
            stored = path.read_text(encoding="utf-8")
            wanted = written(stored, book)
            if wanted != stored:
                differs = True
                print(path.name + ": its tables are not those of the chapters, run make minutes" * check)
                if not check:
                    path.write_text(wanted, encoding="utf-8")
    except ValueError as error:
        print(error)
        return 1
    return int(check and differs)


if __name__ == "__main__":
    sys.exit(main())
