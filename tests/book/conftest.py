"""What tests of the book share: chapters as objects, the scripts of the book as modules, a sample chapter.

The code of cells that carry a tag can be run in a namespace and compared with the package::

    def test_the_bare_attack_equals_the_package(chapter):
        names = chapter("05_the_discrete_attack").run("bare", torch=torch)
        assert torch.equal(names["attack"](...), substitution(...).x)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode, v4

from ebm_course.results import ledger
from ebm_course.results.record import Record

BOOK = Path(__file__).parents[2] / "book"
NOTEBOOKS = sorted(BOOK.glob("[0-9][0-9]_*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGETS = "application/vnd.jupyter.widget-state+json"


@dataclass(frozen=True)
class Chapter:
    """One notebook: its name without suffix, its file and its content."""

    name: str
    path: Path
    notebook: NotebookNode

    @property
    def number(self) -> int:
        return int(self.name[:2])

    @property
    def code(self) -> list[NotebookNode]:
        """Code cells in order."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    @property
    def text(self) -> list[NotebookNode]:
        """Markdown cells in order."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "markdown"]

    @property
    def outputs(self) -> list[tuple[NotebookNode, NotebookNode]]:
        """Every stored output with its cell."""
        return [(cell, output) for cell in self.code for output in cell.outputs]

    def tagged(self, tag: str) -> list[NotebookNode]:
        """Cells of any type that carry ``tag``, in order."""
        return [cell for cell in self.notebook.cells if tag in cell.metadata.get("tags", [])]

    def run(self, tag: str, **names: Any) -> dict[str, Any]:
        """Run the code cells that carry ``tag`` in one namespace that starts with ``names``; return the namespace."""
        cells = [cell for cell in self.tagged(tag) if cell.cell_type == "code"]
        if not cells:
            raise LookupError(f"no code cell of {self.name} carries the tag {tag!r}: add it to the cell's metadata.")
        for k, cell in enumerate(cells):
            exec(compile(cell.source, f"{self.name}:{tag}[{k}]", "exec"), names)
        return names


def load(path: Path) -> Chapter:
    return Chapter(path.stem, path, nbformat.read(path, as_version=4))


@pytest.fixture(scope="session")
def chapter() -> Callable[[str], Chapter]:
    """Open a chapter by its file name without suffix."""
    return lambda name: load(BOOK / f"{name}.ipynb")


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def each_chapter(request: pytest.FixtureRequest) -> Chapter:
    """Every chapter in turn."""
    return load(request.param)


@pytest.fixture(scope="session")
def script() -> Iterator[Callable[[str], ModuleType]]:
    """Import a script of the book by its name; its folder is on the path as when the script is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BOOK / "_scripts")
        yield importlib.import_module


def sample_cells() -> list[NotebookNode]:
    """Cells of a small chapter that keeps every rule."""

    def code(source: str, count: int, *tags: str, alt: str = "", **data: Any) -> NotebookNode:
        kinds = {"png": "image/png", "html": "text/html", "widget": WIDGET}
        shown = v4.new_output("display_data", data={kinds[kind]: value for kind, value in data.items()})
        metadata = {"tags": list(tags), "mystnb": {"image": {"alt": alt}}}
        return v4.new_code_cell(source, execution_count=count, metadata=metadata, outputs=[shown] if data else [])

    text = v4.new_markdown_cell
    return [
        text("# 1 · A chapter\n\nA minute: 1 min and 300 MB on 2 CPU cores, 10 s on a GPU."),
        code("setup", 1, "setup", "hide-input"),
        text("## The idea\n\n$$\nE = x^2 \\tag{1.1}\n$$\n\nBy (1.1), see [this](https://example.org)."),
        code("def energy(x):\n    return x**2", 2, "bare"),
        code("plt.plot()", 3, alt="A parabola with its minimum at zero.", png="iVBORw0KGgo="),
        code("slider = interact()\nassert slider", 4, "nbval-ignore-output", widget={"model_id": "w"}),
        code("assert energy(2) == 4", 5, "nbval-ignore-output", html="<div class='animation'></div>"),
        text("## Break it\n\n## Takeaways\n\n## Exercises"),
        text("<details>\n<summary>Hint</summary>\n\nThink.\n\n</details>"),
        text("<details>\n<summary>Solution</summary>\n\n```python\n1\n```\n\n</details>\n\n## Further reading"),
        *(code(f"x = {k}", k) for k in range(6, 12)),
    ]


@pytest.fixture
def sample(tmp_path: Path) -> Callable[..., Chapter]:
    """Make the sample chapter; ``plant`` may put an error into its cells."""

    def make(plant: Callable[[list[NotebookNode]], None] = lambda cells: None) -> Chapter:
        cells = sample_cells()
        plant(cells)
        notebook = v4.new_notebook(cells=cells, metadata={"widgets": {WIDGETS: {"state": {"w": {}}}}})
        path = tmp_path / "01_a_chapter.ipynb"
        nbformat.write(notebook, path)
        return Chapter(path.stem, path, notebook)

    return make


@pytest.fixture(scope="session")
def planted() -> Callable[..., Record]:
    """A record with another value in every run of one entry: ``planted(record, name, value)``."""

    def changed(record: Record, name: str, value: float) -> Record:
        record.entry(name)  # it is there
        entries = (
            replace(e, value=value, values=(value,) * len(e.values)) if e.name == name else e for e in record.entries
        )
        return replace(record, entries=tuple(entries))

    return changed


@pytest.fixture
def plant(planted: Callable[..., Record], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``plant(name, value)``: whoever reads a record finds another value; with ``key`` in that record alone."""
    read = ledger.read

    def act(name: str, value: float, key: str | None = None) -> None:
        def changed(asked: str, **where: Any) -> Record:
            return planted(read(asked, **where), name, value) if key in (None, asked) else read(asked, **where)

        monkeypatch.setattr(ledger, "read", changed)

    return act
