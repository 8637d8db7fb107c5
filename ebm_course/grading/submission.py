"""A submitted notebook as what is needed of it: its code, cell by cell, and its text.

It reads what notebooks turn into on their way: without metadata, without identifiers, saved by another program or in an
older format. It asks for nothing but cells.

>>> import tempfile
>>> cells = [{"cell_type": "markdown", "source": ["# Energies"]}, {"cell_type": "code", "source": "x = 1"}]
>>> with tempfile.TemporaryDirectory() as folder:
...     _ = (path := Path(folder) / "ada.ipynb").write_text(json.dumps({"cells": cells}))
...     one, before = read_submission(path), fingerprint(path)
...     _ = path.write_text(json.dumps({"cells": []}))
...     before == fingerprint(path)
False
>>> one, one.title
(Submission(code=('x = 1',), text=('# Energies',)), 'Energies')
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROMPT = "_Type your answer here, replacing this text._"
COMMENT = re.compile(r"<!--.*?-->", flags=re.DOTALL)


@dataclass(frozen=True)
class Submission:
    """Code cells in order, and all Markdown cells in order."""

    code: tuple[str, ...]
    text: tuple[str, ...]

    def written(self, heading: str) -> str:
        """What was written below the first cell with ``heading`` in its heading, up to the next question or part.

        >>> Submission((), ("### Question 1.2", "Because.", "### Question 1.3")).written("Question 1.2")
        'Because.'
        """
        found, inside = [], False
        for cell in self.text:
            if begins := re.search(r"^(##? |#+ .*\bQuestion \d)", cell, flags=re.MULTILINE):
                inside = bool(re.search(rf"^#+ .*{re.escape(heading)}(?!\d)", cell, flags=re.MULTILINE))
            if inside and not begins:
                found.append(COMMENT.sub("", cell).replace(PROMPT, "").strip())
        return "\n\n".join(part for part in found if part)

    @property
    def title(self) -> str:
        """Its first heading."""
        headings = (re.search(r"^# +(.+)$", cell, flags=re.MULTILINE) for cell in self.text)
        return next((heading.group(1).strip() for heading in headings if heading), "")


def read_submission(path: Path) -> Submission:
    """Read a notebook of any format that has cells.

    Raises:
        ValueError: it is no notebook.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"this file is no notebook: it is not JSON in UTF-8 ({error})") from error
    except RecursionError as error:
        raise ValueError("this file is no notebook: it is JSON nested too deep to be read") from error
    try:
        sheets = [notebook] if "cells" in notebook else notebook["worksheets"]
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        code = tuple(_source(cell) for cell in cells if cell["cell_type"] == "code")
        text = tuple(_source(cell) for cell in cells if cell["cell_type"] == "markdown")
    except (KeyError, TypeError) as error:
        raise ValueError("this file is no notebook: it is JSON, and holds no cells as a notebook does") from error
    return Submission(code, text)


def _source(cell: dict[str, Any]) -> str:
    source = cell["source"] if "source" in cell else cell["input"]  # version 3 of the format
    return source if isinstance(source, str) else "".join(source)


def fingerprint(*paths: Path) -> str:
    """The first 16 digits of a SHA-256 of files: the same where nothing has changed. What cannot be read is empty."""
    digest = hashlib.sha256()
    for path in paths:
        content = b""
        with suppress(OSError):
            content = path.read_bytes()
        digest.update(f"{len(content)} ".encode() + content)
    return digest.hexdigest()[:16]
