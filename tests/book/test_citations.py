"""Whoever chapters, pages and docstrings cite by name and year has an entry in the bibliography."""

from __future__ import annotations

import ast
import calendar
import re
from pathlib import Path
from pkgutil import resolve_name

import nbformat
import pytest

BOOK = Path(__file__).parents[2] / "book"
REFERENCES = BOOK / "references.md"
PACKAGE = Path(__file__).parents[2] / "ebm_course"
CITING = sorted({*BOOK.glob("*.ipynb"), *BOOK.glob("*.md"), *BOOK.glob("assignments/*.ipynb")} - {REFERENCES})
NAME = r"(?:De )?[A-ZÄÖÜ][\w'’-]*[a-zäöüéø]"
MORE = rf"(?: et al\.|(?:, {NAME})*,? (?:and|&) {NAME})?"
CITED = re.compile(rf"({NAME}{MORE}),? \(?((?:19|20)\d\d)\b")
BIBLIOGRAPHY = """\
**Tu, L. & Gimpel, K. (2018).** *A Title.*

**Tu, L., Pang, R. Y. & Gimpel, K. (2020).** *A Title.*

**Oord, A. van den, Li, Y. & Vinyals, O. (2018).** *A Title.*
"""
NO_NAMES = {"In", "Since", *calendar.month_name}


def text_of(path: Path) -> str:
    """A page, or the Markdown cells of a notebook; code and fences only show how something is written."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    return re.sub(r"```.*?```|`[^`\n]*`", " ", text, flags=re.DOTALL)


def docstrings(source: str) -> str:
    """Those of a module and of its classes, functions and constants."""
    said = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr)]
    return "\n\n".join(part.value for part in said if isinstance(part, ast.Constant) and isinstance(part.value, str))


def cited(text: str) -> set[tuple[str, ...]]:
    """(names..., year) of every citation in a text; "et al." is one of the names."""
    found = [(*re.findall(rf"{NAME}|et al\.", names), year) for names, year in CITED.findall(" ".join(text.split()))]
    return {(first, *rest) for first, *rest in found if first not in NO_NAMES}


def entries(text: str) -> list[tuple[str, str]]:
    """(authors, year) of every entry of the bibliography."""
    return re.findall(r"^\*\*(.+?) \((\d{4})\w?\)\.\*\*", text, flags=re.MULTILINE | re.DOTALL)


def are(names: list[str], authors: str) -> bool:
    """Whether an entry's authors are these, in this order; "et al.": its first of three or more; one name: any of them.

    A reading list has initials before names, so the last author stands there alone before the year.
    """
    of = re.findall(r"(?:^|& |, )([^,&]+), \w\.", authors)
    if names[1:] == ["et al."]:
        return len(of) > 2 and of[0].endswith(names[0])
    if len(names) == 1:
        return any(full.endswith(names[0]) for full in of)
    return len(of) == len(names) and all(full.endswith(name) for full, name in zip(of, names, strict=True))


def missing(text: str, bibliography: str) -> set[tuple[str, ...]]:
    known = entries(bibliography)
    return {
        (*names, year)
        for *names, year in cited(text)
        if not any(year == of and are(names, " ".join(authors.split())) for authors, of in known)
    }


@pytest.mark.parametrize("path", CITING, ids=lambda path: path.name)
def test_whoever_is_cited_stands_in_the_bibliography(path: Path):
    assert missing(text_of(path), REFERENCES.read_text(encoding="utf-8")) == set()


def test_whoever_a_docstring_of_the_package_cites_stands_in_the_bibliography():
    said = {path: docstrings(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    assert len(set.union(*map(cited, said.values()))) > 80
    bibliography = REFERENCES.read_text(encoding="utf-8")
    lost = {str(path.relative_to(PACKAGE)): missing(text, bibliography) for path, text in said.items()}
    assert {path: names for path, names in lost.items() if names} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hinton (2002) and (Yin, 2023)", {("Hinton", "2002"), ("Yin", "2023")}),
        ("Tu, Pang\nand Gimpel (2020, Eq. 7)", {("Tu", "Pang", "Gimpel", "2020")}),
        ("(Grathwohl et al., 2021; Song and Ermon 2019)", {("Grathwohl", "et al.", "2021"), ("Song", "Ermon", "2019")}),
        ("Tjong Kim Sang and De Meulder (2003)", {("Sang", "De Meulder", "2003")}),
        ("on 14 November 2023, in 2011, at 2048 tokens", set()),
    ],
)
def test_names_with_years_are_found_and_dates_are_not(text: str, found: set[tuple[str, ...]]):
    assert cited(text) == found


def test_docstrings_are_read_and_code_is_not():
    source = '"""Hinton (2002)."""\nX = "Vincent (2011)"\n"""Besag (1975)."""\ndef f():\n    """Yin (2023)."""\n'
    assert cited(docstrings(source)) == {("Hinton", "2002"), ("Besag", "1975"), ("Yin", "2023")}


@pytest.mark.parametrize(
    "text", ["Tu, Pang and Gimpel (2020)", "Tu et al. (2020)", "K. Gimpel (2018)", "Oord et al. 2018"]
)
def test_an_entry_is_found_by_all_its_names_by_its_first_of_many_and_by_one(text: str):
    assert missing(text, BIBLIOGRAPHY) == set() != cited(text)


@pytest.mark.parametrize(
    "text",
    [
        "Besag (1975)",
        "Tu (2019)",
        "Tu, Gimpel and Pang (2020)",
        "Tu and Pang (2020)",
        "Pang et al. (2020)",
        "Tu et al. 2018",
    ],
)
def test_a_citation_of_nobody_of_another_year_or_of_other_authors_is_found(text: str):
    assert missing(text, BIBLIOGRAPHY) == cited(text) != set()


def test_names_of_the_package_in_the_bibliography_are_there():
    named = re.findall(r"`((?:\w+\.)+\w+)`", REFERENCES.read_text(encoding="utf-8"))
    assert len(named) > 40
    for name in named:
        resolve_name(f"ebm_course.{name}")
