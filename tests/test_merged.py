"""Files of the project hold no marks of a merge that nobody finished, in notebooks neither."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KINDS = {".cff", ".css", ".ipynb", ".json", ".md", ".py", ".toml", ".txt", ".yml"}
MARK = re.compile(r'^\s*"?(<{7}|>{7}) ', flags=re.MULTILINE)
FOLDERS = ("book", "ebm_course", "tests")


def marked(text: str) -> bool:
    """Whether a line of the text, or of a notebook's source, begins with such a mark."""
    return bool(MARK.search(text))


@pytest.mark.parametrize("mark", ["<" * 7 + " ours", ">" * 7 + " theirs", '    "' + "<" * 7 + ' ours\\n",'])
def test_a_mark_is_seen(mark: str):
    assert marked(f"a\n{mark}\nb") and not marked(">>> x = 1\n<< y")


def test_no_file_holds_a_mark():
    files = [path for path in ROOT.iterdir() if path.suffix in KINDS]
    files += [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.suffix in KINDS]
    kept = [path for path in files if path.is_file() and "_build" not in path.parts]
    assert len(kept) > 500
    assert not [path.name for path in kept if marked(path.read_text(encoding="utf-8"))]
