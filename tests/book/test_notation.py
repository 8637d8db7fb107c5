"""One table of symbols for the whole course: what a chapter writes in a formula stands on the page of notation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "book" / "notation.md"
GREEK = (
    r"\\(?:(?:var)?(?:epsilon|theta|phi|rho|sigma|pi)|alpha|beta|gamma|delta|zeta|eta|kappa|lambda|mu|nu|xi|tau|chi"
    r"|psi|omega|Gamma|Delta|Theta|Lambda|Pi|Sigma|Phi|Psi|Omega|ell)(?![a-zA-Z])"
)
WORDS = r"\\(?:text|tag|mathrm|operatorname|texttt|textbf|begin|end)\*?\{[^{}]*\}"
DIFFERENTIAL = r"\\,\s*d(?=x|\\tilde)"  # of an integral
STYLED = r"\\(?:mathcal|mathbf|mathbb)\{[A-Za-z]\}"


def symbols(text: str) -> set[str]:
    """Letters, Greek letters and styled letters in the formulas of a Markdown text."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    found: set[str] = set()
    for display, inline in re.findall(r"\$\$(.*?)\$\$|\$([^$\n]+)\$", text, flags=re.DOTALL):
        formula = re.sub(DIFFERENTIAL, " ", re.sub(WORDS, " ", display or inline))
        found |= set(re.findall(STYLED, formula))
        formula = re.sub(STYLED, " ", formula)
        found |= set(re.findall(GREEK, formula))
        found |= set(re.findall(r"[A-Za-z]", re.sub(r"\\[a-zA-Z]+", " ", formula)))
    return found


def known_in(page: str, number: int) -> set[str]:
    """Symbols that the page has for the whole course, and those that it lists for this chapter."""
    before, _, after = page.partition("## Letters of one chapter")
    table, _, rest = after.partition("\n## ")
    rows = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", table, flags=re.MULTILINE)
    own = [words for chapters, words in rows if number in map(int, chapters.split(","))]
    return symbols("\n\n".join([before, rest, *own]))


def test_every_symbol_of_a_chapter_stands_on_the_page_of_notation(each_chapter: Any):
    known = known_in(PAGE.read_text(encoding="utf-8"), each_chapter.number)
    unknown = {symbol: cell.source[:60] for cell in each_chapter.text for symbol in symbols(cell.source) - known}
    assert not unknown


def test_a_letter_of_another_chapter_is_not_known():
    page = "$x$\n\n## Letters of one chapter\n\n| 1 | $a$ |\n| 2, 3 | $b$ |\n\n## Axes\n\n$n$\n"
    assert known_in(page, 1) == {"x", "n", "a"}
    assert known_in(page, 3) == {"x", "n", "b"}


def test_langevin_has_one_pair_of_letters(each_chapter: Any):
    text = "\n".join(cell.source for cell in each_chapter.text)
    assert "\\epsilon" not in text
    for step in re.findall(r"x - (\S+?)\s*\\?,?\s*\\nabla(?:_x)? ?E", text):
        assert step.startswith(("\\varepsilon", "\\tfrac")), step


@pytest.mark.parametrize(
    "text, found",
    [
        (r"$E_\theta(x)$ and $$\mathcal{L} = \text{two words} \tag{1.2}$$", {"E", r"\theta", "x", r"\mathcal{L}"}),
        (r"$\int p\, dx$", {"p", "x"}),
        ("`$a$` and ```\n$b$\n``` and $\\mathrm{softmax}(u)$", {"u"}),
    ],
)
def test_symbols_are_found_and_words_are_not(text: str, found: set[str]):
    assert symbols(text) == found
