"""What `make` does before anything is installed: which environment it makes, keeps and makes anew. No pip runs here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """\
#!/bin/sh
# Stands for a Python: notes what it was asked, and `-m venv` makes an environment whose python is this very script.
echo "$(basename "$0") $*" >> "{log}"
if [ "$2" = venv ]; then
    for folder; do :; done
    [ "$3" = --clear ] && rm -rf "$folder"
    mkdir -p "$folder/bin" && touch "$folder/pyvenv.cfg"
    cp "$0" "$folder/bin/python" && cp "$0" "$folder/bin/pip"
fi
"""
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")


@dataclass
class Clone:
    """A folder with what `make install` reads, and a Python that only notes what it was asked."""

    folder: Path
    python: Path
    log: Path

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    def make(self, *arguments: str) -> list[str]:
        """Run `make`; the environments and installations it asked for, without the options that all have."""
        self.log.write_text("")
        kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "VENV")}
        command = ["make", f"PYTHON={self.python}", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=kept)
        assert done.returncode == 0, done.stdout + done.stderr
        asked = [line for line in self.log.read_text().splitlines() if " -m venv" in line or " install " in line]
        return [re.sub(r" --disable-pip-version-check| --constraint \S+| --quiet", "", line) for line in asked]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """In a path with a space and a letter that is not English."""
    made = Clone(tmp_path / "mein Kürs" / "a clone", tmp_path / "python3", tmp_path / "log")
    made.folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, made.folder)
    made.python.write_text(PYTHON.format(log=made.log))
    made.python.chmod(0o755)
    return made


NEW = "python3 -m venv .venv"
ANEW = "python3 -m venv --clear .venv"
INSTALL = "python -m pip install --editable .[book,test,dev,scale]"


def test_the_first_call_makes_the_environment_and_the_second_finds_it(clone: Clone):
    assert clone.make("install") == [NEW, INSTALL]
    assert clone.make("install") == []


def test_newer_requirements_are_installed_into_the_environment_that_is_there(clone: Clone):
    clone.make("install")
    later = time.time() + 10
    os.utime(clone.folder / "constraints.txt", (later, later))
    assert clone.make("install") == [INSTALL]


def test_an_environment_that_a_reader_made_is_kept(clone: Clone):
    subprocess.run([clone.python, "-m", "venv", clone.venv], check=True)
    assert clone.make("install") == [INSTALL]


def test_an_environment_without_pip_is_made_anew(clone: Clone):
    subprocess.run([clone.python, "-m", "venv", clone.venv], check=True)
    (clone.venv / "bin" / "pip").unlink()
    assert clone.make("install") == [ANEW, INSTALL]


def test_an_environment_whose_python_went_is_made_anew(clone: Clone):
    clone.make("install")
    for script in clone.venv.glob("bin/*"):
        script.write_text("#!/python/that/went\n")
    assert clone.make("install") == [ANEW, INSTALL]


def test_a_folder_that_moved_is_installed_from_where_it_is(clone: Clone):
    clone.make("install")
    clone.folder = clone.folder.rename(clone.folder.with_name("moved"))
    assert clone.make("install") == [INSTALL]
    assert clone.make("install") == []


@pytest.mark.parametrize("kind", ["a file with a path", "a link", "a link into nowhere", "an old copy", "nothing"])
def test_the_book_gets_its_own_copy_of_the_table_of_contents(clone: Clone, kind: str):
    (clone.folder / "book").mkdir()
    for name in ("_config.yml", "_toc.yml"):
        (clone.folder / name).write_text(f"# {name}")
        path = clone.folder / "book" / name
        if kind.startswith("a link"):
            path.symlink_to(f"../{'x' if 'nowhere' in kind else ''}{name}")
        elif kind != "nothing":
            path.write_text(f"../{name}" if "path" in kind else "old")
    clone.make("copies")
    for name in ("_config.yml", "_toc.yml"):
        assert (clone.folder / "book" / name).read_text() == (clone.folder / name).read_text() == f"# {name}"
        assert (clone.folder / "book" / name).is_symlink() == (kind == "a link")


def test_a_wheel_is_made_without_what_an_older_build_left(clone: Clone):
    gone = clone.folder / "build" / "lib" / "ebm_course" / "gone.py"
    for path in (gone, clone.folder / "dist" / "x.whl"):
        path.parent.mkdir(parents=True)
        path.write_text("")
    clone.make("wheel")
    assert not gone.exists()


@pytest.mark.parametrize("name", ["", "two words"])
def test_an_environment_has_a_name_without_spaces(clone: Clone, name: str):
    with pytest.raises(AssertionError, match="VENV names one folder without spaces"):
        clone.make("install", f"VENV={name}")


def test_an_address_that_is_not_given_is_asked_for_before_anything_is_installed(clone: Clone):
    with pytest.raises(AssertionError, match=r"make address URL=https://github\.com/owner/course"):
        clone.make("address")
    assert clone.log.read_text().count(" install ") == clone.log.read_text().count(" -m venv") == 0
    assert clone.make("address", "URL=") == [NEW, INSTALL]


@pytest.mark.parametrize(("allowed", "status"), [(True, 0), (False, 1)])
def test_a_folder_that_cannot_be_written_is_no_fault_of_the_tests(tmp_path: Path, allowed: bool, status: int):
    """Where pytest's cache cannot be, it warns, and with the tested set every warning but this one is a fault."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    options = re.findall(r"-W \S+", re.search(r"^test:.*\n\t(.*)", makefile, flags=re.MULTILINE)[1])
    assert options == ["-W error", "-W default::pytest.PytestCacheWarning"]
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")
    (tmp_path / ".pytest_cache").write_text("no folder")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    given = " ".join(options if allowed else options[:1]).split()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *given], cwd=tmp_path, capture_output=True, text=True, env=kept
    )
    assert done.returncode == status, done.stdout


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "book/instructors.md", "book/intro.md", "Makefile"])
def test_every_command_that_a_text_names_is_there(name: str):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|echo \")make ([a-z-]+)", (ROOT / name).read_text()))
    assert named
    assert named <= targets
    assert targets - {"help", "install", "copies"} <= set(re.findall(r"echo \"make ([a-z-]+)", makefile))
