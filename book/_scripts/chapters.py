"""What the chapters say of themselves: title, minutes, memory, prerequisites, read from their heads and exercises.

It knows the table of contents and the notebooks; which page shows what of it is said in ``write_minutes.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

BOOK = Path(__file__).parents[1]
EXERCISE = re.compile(r"^(?:#+ |\*\*Exercise).*★.*", flags=re.MULTILINE)
MINUTES = re.compile(r"(\d+) minutes?\b")
COSTS = re.compile(r"\*\*Costs?\.\*\*[^\n]*?(\d+) s\b.*?([\d,]+) MB.*?(?=\n\n|\Z)", flags=re.DOTALL)
NEEDS = re.compile(r"\*\*You need\*\* (.*?)(?=\n\n|\Z)", flags=re.DOTALL)
NO_GPU = re.compile(r"GPU: (?:not|none|no)\b|stays on\s+the\s+CPU")


@dataclass(frozen=True)
class Chapter:
    """A chapter in numbers; ``needs`` is its own sentence, ``before`` the numbers of the chapters in it."""

    number: int
    name: str
    part: str
    title: str
    reading: int
    exercises: int
    seconds: int
    megabytes: int
    gpu: bool
    needs: str
    before: tuple[int, ...]

    @property
    def minutes(self) -> int:
        return self.reading + self.exercises


def numbers(needs: str) -> tuple[int, ...]:
    """Numbers of the chapters that a sentence asks for.

    >>> numbers("chapters 4 (residual contrast) and 5, and a sum (chapter 3)")
    (3, 4, 5)
    """
    text = re.sub(r"\((?![^()]*chapter)[^()]*\)", "", needs)
    lists = re.findall(r"[Cc]hapter(?:\s+(\d+)|s\s+(\d+(?:(?:\s*,\s*and|\s*,|\s+and|\s+to)\s+\d+\b)*))", text)
    found: set[int] = set()
    for part in map("".join, lists):
        listed = [int(k) for k in re.findall(r"\d+", part)]
        found |= set(range(listed[0], listed[-1] + 1)) if " to " in part else set(listed)
    return tuple(sorted(found))


def read(path: Path, part: str = "") -> Chapter:
    """What the chapter at ``path`` says of itself.

    Raises:
        ValueError: a part of its head is missing; the message shows the form.
    """
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    title = re.match(r"# (\d+)\. (.+)", text)
    reading = re.search(r"\*To read:\* (\d+) minutes\b", text)
    exercises = sum(int(k) for line in EXERCISE.findall(text) for k in MINUTES.findall(line))
    costs, needs = COSTS.search(text), NEEDS.search(text)
    parts = {
        "title '# 5. Title'": title,
        "line '*To read:* 52 minutes'": reading,
        "exercise '(★, 5 minutes)'": exercises,
        "line '**Cost.** About 60 s and 750 MB of memory'": costs,
        "line '**You need** chapters 3 and 4'": needs,
    }
    if not title or not reading or not exercises or not costs or not needs:
        missing = next(name for name, part in parts.items() if not part)
        raise ValueError(f"{path.name}: expected a {missing} and found none: write it, then run make notebooks.")
    sentence = " ".join(needs[1].split())
    return Chapter(
        number=int(title[1]),
        name=path.stem,
        part=part,
        title=title[2],
        reading=int(reading[1]),
        exercises=exercises,
        seconds=int(costs[1]),
        megabytes=int(costs[2].replace(",", "")),
        gpu=not NO_GPU.search(costs[0]),
        needs=sentence,
        before=tuple(k for k in numbers(sentence) if k != int(title[1])),
    )


def chapters(book: Path = BOOK) -> list[Chapter]:
    """The chapters of the table of contents, in its order."""
    parts = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    listed = [(entry["file"], part["caption"]) for part in parts for entry in part["chapters"]]
    return [read(book / f"{name}.ipynb", part) for name, part in listed if re.match(r"\d\d_", name)]


def path_to(number: int, book: list[Chapter]) -> list[int]:
    """Numbers of the chapters to read, in order, for the one with this number: all that it needs, and it."""
    known = {chapter.number: chapter for chapter in book}
    wanted, found = [number], set()
    while wanted:
        k = wanted.pop()
        if k in known and k not in found:
            found.add(k)
            wanted += known[k].before
    return sorted(found)
