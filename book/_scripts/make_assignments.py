"""Make what students and graders get of each assignment, from its master notebook: ``make assignments``.

    book/assignments/student/NAME/      NAME.ipynb without solutions, and tests/ without the hidden ones
    book/assignments/autograder/NAME/   NAME.ipynb with solutions, all tests, and what else `grade` needs

The cutting is otter-grader's (`otter assign`). Added here: the set-up cell that all notebooks of the course share, and
a cell that holds the public tests, so that a student's notebook works alone, wherever it is opened.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from otter.assign import main as cut
from setup_cell import setup_source

from ebm_course.grading.assignment import ABOUT
from ebm_course.grading.questions import question_of, spec_of
from ebm_course.grading.submission import read_submission

FOLDER = Path(__file__).parents[1] / "assignments"
GRADER = """\
# Public tests: run `grader.check("...")` below a question. Other tests, hidden ones, decide about the points.
from ebm_course.grading.checker import Checker

grader = Checker(
    {specs}
)"""


def masters(folder: Path = FOLDER) -> list[Path]:
    """The master notebooks, in order."""
    return sorted(folder.glob("[0-9]_*.ipynb"))


def make(master: Path, out: Path) -> None:
    """Write both versions of one assignment below ``out``, in place of older ones."""
    with tempfile.TemporaryDirectory() as scratch:
        notebook = nbformat.read(master, as_version=4)
        for cell in tagged(notebook, "setup"):
            cell.source = setup_source()
        copy = Path(scratch) / master.name
        nbformat.write(notebook, copy)
        with contextlib.redirect_stdout(io.StringIO()):
            cut(str(copy), str(Path(scratch) / "made"), no_run_tests=True, no_pdfs=True)
        for version in ("student", "autograder"):
            made = Path(scratch) / "made" / version
            finish(made / master.name, sorted((made.parent / "student" / "tests").glob("*.py")))
            target = out / version / master.stem
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            shutil.copy(made / master.name, target)
            shutil.copytree(made / "tests", target / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    title = read_submission(master).title
    about = {"title": title, "manual": by_hand(notebook)}
    (out / "autograder" / master.stem / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    """Cells that carry a tag."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def finish(path: Path, tests: list[Path]) -> None:
    """Put the public tests into a notebook, below its set-up cell, and give its cells names that stay the same."""
    notebook = nbformat.read(path, as_version=4)
    specs = ",\n    ".join(repr(public(spec_of(test))) for test in tests)
    place = notebook.cells.index(tagged(notebook, "setup")[0]) + 1
    hidden: dict[str, Any] = {"tags": ["hide-input"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    notebook.cells.insert(place, nbformat.v4.new_code_cell(GRADER.format(specs=f"[{specs}]"), metadata=hidden))
    notebook.metadata.pop("otter", None)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for k, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{k:03d}"
    nbformat.write(notebook, path)


def public(spec: dict[str, Any]) -> dict[str, Any]:
    """What is needed of a test file from which the hidden cases are gone."""
    question_of(spec)  # refuses what the course's questions do not have
    (suite,) = spec["suites"]
    kept: dict[str, Any] = {key: spec[key] for key in ("name", "points", "all_or_nothing")}
    return {**kept, "suites": [{"cases": [{"code": case["code"]} for case in suite["cases"]]}]}


def by_hand(notebook: NotebookNode) -> dict[str, str]:
    """Name -> heading of the questions that a person grades."""
    found, name = {}, ""
    for cell in notebook.cells:
        if begun := re.search(r"^# BEGIN QUESTION\nname: (\w+)", cell.source):
            name = begun.group(1) if re.search(r"^manual: true", cell.source, flags=re.MULTILINE) else ""
        elif name and (heading := re.search(r"Question \d+\.\d+", cell.source)):
            found[name], name = heading.group(), ""
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME", help="assignments whose name contains NAME")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="FOLDER", help="by default book/assignments")
    options = parser.parse_args()
    for master in (master for master in masters() if options.only in master.stem):
        make(master, options.out)
        print(f"{master.stem}: student and autograder versions are in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
