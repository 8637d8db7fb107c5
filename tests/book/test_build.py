"""The built book: no warning, a page for every entry, no error in a page, and links, pictures and texts that exist."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
CHAPTERS = [chapter for part in TOC["parts"] for chapter in part["chapters"]]
ENTRIES = [TOC["root"], *(page["file"] for chapter in CHAPTERS for page in (chapter, *chapter.get("sections", ())))]


class Page(HTMLParser):
    """Elements of a page as (tag, attributes), and the text outside code and formulas."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.silent: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        formula = {"math"} & set(attributes.get("class", "").split())
        if tag in ("pre", "script", "style", "code") or formula or (self.silent and tag == self.silent[-1]):
            self.silent.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.silent and tag == self.silent[-1]:
            self.silent.pop()

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.words.append(data)

    def all(self, tag: str) -> Iterator[dict[str, str]]:
        return (attributes for name, attributes in self.elements if name == tag)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of pages and the log of a strict build that leaves the checkout as it is."""
    folder = tmp_path_factory.mktemp("book")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ROOT / "book", "--path-output", folder]
    run = subprocess.run([*command, "-W", "-n", "--keep-going"], capture_output=True, text=True)
    log = run.stdout + run.stderr
    assert run.returncode == 0, log[-5000:]
    return folder / "_build" / "html", log


@pytest.fixture(params=ENTRIES)
def page(request: pytest.FixtureRequest, built: tuple[Path, str]) -> tuple[Path, str]:
    path = built[0] / f"{request.param}.html"
    assert path.exists(), f"_toc.yml names {request.param}, and the build made no page of it"
    return path, path.read_text(encoding="utf-8")


def test_the_build_warns_of_nothing(built: tuple[Path, str]):
    assert "WARNING" not in built[1]
    assert "ERROR" not in built[1]


def test_the_first_page_is_the_cover(built: tuple[Path, str]):
    assert "intro.html" in (built[0] / "index.html").read_text()


def test_a_page_shows_no_error(page: tuple[Path, str], wanted_errors: set[str]):
    path, text = page
    assert "system-message" not in text
    assert str(ROOT) not in text, "a path of this machine"
    assert path.stem in wanted_errors or 'class="output traceback' not in text
    assert 'class="output stderr' not in text


@pytest.fixture(scope="module")
def wanted_errors() -> set[str]:
    """Chapters with a cell that is meant to fail."""
    return {path.stem for path in (ROOT / "book").glob("*.ipynb") if '"raises-exception"' in path.read_text()}


def test_formulas_and_markup_reach_the_reader_rendered(page: tuple[Path, str]):
    # In the reference a signature has defaults such as '$x$' and **options; bold text that was not rendered would leave
    # two stars at its end. Numerals of tweets have the tag $, between spaces.
    words = re.sub(r"= '[^']*'", "=", "".join(Page(page[1]).words))
    assert "$" not in words.replace(" $ ", "")
    assert "**" not in re.sub(r"\*\*(?=\w)", "", words)
    assert not re.search(r"(?<![\w*])\*[A-Za-z][a-z -]*[a-z]\*(?![\w*])", words), "stars round words"
    assert "{image}" not in words
    assert not re.search(r"\|\s*:?[-–—]+:?\s*\|", words), "a table is shown as it was written"
    assert not re.search(r'<ol class="(upper|lower)', page[1]), "a letter and a stop became a list"
    formulas = re.findall(r"\\begin\{split\}.*?\\end\{split\}", page[1], flags=re.DOTALL)
    assert not [formula for formula in formulas if r"\tag{" in formula], "MathJax numbers no formula inside split"


def test_links_and_pictures_exist_and_pictures_have_a_text(page: tuple[Path, str]):
    path, parsed = page[0], Page(page[1])
    targets = [element.get("href", "") for element in parsed.all("a")]
    targets += [element.get("src", "") for element in parsed.all("img")]
    local = [target.split("#")[0].split("?")[0] for target in targets if "://" not in target and ":" not in target[:12]]
    missing = [target for target in local if target and not (path.parent / unquote(target)).exists()]
    assert not missing
    silent = [image.get("src", "")[:80] for image in parsed.all("img") if not image.get("alt")]
    assert not silent, "a picture without alternative text"


def test_a_page_shows_the_picture_of_a_widget_and_loads_nothing_to_draw_the_widget(page: tuple[Path, str]):
    path, text = page
    assert "jupyter-widgets" not in text and "widget-view" not in text
    notebook = ROOT / "book" / f"{path.stem}.ipynb"
    stored = json.loads(notebook.read_text())["cells"] if notebook.exists() else []
    widgets = [
        output["data"]
        for cell in stored
        for output in cell.get("outputs", [])
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    for data in widgets:
        name = hashlib.sha256(base64.b64decode(data["image/png"])).hexdigest()
        assert f"_images/{name}.png" in text


def test_a_page_asks_no_network_for_anything(page: tuple[Path, str]):
    path, parsed = page[0], Page(page[1])
    wanted = [a.get("src", "") for tag in ("script", "img", "iframe", "source") for a in parsed.all(tag)]
    wanted += [a.get("href", "") for a in parsed.all("link") if a.get("rel") != "canonical"]
    assert not [address for address in wanted if address.startswith("//") or "://" in address]
    assert not re.search(r"unpkg\.com|jsdelivr|cdnjs|googleapis", page[1])
    if 'class="math ' in page[1]:
        assert any(a.get("src", "").startswith("_static/mathjax/tex-chtml.js") for a in parsed.all("script")), path


def test_mathjax_its_fonts_and_its_licence_lie_beside_the_pages(built: tuple[Path, str]):
    folder = built[0] / "_static" / "mathjax"
    assert len(list((folder / "output" / "chtml" / "fonts" / "woff-v2").glob("*.woff"))) > 20
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 4e6


def test_the_reference_names_every_public_function_and_class_and_shows_the_examples(built: tuple[Path, str]):
    pages = "".join(path.read_text(encoding="utf-8") for path in built[0].glob("api*.html"))
    missing = []
    for path in sorted((ROOT / "ebm_course").rglob("*.py")):
        if path.name == "__main__.py":  # the command line, nobody imports it
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and ast.get_docstring(node) and f'id="{module}.{node.name}"' not in pages:
                missing.append(f"{module}.{node.name}")
    assert not missing
    assert pages.count("&gt;&gt;&gt; ") > 200


def test_no_script_stands_twice_in_a_page(page: tuple[Path, str]):
    bodies = re.findall(r"<script[^>]*>(.*?)</script>", page[1], flags=re.DOTALL)
    named = [body for body in bodies if re.match(r"(const|let|var) ", body)]
    assert named and len(named) == len(set(named))


def test_the_page_parser_tells_text_from_code_and_formulas() -> None:
    parsed: Any = Page('<p>one $x$ <span class="math">$y$</span> <code>$z$</code> two</p><img src="a" alt="b">')
    assert "".join(parsed.words).split() == ["one", "$x$", "two"]
    assert list(parsed.all("img")) == [{"src": "a", "alt": "b"}]
