"""pyproject.toml, constraints.txt, environment.yml and the Makefile tell one story."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ebm_course.runtime import PUBLIC_ADDRESS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
PINS = {canonicalize_name(line.split("==")[0]): Version(line.split("==")[1]) for line in LINES}
IMPORTED_AS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml", "IPython": "ipython"}


def test_every_constraint_is_one_exact_version_and_names_no_address():
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in LINES)
    assert len(PINS) == len(LINES)


def test_the_tested_set_is_the_one_promised():
    assert PINS["torch"] == Version("2.13.0")
    assert PINS["jupyter-book"] == Version("1.0.4.post1")


@pytest.mark.parametrize("requirement", [*DIRECT, *chain(*EXTRAS.values())], ids=str)
def test_a_direct_dependency_is_a_range_that_holds_its_pin(requirement: Requirement):
    pin = PINS[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin)
    assert not any(part.operator in ("==", "===") for part in requirement.specifier), "ranges here, pins in constraints"


@pytest.fixture
def tested_set() -> None:
    """Skip where other versions are installed, as `make minimums` does: they bring other packages along."""
    for name in (canonicalize_name(requirement.name) for requirement in DIRECT):
        if Version(metadata.version(name)).public != PINS[name].public:
            pytest.skip(f"{name} is not the version of the tested set")


@pytest.mark.usefixtures("tested_set")
def test_everything_that_comes_along_is_pinned():
    """Walks what is installed, from the package and its extras; conditions are those of this Python and system."""
    seen, waiting = set(), [("ebm-course", extra) for extra in ("", "book", "test", "dev", "scale")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            needed = [Requirement(line) for line in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue
        for requirement in needed:
            if requirement.marker is None or requirement.marker.evaluate({**default_environment(), "extra": extra}):
                waiting += [(canonicalize_name(requirement.name), part) for part in ("", *requirement.extras)]
    system = {"ebm-course", "triton", "colorama", "appnope", "pywin32", "pip"}
    names = {name for name, _ in seen} - system
    assert not {name for name in names - set(PINS) if not name.startswith(("nvidia-", "cuda-"))}


@pytest.mark.usefixtures("tested_set")
def test_every_pin_installs_on_the_oldest_python_promised():
    """As far as they are installed here: one that asks for a newer Python stops the newcomer at the first command."""
    oldest = Requirement(f"x{PROJECT['requires-python']}").specifier
    floor = next(str(part.version) for part in oldest) + ".0"
    asked = {}
    for distribution in metadata.distributions():
        name = canonicalize_name(distribution.metadata["Name"])
        if asks := distribution.metadata.get("Requires-Python"):
            asked[name, Version(distribution.version).public] = asks
    pinned = {name: asked[name, pin.public] for name, pin in PINS.items() if (name, pin.public) in asked}
    assert len(pinned) > 80
    assert {name: asks for name, asks in pinned.items() if not Requirement(f"x{asks}").specifier.contains(floor)} == {}


@pytest.mark.skipif(not sys.prefix.endswith("-minimums"), reason="the environment of make minimums is meant")
def test_the_oldest_versions_allowed_are_those_installed_to_test_them():
    """One that was withdrawn, or that another package asks to be newer, would be promised and never tried."""
    wanted = [*DIRECT, *chain(*(EXTRAS[name] for name in ("book", "test", "scale")))]
    allowed = {r.name: next(part.version for part in r.specifier if part.operator == ">=") for r in wanted}
    lowest = {name: Version(Version(version).base_version) for name, version in allowed.items()}
    assert {name: Version(Version(metadata.version(name)).base_version) for name in lowest} == lowest


WARNINGS = {
    "error": "warnings.warn_explicit('x', UserWarning, 'f.py', 1, module='ebm_course.core')",
    "error too": "warnings.warn('x', RuntimeWarning)",
    "nothing": "warnings.warn_explicit('x', DeprecationWarning, 'f.py', 1, module='matplotlib.axes')",
    "nothing too": "warnings.warn_explicit('x', FutureWarning, 'f.py', 1, module='ebm_course.core')",
}


def test_warnings_of_the_course_stop_its_tests_and_deprecations_of_newer_dependencies_do_not(tmp_path: Path):
    cells = [f"def test_{k}():\n    {line}\n" for k, line in enumerate(WARNINGS.values())]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_warnings.py").write_text("import warnings\n\n" + "\n".join(cells))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert re.findall(r"^FAILED .*::test_(\d)", run.stdout, flags=re.MULTILINE) == ["0", "1"]
    assert "2 failed, 2 passed" in run.stdout


def test_the_conda_environment_installs_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert Version(python.removeprefix("python=")) in Requirement(f"x{PROJECT['requires-python']}").specifier
    assert pip == "pip"
    assert packages == {"pip": ["-c constraints.txt", "-e .[book,test]"]}


def test_nothing_comes_before_the_conda_environment_where_binder_looks_for_one():
    """repo2docker takes the first of these that it finds, and with a folder of its own looks nowhere else."""
    before = ("binder", ".binder", "Dockerfile", "Project.toml", "REQUIRE", "default.nix", "DESCRIPTION", "install.R")
    assert [name for name in (*before, "runtime.txt", "postBuild", "start") if (ROOT / name).exists()] == []
    assert yaml.safe_load((ROOT / "environment.yml").read_text())["channels"] == ["conda-forge"]


def test_make_installs_the_tested_set_with_every_extra_it_uses():
    makefile = (ROOT / "Makefile").read_text()
    assert "--constraint constraints.txt" in makefile
    assert set(",".join(re.findall(r"--editable '\.\[([\w,]+)\]'", makefile)).split(",")) == set(EXTRAS)


def imports(code: str) -> set[str]:
    """Distributions that Python code imports, without the standard library and the package itself."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
    found -= set(sys.stdlib_module_names) | {"ebm_course"}
    return {canonicalize_name(IMPORTED_AS.get(name, name)) for name in found}


def code_cells(path: Path) -> str:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    return re.sub(r"^(\s*)[%!].*", r"\1pass", "\n".join("".join(cell["source"]) for cell in cells), flags=re.MULTILINE)


def test_package_and_chapters_import_what_is_declared_and_what_is_declared_is_imported():
    declared = {canonicalize_name(requirement.name) for requirement in DIRECT}
    modules = [path.read_text() for path in (ROOT / "ebm_course").rglob("*.py")]
    cells = [code_cells(path) for path in (ROOT / "book").glob("*.ipynb")]
    found = set().union(*(imports(code) for code in [*modules, *cells]))
    # IPython comes with ipywidgets, and nothing shows a widget without it. Several processes ask for accelerate, the
    # judge of colour images for its net, a vocabulary with vectors for theirs, texts for encoders and a hub of sets.
    # In Colab the set-up cell of a course without an address asks for a file with what is there, google.colab.
    extras = [*chain(*(EXTRAS[name] for name in ("scale", "vision", "vectors", "encoder", "hub")))]
    optional = {canonicalize_name(requirement.name) for requirement in extras}
    assert found - declared == {"ipython", *([] if PUBLIC_ADDRESS else ["google"])} | optional
    assert declared <= found


def test_the_version_is_the_same_wherever_it_is_written():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == PROJECT["version"]
    newest = re.search(r"^## (?!Unreleased$)(\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["version"]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "environment.yml", "constraints.txt", "Makefile"])
def test_no_address_of_a_registry_or_folder_of_a_machine_is_written_down(name: str):
    text = (ROOT / name).read_text()
    assert not re.search(r"index-url|find-links|simple/|(?<![\w.])/(home|root|tmp|opt)/", text)


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]):
    (example,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    names: dict = {}
    exec(example, names)
    assert names["energy"].means.grad.abs().sum() > 0
