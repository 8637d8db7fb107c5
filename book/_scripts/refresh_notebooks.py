"""Run the chapters and store what they print: ``make notebooks``, or one with ``--only 05``.

The set-up cell, the badges and the reading time are written from here into every notebook: one place to change them.
``--cells`` writes these alone, ``--check`` writes nothing, and neither runs anything: both fail where a notebook holds
an output it should not hold, and ``--check`` where it differs from that place.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image
from setup_cell import badges_source, setup_source

BOOK = Path(__file__).parents[1]
WIDGETS = "application/vnd.jupyter.widget-state+json"
TIMEOUT = 600  # seconds a cell
WORDS_A_MINUTE, LINES_A_MINUTE = 200, 20
QUIET = {
    "EBM_COURSE_DEVICE": "cpu",
    "TQDM_DISABLE": "1",
    "PYTHONSTARTUP": str(Path(__file__).with_name("quiet_kernel.py")),
}
"""What kernels inherit, here and in ``pytest --nbval``, so that they print what another machine prints."""
PEAK_MEMORY = "import resource\n\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"  # kB on Linux
FORBIDDEN = {
    "a warning": r"\b\w*Warning\b",
    "a traceback": r"Traceback \(most recent call last\)",
    "a path of this machine": r"(?<![\w.:/<~])/(?:[\w.-]+/)+[\w.-]*|\b[A-Z]:\\\w+",
}


def reading_minutes(nb: NotebookNode) -> int:
    """Minutes to read a chapter: its text and the code that its page shows, without what is folded and exercises."""
    words, lines, exercises = 0, 0, False
    for cell in nb.cells:
        tags = cell.metadata.get("tags", [])
        exercises |= cell.cell_type == "markdown" and bool(re.search(r"^## Exercises", cell.source, flags=re.MULTILINE))
        if exercises or {"badges", "hide-input", "exercise"} & set(tags):
            continue
        if cell.cell_type == "markdown":
            words += len(re.sub(r"<details>.*?</details>", "", cell.source, flags=re.DOTALL).split())
        else:
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
    return round(words / WORDS_A_MINUTE + lines / LINES_A_MINUTE)


def reading_source(nb: NotebookNode) -> str:
    """The sentence that says how long a chapter takes to read."""
    rates = f"{WORDS_A_MINUTE} words and {LINES_A_MINUTE} lines of code a minute"
    return f"*To read:* {reading_minutes(nb)} minutes ({rates}), without the exercises."


def write_generated_cells(name: str, nb: NotebookNode) -> None:
    """Rewrite the set-up cell and the badges of ``nb`` in place; badges are put after the title where missing."""
    setups = [cell for cell in nb.cells if "setup" in cell.metadata.get("tags", [])]
    if len(setups) != 1:
        raise ValueError(f"{name}: expected one cell with the tag 'setup', got {len(setups)}: tag the set-up cell.")
    setups[0].source = setup_source()
    setups[0].metadata["tags"] = ["setup", "hide-input"]
    badges = [cell for cell in nb.cells if "badges" in cell.metadata.get("tags", [])]
    if not badges:
        badges = [nbformat.v4.new_markdown_cell(id="badges", metadata={"tags": ["badges"]})]
        nb.cells.insert(1, badges[0])
    badges[0].source = f"{badges_source(name)}\n\n{reading_source(nb)}"


def normalise(name: str, nb: NotebookNode) -> None:
    """Leave in ``nb`` only metadata that mean something to a reader, and an id on every cell."""
    widgets = nb.metadata.get("widgets")
    nb.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    if widgets:
        nb.metadata["widgets"] = widgets
    nb.nbformat, nb.nbformat_minor = 4, 5
    seen: set[str] = set()
    for k, cell in enumerate(nb.cells):
        cell.metadata = nbformat.from_dict({key: v for key, v in cell.metadata.items() if key in ("tags", "mystnb")})
        if cell.get("id") is None or cell["id"] in seen:
            cell["id"] = f"{name[:2]}-{k:03d}"
        seen.add(cell["id"])


def stable_ids(nb: NotebookNode) -> NotebookNode:
    """The notebook with random ids of widgets and animations numbered in order: a second run stores the same."""
    ids = list(nb.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {}))
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            ids += re.findall(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", output.get("data", {}).get("text/html", ""))
    text = json.dumps(nb)
    for k, old in enumerate(dict.fromkeys(ids)):
        text = text.replace(old, f"{k:032x}")
    return nbformat.from_dict(json.loads(text))


def pack_images(nb: NotebookNode) -> None:
    """Store every PNG in as few bytes as its format allows, the same pixels: about 4 % fewer than matplotlib writes."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            stored = "".join(output.get("data", {}).get("image/png", ""))
            if not stored:
                continue
            raw, packed = base64.b64decode(stored), io.BytesIO()
            Image.open(io.BytesIO(raw)).save(packed, "PNG", optimize=True)
            if len(packed.getvalue()) < len(raw):
                output.data["image/png"] = base64.b64encode(packed.getvalue()).decode()


class ThisPython(AsyncKernelManager):
    """Starts kernels with the Python that runs this script, whatever kernels a machine has."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def execute(nb: NotebookNode) -> float:
    """Run every cell from the folder of the book, store outputs and widget state in ``nb``; peak memory in MB."""
    nb.metadata.pop("widgets", None)
    nb.cells.append(nbformat.v4.new_code_cell(PEAK_MEMORY))
    NotebookClient(
        nb,
        timeout=TIMEOUT,
        kernel_manager_class=ThisPython,
        record_timing=False,
        resources={"metadata": {"path": str(BOOK)}},
    ).execute(env={**os.environ, **QUIET})
    return float(nb.cells.pop().outputs[0].text)


def texts(output: NotebookNode) -> Iterator[str]:
    """What a reader can read in an output: streams, plain text, and HTML without its tags and embedded data."""
    if output.output_type == "stream":
        yield output.text
    for kind, value in output.get("data", {}).items():
        if kind == "text/plain":
            yield value
        elif kind == "text/html":
            value = re.sub(r"<(script|style)\b.*?</\1>", " ", value, flags=re.DOTALL)
            yield re.sub(r"<[^>]*>", " ", value)


def faults(nb: NotebookNode) -> Iterator[str]:
    """What no stored output may hold: errors that nobody wanted, warnings, paths; and cells that were not run."""
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "its code cells were not all run, once and in order: run `make notebooks`"
    for k, cell in enumerate(code):
        for output in cell.outputs:
            wanted = "raises-exception" in cell.metadata.get("tags", [])
            if output.output_type == "error" and not wanted:
                yield f"code cell {k} stores the error {output.ename}: {output.evalue}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"code cell {k} writes to stderr: {output.text[:100]!r}"
            for text in texts(output):
                for name, pattern in FORBIDDEN.items():
                    if found := re.search(pattern, text):
                        yield f"code cell {k} stores {name}: {found.group()!r}"


def refresh(path: Path, *, run: bool, cells: bool = False) -> list[str]:
    """Rewrite one notebook after a run, or its generated cells alone, or compare these; returns its faults."""
    stored = path.read_text(encoding="utf-8")
    nb = nbformat.reads(stored, as_version=4)
    write_generated_cells(path.stem, nb)
    start = time.perf_counter()
    memory = execute(nb) if run else 0.0
    normalise(path.stem, nb)
    if run or cells:
        pack_images(nb)
    text = nbformat.writes(stable_ids(nb)) + "\n"
    if not run and not cells:
        return [*faults(nb), *(["it differs from what `make notebooks` writes"] if text != stored else [])]
    path.write_text(text, encoding="utf-8")
    seconds, size = time.perf_counter() - start, len(text) / 2**20
    ran = f"ran {seconds:.0f} s in {memory:.0f} MB of memory, " if run else ""
    print(f"{path.name}: {ran}stores {size:.2f} MB", flush=True)
    return list(faults(nb))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="notebooks whose name contains NAME")
    parser.add_argument("--check", action="store_true", help="run nothing, write nothing, fail on a difference")
    parser.add_argument("--cells", action="store_true", help="run nothing, write the generated cells, keep all outputs")
    options = parser.parse_args()
    found = sorted(BOOK.glob("[0-9][0-9]_*.ipynb")) + sorted(BOOK.glob("appendix_*.ipynb"))
    paths = [path for path in found if options.only in path.stem]
    if not paths:
        print(f"no notebook in {BOOK.name}/ has {options.only!r} in its name")
        return 1
    what = {"run": not (options.check or options.cells), "cells": options.cells}
    wrong = [f"{path.name}: {fault}" for path in paths for fault in refresh(path, **what)]
    print("\n".join(wrong))
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main())
