"""Numbers in a chapter's sentences are those of its outputs and code, rounded as the sentence rounds them.

A number with a decimal point, or one before a percent sign, has to stand in an output or in the code of the same
section (or of the one before it); in the head and in the takeaways, anywhere in the chapter. Formulas, code, links,
numbers of equations and sections, exercises and further reading are left out: solutions of exercises are run by another
test. A cell whose numbers are quoted from a source, and which says so, carries the tag ``quoted``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import pytest

SILENT = r"```.*?```|~~~.*?~~~|<details>.*?</details>|\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]*`|\]\([^)]*\)|<[^>]+>"
NAMED = r"chapters?|sections?|figures?|fig\.|tables?|eqs?\.|equations?|python|torch|version|exercises?"
LABEL = rf"(?i:{NAMED}) ?\d[\d.,–-]*(?: (?:and|to) \d[\d.]*)*"
TAG = r"\(\d+\.\d+[a-z]?\)"
NUMBER = r"(?<![\w.,^])[-−]?\d[\d,]*(?:(?:\.\d+)?(?= ?%)|\.\d+(?:[eE][-+]?\d+)?)"
ANY = r"(?<![\w.])[-−+]?\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?%?"
LOOSE = ("takeaways",)
SKIPPED = ("exercises", "further reading")


def asked(text: str) -> Iterator[tuple[str, bool]]:
    """Numbers of a Markdown text that have to be found, as written, and whether they are percentages."""
    text = re.sub(SILENT, " ", text, flags=re.DOTALL)
    text = re.sub(TAG, " ", re.sub(LABEL, " ", text))
    for match in re.finditer(NUMBER, text):
        yield match[0], text[match.end() :].lstrip(" ").startswith("%")


def found(text: str) -> set[Decimal]:
    """All numbers in an output or in code, signs left aside; percentages as shares too."""
    numbers = set()
    for match in re.findall(ANY, text):
        value = exact(match.rstrip("%"))
        if value is not None:
            numbers |= {abs(value), *([abs(value) / 100] if match.endswith("%") else [])}
    return numbers


def exact(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace("−", "-").replace(",", "").replace("_", ""))
    except InvalidOperation:
        return None


def agrees(written: str, percent: bool, numbers: set[Decimal]) -> bool:
    """Whether a number rounds to what is written, up to half a unit of its last digit."""
    value = exact(written)
    assert value is not None
    half = Decimal(1).scaleb(int(value.as_tuple().exponent)) / 2
    near, within = (abs(value) / 100, half / 100) if percent else (abs(value), half)
    return any(abs(number - near) <= within for number in numbers)


def sections(cells: list[Any]) -> list[tuple[str, list[Any]]]:
    """(heading, cells) of a chapter; what stands before the first heading of level two is the section ""."""
    parts: list[tuple[str, list[Any]]] = [("", [])]
    for cell in cells:
        heading = re.search(r"^## (.+)$", cell.source, flags=re.MULTILINE) if cell.cell_type == "markdown" else None
        if heading is None:
            parts[-1][1].append(cell)
            continue
        before = type(cell)({**cell, "source": cell.source[: heading.start()]})
        after = type(cell)({**cell, "source": cell.source[heading.start() :]})
        parts[-1][1].append(before)
        parts.append((heading[1].strip().lower(), [after]))
    return parts


def shown(cells: list[Any]) -> set[Decimal]:
    """Numbers of the code and the outputs of cells."""
    texts = []
    for cell in (cell for cell in cells if cell.cell_type == "code"):
        texts.append(cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts += [output.get("text", ""), *(data.get(kind, "") for kind in ("text/plain", "text/markdown"))]
            if "animation" not in data.get("text/html", ""):
                texts.append(re.sub(r"<[^>]*>", " ", data.get("text/html", "")))
    return found("\n".join(texts))


def disagreements(chapter: Any) -> list[str]:
    """ "section: number in: the sentence" for every number of the prose that no output and no code shows."""
    parts = sections(chapter.notebook.cells)
    everywhere, before, faults = shown(chapter.notebook.cells), set(), []
    for heading, cells in parts:
        here = shown(cells)
        numbers = everywhere if not heading or heading in LOOSE else here | before
        before = here
        if heading in SKIPPED:
            continue
        for cell in (cell for cell in cells if cell.cell_type == "markdown"):
            if {"quoted", "badges"} & set(cell.metadata.get("tags", [])):
                continue
            wrong = [written for written, percent in asked(cell.source) if not agrees(written, percent, numbers)]
            faults += [f"{heading or 'head'}: {number} in {cell.source[:60]!r}" for number in wrong]
    return faults


def test_numbers_in_sentences_are_those_of_the_outputs(each_chapter: Any):
    faults = disagreements(each_chapter)
    assert not faults, "\n".join(faults)


def test_quoted_cells_name_their_source(each_chapter: Any):
    for cell in each_chapter.tagged("quoted"):
        assert re.search(r"\b(19|20)\d\d\b|paper", cell.source), cell.source[:200]


@pytest.mark.parametrize(
    "text", ["It is 4.1 nats.", "About 4 % of rows.", "It took 0.3 s, -4.0 nats.", "By 4.02, see (1.1)."]
)
def test_a_number_that_no_output_shows_is_found(sample: Callable[..., Any], text: str):
    chapter = sample(lambda cells: cells[7].update(source=f"## The end\n\n{text}\n\n## Takeaways\n\n## Exercises"))
    assert len(disagreements(chapter)) == 1


@pytest.mark.parametrize(
    "text", ["It is 4.0.", "Chapter 4.2 and `0.3` and $0.7$.", "By (1.1), 400 % more.", "Section 3.1."]
)
def test_numbers_that_are_shown_and_labels_pass(sample: Callable[..., Any], text: str):
    chapter = sample(lambda cells: cells[7].update(source=f"## The end\n\n{text}\n\n## Takeaways\n\n## Exercises"))
    assert disagreements(chapter) == []


def test_rounding_is_that_of_the_sentence():
    numbers = {Decimal("0.28920")}
    assert agrees("0.289", False, numbers) and agrees("29", True, numbers) and agrees("0.3", False, numbers)
    assert not agrees("0.28939", False, numbers) and not agrees("28", True, numbers)
