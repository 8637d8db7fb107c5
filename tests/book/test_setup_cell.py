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
from types import ModuleType

import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager

from ebm_course.runtime import PUBLIC_ADDRESS

ROOT = Path(__file__).parents[2]
ADDRESS = "https://example.org/owner/course"
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
def refresh(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("refresh_notebooks")


def run(source: str) -> list[tuple[str, str]]:
    """Run a cell as IPython would and return the magics it called, as (name, line)."""
    called: list[tuple[str, str]] = []
    shell = type("Shell", (), {"run_line_magic": lambda self, name, line: called.append((name, line))})()
    exec(TransformerManager().transform_cell(source), {"get_ipython": lambda: shell})
    return called


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Colab before anything is installed."""
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_outside_colab_it_installs_nothing(refresh: ModuleType):
    assert run(refresh.setup_source(ADDRESS)) == []
    assert run(refresh.setup_source("")) == []


@pytest.mark.usefixtures("colab")
def test_in_colab_it_installs_one_quoted_requirement(refresh: ModuleType):
    assert run(refresh.setup_source(ADDRESS)) == [("pip", f'install -q "ebm-course @ git+{ADDRESS}"')]


@pytest.mark.usefixtures("colab")
def test_without_an_address_it_says_what_to_do(refresh: ModuleType):
    with pytest.raises(ModuleNotFoundError, match=r"no public address .* pip wheel .* %pip install"):
        run(refresh.setup_source(""))


def test_in_colab_it_leaves_an_installed_package_alone(refresh: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    assert run(refresh.setup_source(ADDRESS)) == []


def test_badges_need_an_address(refresh: ModuleType):
    with_address = refresh.badges_source("05_x", "https://github.com/owner/course")
    assert "https://colab.research.google.com/github/owner/course/blob/main/book/05_x.ipynb" in with_address
    assert "http" not in refresh.badges_source("05_x", "")


def test_launch_buttons_are_on_with_an_address_only():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert any(config["launch_buttons"].values()) == bool(PUBLIC_ADDRESS)
    assert config.get("repository", {}).get("url", "") == PUBLIC_ADDRESS


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
    refresh: ModuleType, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    ((_, line),) = run(refresh.setup_source(wheel.as_uri()))
    # What the magic runs, through a shell as it does; without an index, so that nothing else could be installed.
    command = f'"{sys.executable}" -m pip --python "{tmp_path}/bin/python" {line} --no-index --find-links ""'
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    code = "import ebm_course, torch; print(torch.__version__)"
    found = subprocess.run([f"{tmp_path}/bin/python", "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == COLAB["torch"]
