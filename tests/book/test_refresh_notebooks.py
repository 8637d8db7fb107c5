"""The script that runs the notebooks: what it writes, what it refuses, and that a second run writes the same."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode, v4
from PIL import Image

WIDGETS = "application/vnd.jupyter.widget-state+json"


@pytest.fixture
def refresh(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("refresh_notebooks")


def shown(**data: str) -> NotebookNode:
    return v4.new_output("display_data", data={f"text/{kind}": value for kind, value in data.items()})


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return v4.new_output("stream", name=name, text=text)


ERROR = v4.new_output("error", ename="ValueError", evalue="no", traceback=["Traceback"])
FAULTS = {
    "an error": ERROR,
    "stderr": stream("loading", "stderr"),
    "a warning in a stream": stream("UserWarning: step too long"),
    "a warning in plain text": shown(plain="DeprecationWarning"),
    "a warning in HTML": shown(html="<p>FutureWarning</p>"),
    "a path": stream("saved to /home/someone/run.json"),
    "a path in HTML": shown(html="<p>see /opt/course/data</p>"),
    "a path of Windows": stream(r"saved to C:\Users"),
    "a traceback": stream("Traceback (most recent call last)"),
}
CLEAN = {
    "a fraction": stream("3/4 of chains, 10/s, and/or, E(x)/Z"),
    "closing tags and embedded data": shown(html="<b>x</b><br/><img src='data:image/png;base64,AA/home/x/yy+/a/b/c'>"),
    "a link": shown(html="<a href='https://arxiv.org/abs/2004.11714'>paper</a> https://arxiv.org/abs/1"),
    "a script": shown(html="<script>var Warning = '/a/b/c';</script>"),
}


def notebook(output: NotebookNode, *tags: str) -> NotebookNode:
    cell = v4.new_code_cell("x", execution_count=1, outputs=[output], metadata={"tags": list(tags)})
    return v4.new_notebook(cells=[cell])


@pytest.mark.parametrize("output", FAULTS.values(), ids=FAULTS.keys())
def test_what_no_reader_should_see_is_refused(refresh: ModuleType, output: NotebookNode):
    assert list(refresh.faults(notebook(output)))


@pytest.mark.parametrize("output", CLEAN.values(), ids=CLEAN.keys())
def test_what_only_looks_like_it_is_not_refused(refresh: ModuleType, output: NotebookNode):
    assert list(refresh.faults(notebook(output))) == []


def test_an_error_may_be_wanted(refresh: ModuleType):
    assert list(refresh.faults(notebook(ERROR, "raises-exception"))) == []


@pytest.mark.parametrize("counts", [(None,), (2,), (1, 1), (2, 1)])
def test_cells_run_out_of_order_or_not_at_all_are_refused(refresh: ModuleType, counts: tuple[int | None, ...]):
    cells = [v4.new_code_cell("x", execution_count=count) for count in counts]
    assert list(refresh.faults(v4.new_notebook(cells=cells)))


def test_metadata_of_editors_go_and_ids_stay(refresh: ModuleType):
    cells = [v4.new_code_cell("x", id="one", metadata={"tags": ["bare"], "execution": {"iopub": "12:00"}})]
    cells += [v4.new_markdown_cell("y", id="one")]
    nb = v4.new_notebook(metadata={"colab": {}, "language_info": {"version": "3.11.7", "name": "python"}})
    nb.cells = cells
    refresh.normalise("05_x", nb)
    assert nb.cells[0].metadata == {"tags": ["bare"]}
    assert [cell.id for cell in nb.cells] == ["one", "05-001"]
    assert set(nb.metadata) == {"kernelspec", "language_info"}
    assert nb.metadata.language_info == {"name": "python"}


def test_random_ids_are_numbered_in_order(refresh: ModuleType):
    one, two = "ab" * 16, "cd" * 16
    nb = v4.new_notebook(
        cells=[v4.new_code_cell("x", outputs=[shown(html=f"<div id='{two}'></div>", plain=f"widget {one}")])],
        metadata={"widgets": {WIDGETS: {"state": {one: {"model_name": f"IPY_MODEL_{one}"}}}}},
    )
    text = nbformat.writes(refresh.stable_ids(nb))
    assert one not in text
    assert two not in text
    assert text.count("0" * 32) == 3
    assert text.count("0" * 31 + "1") == 1


def test_figures_keep_their_pixels_in_fewer_bytes(refresh: ModuleType):
    pixels, loose = Image.linear_gradient("L"), io.BytesIO()
    pixels.save(loose, "PNG", compress_level=0)
    given = base64.b64encode(loose.getvalue()).decode()
    nb = notebook(v4.new_output("display_data", data={"image/png": given}))
    refresh.pack_images(nb)
    packed = base64.b64decode(once := nb.cells[0].outputs[0].data["image/png"])
    assert len(packed) < len(loose.getvalue())
    assert Image.open(io.BytesIO(packed)).tobytes() == pixels.tobytes()
    refresh.pack_images(nb)
    assert nb.cells[0].outputs[0].data["image/png"] == once


def test_a_notebook_without_a_set_up_cell_is_refused(refresh: ModuleType):
    with pytest.raises(ValueError, match="expected one cell with the tag 'setup', got 0"):
        refresh.write_generated_cells("05_x", v4.new_notebook())


def test_a_second_run_writes_the_same_and_a_check_finds_nothing(
    refresh: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(refresh, "BOOK", tmp_path)
    monkeypatch.setattr(refresh, "setup_source", lambda: "seed = 0  # without torch, which takes long to import")
    cells = [
        v4.new_markdown_cell("# A chapter"),
        v4.new_code_cell("", metadata={"tags": ["setup"]}),
        v4.new_code_cell("import ipywidgets\n\nipywidgets.IntSlider(description=str(seed))"),
    ]
    path = tmp_path / "05_x.ipynb"
    nbformat.write(v4.new_notebook(cells=cells), path)
    assert refresh.refresh(path, run=True) == []
    first = path.read_text()
    assert refresh.refresh(path, run=True) == []
    assert path.read_text() == first
    assert refresh.refresh(path, run=False) == []
    stored: Any = nbformat.read(path, as_version=4)
    assert [cell.metadata.get("tags") for cell in stored.cells] == [None, ["badges"], ["setup", "hide-input"], None]
    assert len(stored.metadata.widgets[WIDGETS]["state"]) == 3
    path.write_text(first.replace("seed = 0", "seed = 1"))
    assert refresh.refresh(path, run=False) == ["it differs from what `make notebooks` writes"]


def test_reading_takes_a_minute_for_200_words_or_20_lines_of_code_that_the_page_shows(refresh: ModuleType):
    code, text = v4.new_code_cell, v4.new_markdown_cell
    shown = [text("word " * 400), code("x = 1\n" * 20 + "\n" * 20)]
    silent = [
        text("<details>\n\n" + "word " * 900 + "\n\n</details>"),
        code("x = 1\n" * 90, metadata={"tags": ["hide-input"]}),
        text("## Exercises\n\n" + "word " * 900),
        code("x = 1\n" * 90),
    ]
    assert refresh.reading_minutes(v4.new_notebook(cells=shown)) == 3
    assert refresh.reading_minutes(v4.new_notebook(cells=shown + silent)) == 3
