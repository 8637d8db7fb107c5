"""What the extension of Sphinx does to pages, a step at a time; the built book shows all of it together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from docutils import nodes
from sphinx.errors import ExtensionError

BUILT = SimpleNamespace(outdir="")


@pytest.fixture
def pages(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("pages")


def test_the_state_of_widgets_is_left_out_and_everything_else_stays(pages: ModuleType):
    notebook = {"cells": [{"source": "1"}], "metadata": {"kernelspec": {"name": "python3"}}}
    stored = {**notebook, "metadata": {**notebook["metadata"], "widgets": {"state": {}}}}
    for given, left in ((stored, notebook), (notebook, notebook)):
        source = [json.dumps(given)]
        pages.without_widget_state(BUILT, "chapter", source)
        assert json.loads(source[0]) == left
    markdown = ["# A page\n"]
    pages.without_widget_state(BUILT, "page", markdown)
    assert markdown == ["# A page\n"]


@pytest.mark.parametrize(
    "formula, shown",
    [
        (r"a \\ b \tag{1.1}", r"a \cr b \tag{1.1}"),
        ("\\begin{cases} a \\\\[2pt]\nb \\end{cases} \\tag{1.1}", "\\begin{cases} a \\cr\nb \\end{cases} \\tag{1.1}"),
        (r"a \\ b", r"a \\ b"),
        (r"a = b \tag{1.1}", r"a = b \tag{1.1}"),
    ],
)
def test_a_formula_with_a_number_is_not_split(pages: ModuleType, formula: str, shown: str):
    block = nodes.math_block(formula, formula)
    pages.numbers_outside(BUILT, nodes.section("", block))
    assert block.astext() == shown


def test_a_page_loads_no_script_of_icons_and_recorded_figures_when_they_come_near(pages: ModuleType, tmp_path: Path):
    icons = '<script defer src="../_static/scripts/fontawesome.js?digest=5"></script>'
    (tmp_path / "deep").mkdir()
    page, other = tmp_path / "deep" / "a.html", tmp_path / "b.html"
    page.write_text(f'<head>{icons}</head><img alt="x" src="_static/results-a-1.svg"><img src="_images/b.png">')
    other.write_text("<p>as it is</p>")
    for _ in range(2):  # a page that is not built anew
        pages.lighter(SimpleNamespace(outdir=tmp_path), None)
        lazy = '<img loading="lazy" alt="x" src="_static/results-a-1.svg">'
        assert page.read_text() == f'<head></head>{lazy}<img src="_images/b.png">'
    assert other.read_text() == "<p>as it is</p>"


class Script:
    """As much of Sphinx's script as the extension reads."""

    def __init__(self, filename: str = "", **attributes: str):
        self.filename, self.attributes = filename, attributes

    def __str__(self) -> str:
        return self.filename


def test_scripts_are_kept_once_in_their_order_and_those_of_a_kernel_go(pages: ModuleType):
    first, second = Script("_static/a.js"), Script(body="let hint = 1;")
    kernel = [Script("_static/sphinx-thebe.js"), Script(body='const THEBE_JS_URL = "https://unpkg.com/thebe"')]
    context = {"script_files": [first, second, *kernel, Script(body="let hint = 1;"), Script("_static/a.js")]}
    pages.only_used_scripts(BUILT, "page", "page.html", context, None)
    assert [(str(s), s.attributes) for s in context["script_files"]] == [
        (str(s), s.attributes) for s in (first, second)
    ]


def test_without_the_package_of_mathjax_the_build_says_what_to_do(pages: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "find_spec", lambda name: None)
    with pytest.raises(ExtensionError, match="need the package sphinx-mathjax-offline: run `make install`"):
        pages.own_mathjax(BUILT)


def test_a_second_build_into_the_same_folder_copies_again(pages: ModuleType, tmp_path: Path):
    for _ in range(2):
        pages.own_mathjax(SimpleNamespace(outdir=tmp_path))
    assert (tmp_path / "_static" / "mathjax" / "tex-chtml.js").stat().st_size > 10**6
