"""The pages of the reference, as an extension of Sphinx: every public name of the package, from its docstring.

A page ``api_*.md`` asks for the modules of a folder by the comment ``% modules samplers``; the names and their words
come from the package when the book is built, so they are never older than it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PACKAGE = Path(__file__).parents[2] / "ebm_course"
ASKED = re.compile(r"^% modules (.+)$", flags=re.MULTILINE)
ENTRY = """\
## {title}

```{{eval-rst}}
.. automodule:: {module}
   :members:
   :member-order: bysource
   :no-value:
```
"""
MARKUP = re.compile(r"(?<!\\)(\*(?!\s)|(?<=\S)\*|\||_(?=\W|$))")
"""What would begin or end something: a star that is no bullet, a bar, an underscore at a word's end."""
LETTER = re.compile(r"((?:^|: )\s*)([A-Za-z])\.$")
"""A letter that is all there is to say of a name, and would begin a list: A, B, C."""
TAG = re.compile(r"\\tag\{(.+?)\}")
WORDS = r"(?<![\w*])\*[A-Za-z][a-z -]*[a-z]\*(?![\w*])"  # *in italics*
LITERAL = re.compile(rf"({WORDS}|``.*?``|(?<!\S)\*\*[^*\s][^*\n]*\*\*(?!\w)|:\w+:`.*?`|`[^`\n]+`)")


def modules(name: str) -> list[str]:
    """Names of the modules in a folder of the package, or the one module of this name.

    Raises:
        LookupError: the package has neither.
    """
    path = PACKAGE / name.replace(".", "/")
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    if not path.is_dir() and not files[0].exists():
        raise LookupError(f"a page asks for the modules of {name!r}, and the package has no such module or folder.")
    names = [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files]
    return [module for module in names if not module.endswith("__init__")]


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the modules that a page asks for into its source."""
    if name.startswith("api"):
        source[0] = ASKED.sub(lambda found: entries(found[1].split()), source[0])


def entries(names: list[str]) -> str:
    """The Markdown of all modules of these folders and names."""
    found = [module for name in names for module in modules(name)]
    return "\n".join(ENTRY.format(title=module.removeprefix("ebm_course."), module=module) for module in found)


def escape(app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Keep stars, bars and trailing underscores of formulas as they are: a docstring is text, not markup.

    Display formulas are left alone, but for the numbers of equations, which MathJax takes on the outside only; so are
    examples with what they print, up to a blank line. A constant's words get an empty comment before them: what stands
    before a colon in the first line would be taken for its type.
    """
    margin = None  # of the formula around this line
    example = False
    for k, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        indent = len(line) - len(line.lstrip())
        if line.lstrip().startswith(".. math::"):
            margin = indent
        elif margin is not None and line.strip() and indent <= margin:
            margin = None
        if margin is not None:
            lines[k] = TAG.sub(r"\\quad (\1)", line)
        elif not example:
            parts = LITERAL.split(line)
            parts[::2] = [MARKUP.sub(r"\\\1", part) for part in parts[::2]]
            parts[2::2] = [re.sub(r"^(?=[\w^=<>+])", r"\\ ", part) for part in parts[2::2]]  # ends what is before it
            lines[k] = LETTER.sub(r"\1\\\2.", "".join(parts))
    if what in ("data", "attribute"):
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill pages when they are read; escape before the sections of docstrings are made into fields."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", escape, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
