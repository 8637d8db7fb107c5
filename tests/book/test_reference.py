"""The reference: its pages ask for every module of the package, and docstrings reach the reader as they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from sphinx.ext.napoleon import Config, GoogleDocstring

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "book").glob("api*.md"))


@pytest.fixture
def reference(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("reference")


def test_every_module_of_the_package_is_on_one_page(reference: ModuleType):
    asked = [name for page in PAGES for found in reference.ASKED.findall(page.read_text()) for name in found.split()]
    listed = [module for name in asked for module in reference.modules(name)]
    files = [path for path in (ROOT / "ebm_course").rglob("*.py") if not path.name.startswith("__")]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    assert sorted(listed) == sorted(modules)


def test_a_page_that_asks_for_no_module_is_refused(reference: ModuleType):
    with pytest.raises(LookupError, match="'sampler', and the package has no such module"):
        reference.modules("sampler")


def test_a_page_gets_an_entry_a_module_and_other_pages_stay(reference: ModuleType):
    for name, filled in (("api_x", True), ("intro", False)):
        source = ["# A\n\n% modules core objectives\n"]
        reference.fill(SimpleNamespace(), name, source)
        assert (".. automodule:: ebm_course.objectives.contrastive\n   :members:" in source[0]) is filled
        assert ("## core\n" in source[0]) is filled


@pytest.mark.parametrize(
    "line, shown",
    [
        ("states (N, *S) and x * y", r"states (N, \*S) and x * y"),
        ("* a bullet of a*b", r"* a bullet of a\*b"),
        ("**What it is.** x**2 and y**2", r"**What it is.** x\*\*2 and y\*\*2"),
        ("a *fixed point*, (N, *S) and y*", r"a *fixed point*, (N, \*S) and y\*"),
        ("log p(y | x)", r"log p(y \| x)"),
        ("``a * b|c``, :func:`x_` and `d_`", "``a * b|c``, :func:`x_` and `d_`"),
        ("K.", r"\K."),
        (":param n_tags: K.", r":param n_tags: \K."),
        ("a table of size K.", "a table of size K."),
        ("x_ and x_t", r"x\_ and x_t"),
        ("``n``^2 points", r"``n``\ ^2 points"),
        (">>> a * b | c", ">>> a * b | c"),
        (r".. math:: i^* = |a| \tag{4} \\", r".. math:: i^* = |a| \quad (4) \\"),
    ],
)
def test_signs_of_formulas_are_no_markup(reference: ModuleType, line: str, shown: str):
    lines = [line]
    reference.escape(SimpleNamespace(), "function", "f", None, None, lines)
    assert lines == [shown]


def test_what_an_example_prints_is_no_markup_and_text_behind_it_is_again(reference: ModuleType):
    lines = [">>> for x in found:", "...     x", "['a|b', 'x_']", "", "a|b and x_"]
    reference.escape(SimpleNamespace(), "function", "f", None, None, lines)
    assert lines == [">>> for x in found:", "...     x", "['a|b', 'x_']", "", r"a\|b and x\_"]


def test_a_formula_ends_where_its_indentation_ends(reference: ModuleType):
    lines = [".. math::", "", "    i^* &= a|b", "", "Not a*b."]
    reference.escape(SimpleNamespace(), "module", "m", None, None, lines)
    assert lines == [".. math::", "", "    i^* &= a|b", "", r"Not a\*b."]


@pytest.mark.parametrize("what", ["data", "attribute"])
def test_words_of_a_constant_before_a_colon_are_no_type(reference: ModuleType, what: str):
    lines = ["Blue: data, the right answer."]
    assert ":type: Blue" in GoogleDocstring(list(lines), Config(), what=what, name="BLUE").lines()  # else no need
    reference.escape(SimpleNamespace(), what, "BLUE", None, None, lines)
    shown = GoogleDocstring(lines, Config(), what=what, name="BLUE").lines()
    assert [line for line in shown if line] == ["..", "Blue: data, the right answer."]
