"""The examples in the docstrings run as they are written, and no public part is without one."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ebm_course"
WANTED = ("energies", "samplers", "objectives", "metrics")
# Public parts that need no example, each with its reason.
WITHOUT: dict[str, str] = {"samplers.beam.Completions": "a face without code; energies.global_energy has one behind it"}


def sources(*parts: str) -> list[Path]:
    """Files of these parts; of the whole package where none is named, without the one that runs when imported."""
    found = [path for part in parts or ("",) for path in sorted((PACKAGE / part).rglob("*.py"))]
    return [path for path in found if path.name not in ("__init__.py", "__main__.py")]


def with_examples() -> list[Path]:
    return [path for path in sources() if ">>> " in path.read_text(encoding="utf-8")]


def name_of(path: Path) -> str:
    """``energies.potts`` of its file."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def public_without_example(tree: ast.Module) -> Iterator[str]:
    """Names of the public functions and classes of a source whose docstring has no example.

    A class may have its example in the docstring of a method.
    """
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            documented = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
            if not any(">>> " in (ast.get_docstring(n) or "") for n in documented):
                yield node.name


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


def test_every_public_part_has_an_example() -> None:
    without = {
        f"{name_of(path)}.{name}"
        for path in sources(*WANTED)
        for name in public_without_example(ast.parse(path.read_text(encoding="utf-8")))
    }
    missing = sorted(without - set(WITHOUT))
    assert not missing, "\n".join(["no >>> example in the docstring of", *missing])
    assert set(WITHOUT) <= without, "an exception that is none any more"


def test_a_missing_example_is_seen() -> None:
    source = '''
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
    assert list(public_without_example(ast.parse(source))) == ["without", "bare", "Without"]


def test_a_wrong_example_is_seen() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda _: None).failed == 1
