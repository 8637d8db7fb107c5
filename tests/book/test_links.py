"""Addresses in everything that is read: external ones have a form that can be right, internal ones lead somewhere.

No network is asked. A number of arXiv that is wrong shows in what stands beside it: the year of the work, and its title
wherever else the number stands.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
PAGES = [*sorted(BOOK.glob("*.md")), BOOK / "assignments" / "README.md", *sorted(ROOT.glob("*.md"))]
NOTEBOOKS = [*sorted(BOOK.glob("*.ipynb")), *sorted((BOOK / "assignments").glob("*.ipynb"))]
READ = [*PAGES, *NOTEBOOKS, ROOT / "CITATION.cff", ROOT / "_config.yml"]

CODE = re.compile(r"^( *)(`{3,}).*?^\1\2 *$|`[^`\n]+`", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")
BARE = re.compile(r"\b(?:https?|ftp)://[^\s<>\"'`\\\])]+", flags=re.IGNORECASE)
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
ARXIV = re.compile(r"/abs/(\d\d)(0[1-9]|1[0-2])\.(\d{4,5})")
PATH = re.compile(r"`((?:book|ebm_course|tests)/[\w./-]*|[A-Z]+\.(?:md|cff)|[\w.]+\.(?:yml|toml)|constraints\.txt)`")
MADE = ("book/_build", "book/assignments/student", "book/assignments/autograder")  # by make: no clone has them


def words_of(path: Path) -> str:
    """A page as it is, of a notebook the text cells."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def links(text: str) -> list[tuple[str, str]]:
    """(words, target) of every link and picture, and ("", address) of every bare address; code only shows examples."""
    prose = CODE.sub("", text)
    rest = LINK.sub(lambda found: found[1], prose)
    return [(" ".join(words.split()), target) for words, target in LINK.findall(prose)] + [
        ("", found.rstrip(".,;:!?")) for found in BARE.findall(rest)
    ]


def fault(address: str) -> str:
    """What is wrong with the form of an external address; nothing is the empty string."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    paper = ARXIV.fullmatch(parts.path)
    digits = 4 if paper and int(paper[1]) < 15 else 5  # since January 2015
    faults = {
        "it is not https": parts.scheme != "https",
        "it holds a sign that addresses write otherwise": bool(re.search(r"[^!#-;=?-Z_a-z~\[\]]", address)),
        "it ends with the sentence's sign": address[-1] in ".,;:!?",
        "it names no host": not HOST.fullmatch(parts.netloc),
        "that is no page of arXiv: /abs/YYMM.NNNNN": host.endswith("arxiv.org")
        and not (host == "arxiv.org" and paper and len(paper[3]) == digits),
        "that is no DOI: https://doi.org/10.NNNN/NAME": host.endswith("doi.org")
        and not (host == "doi.org" and re.fullmatch(r"/10\.\d{4,9}/\S+", parts.path)),
    }
    return next((words for words, wrong in faults.items() if wrong), "")


def lost(path: Path, target: str) -> bool:
    """Whether a link of the file ``path`` leads nowhere: no such file, or no such heading or label in it."""
    name, _, anchor = unquote(target).partition("#")
    there = (path.parent / name).resolve() if name else path
    if not there.is_relative_to(ROOT) or not there.exists():
        return True
    headings = re.findall(r"^#+ +(.+)$|^\((.+)\)=$", words_of(there) if anchor else "", flags=re.MULTILINE)
    slugs = {label or re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading, label in headings}
    return bool(anchor) and anchor not in slugs


@pytest.mark.parametrize("path", READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_addresses_outside_have_a_form_that_can_be_right_and_links_inside_lead_somewhere(path: Path):
    targets = {target for _, target in links(words_of(path))}
    outside = {target for target in targets if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", target)}
    assert {address: fault(address) for address in outside if fault(address)} == {}
    assert {target for target in targets - outside if lost(path, target)} == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_that_a_text_names_is_there(path: Path):
    named = {name for name in PATH.findall(words_of(path)) if not name.startswith(MADE) and "NN" not in name}
    if path.name == "CONTRIBUTING.md":  # its example is a file that the reader adds
        named -= {"tests/samplers/test_metropolis.py"}
    assert {name for name in named if not any((place / name).exists() for place in (ROOT, BOOK, path.parent))} == set()


def works() -> dict[str, tuple[int, str]]:
    """Year and title of the works of references.md that are on arXiv, by their address."""
    entry = re.compile(r"\((\d{4})\w?\)\.\*\*\s+\*([^*]+)\*(?:(?!\n\n).)*?\[arXiv:(\S+?)\]\((\S+?)\)", flags=re.DOTALL)
    found = entry.findall(words_of(BOOK / "references.md"))
    assert all(address.endswith(f"/{number}") for *_, number, address in found)
    return {address: (int(year), plain(title)) for year, title, _, address in found}


def plain(title: str) -> str:
    return " ".join(re.findall(r"\w+", title.lower()))


def test_a_reference_came_to_arxiv_before_it_was_printed_and_not_long_before():
    years = {address: (year, 2000 + int(address.split("/")[-1][:2])) for address, (year, _) in works().items()}
    assert len(years) > 45
    assert {address: pair for address, pair in years.items() if not pair[1] <= pair[0] <= pair[1] + 4} == {}


def test_every_reference_says_what_to_read_it_for():
    entries = re.findall(r"^\*\*.+?(?=\n\n|\Z)", words_of(BOOK / "references.md"), flags=re.DOTALL | re.MULTILINE)
    assert len(entries) > 80
    assert [entry for entry in entries if not re.search(r"\\\n→ \w", entry)] == []


def test_a_chapter_and_the_references_give_an_address_the_same_title():
    known, told = works(), defaultdict(set)
    for path in NOTEBOOKS:
        for words, target in links(words_of(path)):
            if "arxiv.org" in target:
                told[target] |= {plain(words)} if words and not words.startswith("arXiv:") else set()
    assert len(told) > 25
    assert set(told) - set(known) == set(), "an address that references.md does not have"
    other = {target: [title for title in titles if title not in known[target][1]] for target, titles in told.items()}
    assert {target: titles for target, titles in other.items() if titles} == {}


@pytest.mark.parametrize(
    "address",
    [
        "http://arxiv.org/abs/1906.03351",
        "https://arxiv.org/pdf/1906.03351",
        "https://arxiv.org/abs/1913.03351",
        "https://arxiv.org/abs/1906.3351",
        "https://arxiv.org/abs/1406.26611",
        "https://www.arxiv.org/abs/1906.03351",
        "https://doi.org/11.1000/182",
        "https://dx.doi.org/10.1000/182",
        "https://example.org/a b",
        "https://example.org/a.",
        "https://localhost/a",
        "https://example",
        "https://me@example.org/",
        "https://exa_mple.org/",
        "mailto:somebody",
    ],
)
def test_a_form_that_cannot_be_right_is_found(address: str):
    assert fault(address)


@pytest.mark.parametrize("address", ["https://arxiv.org/abs/1406.2661", "https://doi.org/10.1000/182#a(b)"])
def test_a_right_form_passes(address: str):
    assert fault(address) == ""


@pytest.mark.parametrize(
    "text, found",
    [
        ("[a](b.md) and ![c\nd](e.svg)", ["b.md", "e.svg"]),
        ("`[a](b.md)` and\n\n```\n[a](https://x.org)\n```\n", []),
        ("see https://x.org/a, <https://y.org>.", ["https://x.org/a", "https://y.org"]),
        ("[a [b] c](https://x.org/(d))", ["https://x.org/(d)"]),
    ],
)
def test_links_are_found_in_prose_and_not_in_code(text: str, found: list[str]):
    assert [target for _, target in links(text)] == found


@pytest.mark.parametrize("target", ["nobody.md", "instructors.md#no-such-heading", "../../outside.md", "#nowhere"])
def test_a_link_that_leads_nowhere_is_found(target: str):
    assert lost(BOOK / "intro.md", target)


def test_a_link_to_a_heading_is_found():
    assert not lost(BOOK / "intro.md", "reading.md#the-map-of-prerequisites")
