"""Whoever chapters and pages cite by name and year has an entry in the bibliography."""

from __future__ import annotations

import calendar
import re
from pathlib import Path

import nbformat
import pytest

BOOK = Path(__file__).parents[2] / "book"
REFERENCES = BOOK / "references.md"
CITING = sorted({*BOOK.glob("*.ipynb"), *BOOK.glob("*.md"), *BOOK.glob("assignments/*.ipynb")} - {REFERENCES})
NAME = r"[A-ZÄÖÜ][\w'’-]*[a-zäöüéø]"
MORE = rf"(?: et al\.|(?:, {NAME})*,? (?:and|&) {NAME})?"
CITED = re.compile(rf"({NAME}){MORE},? \(?((?:19|20)\d\d)\b")
NO_NAMES = {"In", "Since", *calendar.month_name}


def text_of(path: Path) -> str:
    """A page, or the Markdown cells of a notebook; code and fences only show how something is written."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    return re.sub(r"```.*?```|`[^`\n]*`", " ", text, flags=re.DOTALL)


def cited(text: str) -> set[tuple[str, str]]:
    """(name, year) of every citation in a text, with the author who stands first."""
    found = CITED.findall(" ".join(text.split()))
    return {(name, year) for name, year in found if name not in NO_NAMES}


def entries(text: str) -> list[tuple[str, str]]:
    """(authors, year) of every entry of the bibliography."""
    return re.findall(r"^\*\*(.+?) \((\d{4})\w?\)\.\*\*", text, flags=re.MULTILINE | re.DOTALL)


def missing(text: str, bibliography: str) -> set[tuple[str, str]]:
    known = entries(bibliography)
    return {
        (name, year)
        for name, year in cited(text)
        if not any(year == of and re.search(rf"\b{re.escape(name)}\b", authors) for authors, of in known)
    }


@pytest.mark.parametrize("path", CITING, ids=lambda path: path.name)
def test_whoever_is_cited_stands_in_the_bibliography(path: Path):
    assert missing(text_of(path), REFERENCES.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hinton (2002) and (Yin, 2023)", {("Hinton", "2002"), ("Yin", "2023")}),
        ("Tu, Pang\nand Gimpel (2020, Eq. 7)", {("Tu", "2020")}),
        ("(Grathwohl et al., 2021; Song and Ermon 2019)", {("Grathwohl", "2021"), ("Song", "2019")}),
        ("on 14 November 2023, in 2011, at 2048 tokens", set()),
    ],
)
def test_names_with_years_are_found_and_dates_are_not(text: str, found: set[tuple[str, str]]):
    assert cited(text) == found


def test_a_citation_without_an_entry_and_one_of_another_year_are_found():
    bibliography = "**Hinton, G. E. (2002).** *A Title.*\\\n→ Words.\n"
    assert missing("Hinton (2002)", bibliography) == set()
    assert missing("Hinton (2003), Besag (1975)", bibliography) == {("Hinton", "2003"), ("Besag", "1975")}
