"""The set-up cell: what it does in Colab and elsewhere, and that the requirement it installs leaves torch alone."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[2]
ADDRESS = "https://example.org/owner/course"
WHEEL = "ebm_course-0.3.0-py3-none-any.whl"
COLAB = {
    "filelock": "3.18.0",
    "ipywidgets": "7.7.1",
    "matplotlib": "3.10.0",
    "numpy": "2.0.2",
    "pillow": "11.3.0",
    "pooch": "1.8.2",
    "pydantic": "2.11.7",
    "safetensors": "0.6.2",
    "scikit-learn": "1.6.1",
    "scipy": "1.16.1",
    "tabulate": "0.9.0",
    "tokenizers": "0.21.4",
    "torch": "2.8.0+cu126",
    "torchmetrics": "1.8.1",
    "tqdm": "4.67.1",
}
"""Versions of the kind that Colab brings or, of torchmetrics, that a reader may have; none of them is ours."""


@pytest.fixture
def cell(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("setup_cell")


def run(source: str) -> list[tuple[str, str]]:
    """Run a cell as IPython would; the magics it called, as (name, line with the names in braces filled in)."""
    called: list[tuple[str, str]] = []
    names: dict[str, Any] = {}

    def magic(self: object, name: str, line: str) -> None:
        called.append((name, line.format(**names)))

    names["get_ipython"] = type("Shell", (), {"run_line_magic": magic})
    exec(TransformerManager().transform_cell(source), names)
    return called


@pytest.fixture
def uploads() -> list[str]:
    """Names of the files that the reader chooses when Colab asks; empty: the dialogue is closed."""
    return []


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uploads: list[str]) -> Path:
    """As in Colab before anything is installed; the folder that stands for /content, from where the cell is run."""

    def upload() -> dict[str, bytes]:
        for name in uploads:
            Path(name).write_bytes(b"wheel")
        return dict.fromkeys(uploads, b"wheel")

    google = ModuleType("google.colab")
    google.files = SimpleNamespace(upload=upload)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", google)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"wheel")
    return str(path)


def moved(source: str, root: Path) -> str:
    """The cell with ``root`` for Colab's own folder, which a test cannot make."""
    assert "/content/" in source
    return source.replace("/content/", f"{root}/")


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_outside_colab_it_installs_nothing(cell: ModuleType, address: str, tmp_path: Path, monkeypatch: Any):
    put(tmp_path / WHEEL)
    monkeypatch.chdir(tmp_path)
    assert run(cell.setup_source(address)) == []


def test_in_colab_it_installs_one_quoted_requirement(cell: ModuleType, colab: Path):
    assert run(moved(cell.setup_source(ADDRESS), colab)) == [("pip", f'install -q "ebm-course @ git+{ADDRESS}"')]


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_in_colab_a_wheel_beside_the_notebook_comes_first(cell: ModuleType, colab: Path, address: str):
    put(colab / WHEEL)
    put(colab / "drive" / "MyDrive" / WHEEL)
    assert run(moved(cell.setup_source(address), colab)) == [("pip", f'install -q "{WHEEL}"')]


@pytest.mark.parametrize("place", ["", "drive/MyDrive", "drive/MyDrive/Colab Notebooks", "drive/Shareddrives/a/b"])
def test_in_colab_a_wheel_in_the_mounted_drive_or_the_usual_folder_is_found(
    cell: ModuleType, colab: Path, place: str, monkeypatch: pytest.MonkeyPatch
):
    path = put(colab / "content" / place / WHEEL)
    (colab / "elsewhere").mkdir()
    monkeypatch.chdir(colab / "elsewhere")
    assert run(moved(cell.setup_source(""), colab / "content")) == [("pip", f'install -q "{path}"')]


@pytest.mark.parametrize("name", [WHEEL, WHEEL.replace(".whl", " (1).whl")])
def test_in_colab_the_reader_is_asked_for_a_wheel_where_there_is_none(
    cell: ModuleType, colab: Path, uploads: list[str], name: str, capsys: pytest.CaptureFixture
):
    uploads += ["notes.txt", name]
    assert run(moved(cell.setup_source(""), colab)) == [("pip", f'install -q "{WHEEL}"')]
    assert (colab / WHEEL).exists()
    assert "Choose the wheel your teacher gave you" in capsys.readouterr().out


def test_in_colab_a_reader_who_chooses_nothing_is_told_what_to_do(cell: ModuleType, colab: Path):
    with pytest.raises(AssertionError, match="no wheel was chosen: run this cell again"):
        run(moved(cell.setup_source(""), colab))


def test_in_colab_it_leaves_an_installed_package_alone(cell: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    assert run(cell.setup_source(ADDRESS)) == []


def test_badges_need_an_address_that_colab_and_binder_open(cell: ModuleType):
    with_address = cell.badges_source("05_x", "https://github.com/owner/course")
    assert "https://colab.research.google.com/github/owner/course/blob/main/book/05_x.ipynb" in with_address
    assert "https://mybinder.org/v2/gh/owner/course/main?labpath=book%2F05_x.ipynb" in with_address
    assert "http" not in cell.badges_source("05_x", "")
    assert "http" not in cell.badges_source("05_x", "https://example.org/owner/course")
    assert "![" not in with_address, "a page asks no network for pictures"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package built as a wheel, from a copy so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "ebm_course", folder / "ebm_course", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "out", "."]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return next((folder / "out").glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_package(wheel: Path):
    files = [path for path in (ROOT / "ebm_course").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {str(path.relative_to(ROOT)) for path in files}
    assert expected <= set(zipfile.ZipFile(wheel).namelist())


def site_packages(venv: Path) -> Path:
    return next(venv.glob("lib/python*/site-packages"))


def pretend(folder: Path, name: str, version: str) -> None:
    """Put a distribution without content but with a version into ``folder``."""
    module = name.replace("-", "_")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{module}.py,,\n")
    (info / "INSTALLER").write_text("colab\n")
    (folder / f"{module}.py").write_text(f'__version__ = "{version}"\n')


@pytest.mark.slow
def test_the_requirement_installs_the_package_and_touches_nothing_else(
    cell: ModuleType, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    metadata = zipfile.ZipFile(wheel).read(f"{wheel.name.rsplit('-', 3)[0]}.dist-info/METADATA").decode()
    needed = set(re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata, flags=re.MULTILINE))
    assert needed == set(COLAB), "a direct dependency changed: say in COLAB which version Colab brings"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    packages = site_packages(tmp_path)
    for name, version in COLAB.items():
        pretend(packages, name, version)
    before = {path: path.stat().st_mtime_ns for path in packages.rglob("*")}
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ((_, line),) = run(cell.setup_source(wheel.as_uri()))
    # What the magic runs, through a shell as it does; without an index, so that nothing else could be installed.
    command = f'"{sys.executable}" -m pip --python "{tmp_path}/bin/python" {line} --no-index --find-links ""'
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    code = "import ebm_course, torch; print(torch.__version__)"
    found = subprocess.run([f"{tmp_path}/bin/python", "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == COLAB["torch"]
