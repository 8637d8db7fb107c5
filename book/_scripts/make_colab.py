"""Make the folder that a class works from in Colab: ``make colab``, then share ``dist/colab``.

ebm_course-VERSION-py3-none-any.whl   the package, which the set-up cell of every notebook finds or asks for
NN_NAME.ipynb                         the chapters of the table of contents, as stored
assignments/NAME/                     what students get of each assignment, with its tests, where these were made
READ-ME-FIRST.txt                     what the teacher and the students do
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import nbformat
import yaml

BOOK = Path(__file__).parents[1]
DIST = BOOK.parent / "dist"
README = """\
The course "Energies and their negatives" for Google Colab.

Teacher: put this whole folder on a drive and share it with the class, to view. In a shared folder nobody needs more
than the one file {wheel} and the notebooks; no account, no address and no installation.

Student: open a notebook in Colab, save a copy in your own drive, run the first cell, and choose {wheel} when it asks.

Where the drive is mounted first (folder icon on the left, then the drive), and this folder lies in it or as a shortcut
in it, not deeper than two folders, the first cell finds the file by itself and asks nothing.
Colab forgets what it installed when a session ends; run the first cell again.
"""


def chapters(toc: Path) -> list[str]:
    """Names of the notebooks of the table of contents, in its order."""
    parts = yaml.safe_load(toc.read_text(encoding="utf-8"))["parts"]
    names = [chapter["file"] for part in parts for chapter in part["chapters"]]
    return [name for name in names if (toc.parent / f"{name}.ipynb").exists()]


def make(out: Path, wheel: Path, book: Path = BOOK) -> list[str]:
    """Write the folder ``out`` anew; names of what is in it.

    Raises:
        ValueError: there is a folder ``out`` that this script has not made.
    """
    if out.exists() and any(out.iterdir()) and not (out / "READ-ME-FIRST.txt").exists():
        raise ValueError(f"{out} holds other files: name a new folder, or empty that one.")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copy(wheel, out)
    for name in chapters(book / "_toc.yml"):
        nb = nbformat.read(book / f"{name}.ipynb", as_version=4)
        # Colab names its copies by this, and shows no stored widget: their pictures stay.
        nb.metadata["colab"] = {"name": f"{name}.ipynb", "provenance": []}
        nb.metadata.pop("widgets", None)
        nbformat.write(nb, out / f"{name}.ipynb")
    for assignment in sorted((book / "assignments" / "student").glob("*/*.ipynb")):
        shutil.copytree(assignment.parent, out / "assignments" / assignment.parent.name)
    (out / "READ-ME-FIRST.txt").write_text(README.format(wheel=wheel.name), encoding="utf-8")
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DIST / "colab", help="the folder, by default dist/colab")
    out: Path = parser.parse_args().out
    wheels = sorted(DIST.glob("ebm_course-*-any.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        print(f"there is no wheel in {DIST.name}/: run make wheel first")
        return 1
    try:
        made = make(out, wheels[-1])
    except ValueError as error:
        print(error)
        return 1
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 2**20
    print(f"{len(made)} files, {size:.0f} MB, in {out}: share this folder with the class, see READ-ME-FIRST.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
