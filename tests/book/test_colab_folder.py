"""The folder for a class in Colab: it is whole, its notebooks stand alone, and no file of a teacher is overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[2]
WHEEL = "ebm_course-9.9.9-py3-none-any.whl"


@pytest.fixture
def colab(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("make_colab")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / WHEEL
    path.write_bytes(b"wheel")
    return path


def test_it_holds_the_wheel_every_chapter_and_a_word_to_students(colab: ModuleType, wheel: Path, tmp_path: Path):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    files = [name for name in listed if (ROOT / "book" / f"{name}.ipynb").is_file()]
    made = colab.make(tmp_path / "out", wheel)
    assert {WHEEL, "READ-ME-FIRST.txt", *(f"{name}.ipynb" for name in files)} <= set(made)
    assert [name for name in made if "/" not in name and name.endswith(".ipynb")] == sorted(f"{n}.ipynb" for n in files)
    assert f"run the first cell, and choose {WHEEL}" in (tmp_path / "out" / "READ-ME-FIRST.txt").read_text()


def test_a_chapter_keeps_its_cells_and_outputs(colab: ModuleType, wheel: Path, tmp_path: Path):
    colab.make(tmp_path / "out", wheel)
    for path in (tmp_path / "out").glob("*.ipynb"):
        given: Any = nbformat.read(path, as_version=4)
        nbformat.validate(given)
        stored: Any = nbformat.read(ROOT / "book" / path.name, as_version=4)
        assert given.cells == stored.cells
        assert given.metadata.colab.name == path.name


def test_assignments_come_with_their_tests_and_without_the_hidden_ones(colab: ModuleType, wheel: Path, tmp_path: Path):
    book = tmp_path / "book"
    for version in ("student", "autograder"):
        folder = book / "assignments" / version / "1_x" / "tests"
        folder.mkdir(parents=True)
        (folder / "q1.py").write_text(f"# {version}")
        nbformat.write(nbformat.v4.new_notebook(), folder.parent / "1_x.ipynb")
    (book / "_toc.yml").write_text("parts: []")
    colab.make(tmp_path / "out", wheel, book)
    made = tmp_path / "out" / "assignments" / "1_x"
    assert (made / "1_x.ipynb").exists()
    assert (made / "tests" / "q1.py").read_text() == "# student"


def test_a_second_run_replaces_the_first_and_a_folder_of_others_is_left_alone(
    colab: ModuleType, wheel: Path, tmp_path: Path
):
    first = colab.make(tmp_path / "out", wheel)
    (tmp_path / "out" / "ebm_course-0.0.1-py3-none-any.whl").write_bytes(b"old")
    assert colab.make(tmp_path / "out", wheel) == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "grades.csv").write_text("1")
    with pytest.raises(ValueError, match="holds other files: name a new folder"):
        colab.make(tmp_path / "mine", wheel)
    assert (tmp_path / "mine" / "grades.csv").exists()


def test_without_a_wheel_it_says_which_command_makes_one(
    colab: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(colab, "DIST", tmp_path)
    monkeypatch.setattr("sys.argv", ["make_colab.py", "--out", str(tmp_path / "out")])
    assert colab.main() == 1
    assert "run make wheel first" in capsys.readouterr().out
    shutil.copy(ROOT / "LICENSE", tmp_path / WHEEL)
    assert colab.main() == 0
    assert (tmp_path / "out" / WHEEL).exists()
