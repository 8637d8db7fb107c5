"""What the pages need beyond `_config.yml`, as an extension of Sphinx: a page asks no network for anything.

Formulas are drawn by MathJax (Apache License 2.0, which lies beside it), from the package `sphinx-mathjax-offline`.
"""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

MATHJAX = "sphinx-mathjax-offline"
PARTS = (
    "tex-chtml.js",
    "input/tex/extensions",
    "output/chtml/fonts",
    "a11y",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
)
"""Of MathJax: TeX to HTML, extensions that a formula may ask for, fonts, and formulas read aloud in English."""


def own_mathjax(app: Sphinx) -> None:
    """Copy the parts of MathJax that the pages use into the folder of the pages, 3 of its 24 MB.

    Raises:
        ExtensionError: the package that holds it is not installed.
    """
    spec = find_spec(MATHJAX)
    if spec is None or spec.origin is None:
        raise ExtensionError(f"the formulas of the pages need the package {MATHJAX}: run `make install`.")
    source, target = Path(spec.origin).parent / "static" / "mathjax", Path(app.outdir) / "_static" / "mathjax"
    for part in PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, target / part)


def without_widget_state(app: Sphinx, name: str, source: list[str]) -> None:
    """Take the state of widgets out of a notebook's source: a page shows their pictures and draws none."""
    if source[0].startswith("{"):
        notebook = json.loads(source[0])
        notebook["metadata"].pop("widgets", None)
        source[0] = json.dumps(notebook)


def numbers_outside(app: Sphinx, doctree: nodes.document) -> None:
    r"""Write \cr for the line breaks of a formula with a number, such as those between cases.

    Sphinx puts a formula with a double backslash into ``split``, inside which MathJax takes no number: the page would
    show a message in the formula's place.
    """
    for block in doctree.findall(nodes.math_block):
        formula = block.astext()
        if r"\tag{" in formula:
            block.children = [nodes.Text(re.sub(r"\\\\(?:\[[^\]]*\])?(?=\s)", r"\\cr", formula))]


def only_used_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Leave out what would start a kernel over the network, and every second copy of a script."""
    scripts = {
        script.attributes.get("body") or str(script): script
        for script in context.get("script_files", [])
        if "thebe" not in f"{script} {script.attributes.get('body')}".lower()
    }
    context["script_files"] = list(scripts.values())


ICONS = re.compile(r'<script defer src="[^"]*scripts/fontawesome\.js[^"]*"></script>')
RECORDED = re.compile(r'<img (?=[^>]*src="[^"]*/results-)(?![^>]*loading=)')


def lighter(app: Sphinx, failed: Exception | None) -> None:
    """Take a script of 1.5 MB out of every page, and load the figures of the results when they come near.

    The theme's style sheets draw the same icons from a font.
    """
    for path in Path(app.outdir).rglob("*.html"):
        written = path.read_text(encoding="utf-8")
        light = RECORDED.sub('<img loading="lazy" ', ICONS.sub("", written))
        if light != written:
            path.write_text(light, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect all of the above; the scripts last, when every other extension has added its own."""
    app.connect("builder-inited", own_mathjax)
    app.connect("source-read", without_widget_state)
    app.connect("doctree-read", numbers_outside)
    app.connect("build-finished", lighter)
    app.connect("html-page-context", only_used_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
