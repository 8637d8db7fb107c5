"""Try the wheel as somebody who has nothing else: ``make wheel-check``.

A new environment gets the newest wheel of ``dist`` with what JupyterLab needs, in the versions of ``constraints.txt``.
Then, in an empty folder: ``doctor``, ``results``, a reproduction of preset ``smoke``, and a chapter from its first cell
to its last. Nothing of the clone is on the path.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPRODUCTION = "carry"  # the one of all that is over first, in seconds
CHAPTER = "05_the_discrete_attack"  # reads weights and a record of the package


def commands(python: Path, wheel: Path, constraints: Path, chapter: str) -> dict[str, list[str]]:
    """What a new user types, with a name for each; the chapter's notebook lies in the working folder."""
    course = [str(python), "-m", "ebm_course"]
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    execute = [str(python), "-m", "nbconvert", "--to", "notebook", "--execute", "--ExecutePreprocessor.timeout=-1"]
    return {
        "install": [*pip, "--constraint", str(constraints), f"{wheel}[lab]"],
        "doctor": [*course, "doctor"],
        "results": [*course, "results"],
        "reproduce": [*course, "reproduce", REPRODUCTION, "--preset", "smoke", "--quiet"],
        chapter: [*execute, "--output", "executed.ipynb", f"{chapter}.ipynb"],
    }


def clean_environment() -> dict[str, str]:
    """The variables of this process without those that lead Python to a clone or to another environment."""
    return {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }


def run(name: str, command: list[str], folder: Path, environment: dict[str, str]) -> bool:
    """Run one command in ``folder``, say how long it took, and show the end of what it said where it failed."""
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    print(f"{'passed' if done.returncode == 0 else 'FAILED'} {time.monotonic() - start:4.0f} s  {name}", flush=True)
    if done.returncode:
        print("\n".join((done.stdout + done.stderr).splitlines()[-20:]))
    return done.returncode == 0


def check(wheel: Path, chapter: str, scratch: Path) -> bool:
    """Whether a new environment with ``wheel`` does what a new user asks of it; stops at the first that it does not."""
    venv.create(scratch / "env", with_pip=True)
    python = scratch / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    empty = scratch / "empty"
    empty.mkdir()
    shutil.copy(ROOT / "book" / f"{chapter}.ipynb", empty)
    asked = commands(python, wheel.resolve(), ROOT / "constraints.txt", chapter)
    return all(run(name, command, empty, clean_environment()) for name, command in asked.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chapter", default=CHAPTER, metavar="NAME", help=f"by default {CHAPTER}")
    chapter: str = parser.parse_args().chapter
    wheels = sorted((ROOT / "dist").glob("ebm_course-*-any.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        print("there is no wheel in dist/: run make wheel first")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        return 0 if check(wheels[-1], chapter, Path(scratch)) else 1


if __name__ == "__main__":
    sys.exit(main())
