"""What the pages need beyond `_config.yml`, as an extension of Sphinx: a page asks no network for anything."""

from __future__ import annotations

import json

from sphinx.application import Sphinx


def without_widget_state(_: Sphinx, name: str, source: list[str]) -> None:
    """Take the state of widgets out of a notebook's source: a page shows their pictures and draws none."""
    if source[0].startswith("{"):
        notebook = json.loads(source[0])
        notebook["metadata"].pop("widgets", None)
        source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect all of the above."""
    app.connect("source-read", without_widget_state)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
