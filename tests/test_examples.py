"""The examples in the docstrings run as they are written, and no public name is without one."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

PACKAGE = Path(__file__).parents[1] / "ebm_course"
WITHOUT: dict[str, str] = {}
"""Public names that need no example, as ``part.module.Name``, each with its reason."""


def sources() -> list[Path]:
    """The files of the package, without the one that runs when imported."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.name not in ("__init__.py", "__main__.py")]


def with_examples() -> list[Path]:
    return [path for path in sources() if ">>> " in path.read_text(encoding="utf-8")]


def name_of(path: Path) -> str:
    """``energies.potts`` of its file."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def public_without_example(tree: ast.Module) -> Iterator[str]:
    """Names of the public functions and classes of a source that no example shows.

    A class may have its example in the docstring of a method, and any name in an example of the module's docstring.
    """
    examples = doctest.DocTestParser().get_examples(ast.get_docstring(tree) or "")
    shown = set(re.findall(r"\w+", "\n".join(example.source for example in examples)))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            documented = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
            if node.name not in shown and not any(">>> " in (ast.get_docstring(n) or "") for n in documented):
                yield node.name


def faults(trees: Mapping[str, ast.Module], exceptions: Mapping[str, str]) -> list[str]:
    """Names without an example that are no exceptions, and exceptions that are none any more or give no reason."""
    without = {f"{module}.{name}" for module, tree in trees.items() for name in public_without_example(tree)}
    found = [f"{name} has no >>> example" for name in sorted(without - set(exceptions))]
    found += [f"{name} is an exception that is none any more" for name in sorted(set(exceptions) - without)]
    return found + [f"{name} is an exception without a reason" for name, reason in exceptions.items() if not reason]


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("path", with_examples(), ids=name_of)
def test_the_examples_of_a_module_give_what_they_say(path: Path) -> None:
    module = importlib.import_module(f"ebm_course.{name_of(path)}")
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    found = doctest.DocTestFinder(exclude_empty=True).find(module)
    for docstring in found:
        runner.run(docstring, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
    n_written = path.read_text(encoding="utf-8").count(">>> ")
    assert sum(len(docstring.examples) for docstring in found) == n_written, "one stands where none is looked for"


def test_examples_are_looked_for_in_the_whole_package() -> None:
    names = {name_of(path) for path in with_examples()}
    assert {"batch", "origin", "runtime", "recipes.shared", "training.batches", "tasks.arithmetic"} <= names
    assert {path.relative_to(PACKAGE).parts[0] for path in sources()} >= {"commands", "experiments", "widgets.py"}


def test_every_public_name_has_an_example() -> None:
    trees = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sources()}
    found = faults(trees, WITHOUT)
    assert not found, "\n".join([f"{len(found)} faults", *found])


def test_a_missing_example_is_seen() -> None:
    source = '''
"""What the module shows: Named in words is not shown.

>>> Shown(1)
1
"""
class Shown: "A class."
def Show(): "A part of a word that is shown."
class Named: "A class."
def with_one():
    """The act.

    >>> 1
    1
    """
def without(): "The act."
def bare(): pass
def _helper(): "The act."
class Without:
    def _f(self): "No > sign."
class InMethod:
    def f(self):
        """
        >>> 1
        1
        """
'''
    tree = ast.parse(source)
    assert list(public_without_example(tree)) == ["Show", "Named", "without", "bare", "Without"]
    others = {f"a.{name}": "a reason" for name in ("Show", "Named", "bare", "Without")}
    assert faults({"a": tree}, others) == ["a.without has no >>> example"]


def test_an_exception_that_is_stale_or_has_no_reason_is_seen() -> None:
    trees = {"a": ast.parse('def f(): "The act."\ndef g():\n    """\n    >>> 1\n    1\n    """')}
    assert faults(trees, {"a.f": "a reason"}) == []
    assert faults(trees, {"a.f": ""}) == ["a.f is an exception without a reason"]
    stale = {"a.f": "a reason", "a.g": "has one by now", "a.gone": "is not there any more"}
    assert faults(trees, stale) == [f"{name} is an exception that is none any more" for name in ("a.g", "a.gone")]


def test_a_wrong_example_is_seen() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda _: None).failed == 1
