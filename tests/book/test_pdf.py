"""The printed book: every page in the order of the table of contents, and a word where something is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BOOK = Path(__file__).parents[2] / "book"


@pytest.fixture
def pdf(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("make_pdf")


def test_all_pages_are_printed_in_their_order_those_below_another_page_too(pdf: ModuleType, tmp_path: Path):
    toc = tmp_path / "_toc.yml"
    toc.write_text(
        "root: a\nparts:\n- chapters:\n  - file: b\n    sections:\n    - file: c\n- chapters:\n  - file: d\n"
    )
    assert pdf.pages(toc) == ["a", "b", "c", "d"]
    names = pdf.pages(BOOK / "_toc.yml")
    assert {path.stem for path in BOOK.glob("[0-9a-z]*.*") if path.suffix in (".md", ".ipynb")} == {
        n for n in names if "/" not in n
    }


def test_without_a_book_it_says_which_command_builds_it(
    pdf: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(pdf, "HTML", tmp_path / "none")
    monkeypatch.setattr("sys.argv", ["make_pdf.py"])
    assert pdf.main() == 1
    assert "run make book first" in capsys.readouterr().out


@pytest.mark.slow
def test_pages_are_joined_with_an_outline(pdf: ModuleType, tmp_path: Path):
    pypdf = pytest.importorskip("pypdf", reason="make pdf installs pypdf")
    pytest.importorskip("playwright", reason="make pdf installs playwright")
    if not any(map(shutil.which, pdf.NAMES)):
        pytest.skip("there is no Chromium on this machine")
    for k in (1, 2):
        (tmp_path / f"p{k}.html").write_text(f"<h1>Page {k}<a>#</a></h1><p>words of {k}</p>")
    assert pdf.printed(["p1", "p2"], tmp_path, tmp_path / "out" / "book.pdf") == 2
    read = pypdf.PdfReader(tmp_path / "out" / "book.pdf")
    assert [item.title for item in read.outline] == ["Page 1", "Page 2"]
    assert "words of 2" in read.pages[1].extract_text()
