"""One setting says where the course is published: all that depends on it follows, and every button finds its file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
import yaml

from ebm_course.runtime import PUBLIC_ADDRESS

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))
GITHUB, ELSEWHERE = "https://github.com/owner/course", "https://git.example.org/owner/course"


@pytest.fixture
def address(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("set_address")


@pytest.fixture
def clone(address: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that name the address, and one chapter, in a folder that the script takes for the course."""
    for name in (*address.FILES, f"book/{NOTEBOOKS[0].name}"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(address, "ROOT", tmp_path)
    return tmp_path


def texts(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    return {name: (folder / name).read_text(encoding="utf-8") for name in names}


def test_every_file_follows_the_setting(address: ModuleType):
    assert address.main(["--check"]) == 0


def test_an_address_can_be_given_and_taken_back(address: ModuleType, clone: Path):
    assert address.main([""]) == 0
    before = texts(clone, address.FILES)
    assert address.main([GITHUB + "/"]) == 0
    after = texts(clone, address.FILES)
    assert all(GITHUB in text and GITHUB + "/ " not in text for text in after.values())
    assert address.main(["--check"]) == 0
    assert address.main([""]) == 0
    assert texts(clone, address.FILES) == before


@pytest.mark.parametrize("name", ["_config.yml", "book/_config.yml", "README.md", "CITATION.cff"])
def test_a_file_that_names_another_address_is_found(
    address: ModuleType, clone: Path, name: str, capsys: pytest.CaptureFixture
):
    address.main([GITHUB])
    text = (clone / name).read_text()
    (clone / name).write_text(text.replace(GITHUB, "https://github.com/owner/other", 1))
    assert address.main(["--check"]) == 1
    assert f"{name} does not follow PUBLIC_ADDRESS" in capsys.readouterr().out


def test_another_setting_is_found_in_every_file(address: ModuleType, clone: Path, capsys: pytest.CaptureFixture):
    runtime = clone / address.FILES[0]
    runtime.write_text(address.SETTING.sub(f'PUBLIC_ADDRESS = "{GITHUB}"', runtime.read_text()))
    assert address.main(["--check"]) == 1
    assert capsys.readouterr().out.count("does not follow") == len(address.FILES) - 1


@pytest.mark.parametrize(
    "given",
    [
        *("github.com/a/b", "http://github.com/a/b", "https://github.com", "https://a/b", "/"),
        *("https://github.com/o/\u00fcbung", "https://github.com/o/a b", "https://g\u00eft.example.org/o/a"),
    ],
)
def test_what_is_no_address_is_refused(address: ModuleType, clone: Path, given: str, capsys: pytest.CaptureFixture):
    before = texts(clone, address.FILES)
    assert address.main([given]) == 1
    assert "expected https://host/owner/course" in capsys.readouterr().out
    assert texts(clone, address.FILES) == before


def test_a_file_without_its_place_for_the_address_is_refused(
    address: ModuleType, clone: Path, capsys: pytest.CaptureFixture
):
    (clone / "README.md").write_text("# No place\n")
    assert address.main([GITHUB]) == 1
    assert "README.md: expected one place for the address, found 0" in capsys.readouterr().out


def test_configuration_and_citation_stay_yaml_and_say_the_address(address: ModuleType, clone: Path):
    address.main([GITHUB])
    config, citation = (yaml.safe_load((clone / name).read_text()) for name in ("_config.yml", "CITATION.cff"))
    assert config["repository"] == {"url": GITHUB, "branch": "main", "path_to_book": "book"}
    assert citation["repository-code"] == citation["url"] == GITHUB
    address.main([ELSEWHERE])
    assert "repository" not in yaml.safe_load((clone / "_config.yml").read_text()), "buttons open what is on GitHub"


def test_launch_buttons_are_on_with_an_address_only():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert any(config["launch_buttons"].values()) == PUBLIC_ADDRESS.startswith("https://github.com/")
    assert config.get("repository", {}).get("url", PUBLIC_ADDRESS) == PUBLIC_ADDRESS


def launched(text: str) -> list[str]:
    """Paths inside the repository that links to Colab and Binder open."""
    colab = re.findall(r"colab\.research\.google\.com/github/owner/course/blob/main/([^\s)\"?]+)", text)
    binder = re.findall(r"mybinder\.org/v2/gh/owner/course/main\?(?:labpath=|urlpath=lab/tree/)([^\s)\"&]+)", text)
    return [unquote(path) for path in colab + binder]


def test_every_badge_and_link_opens_a_file_that_exists(
    address: ModuleType, clone: Path, script: Callable[[str], ModuleType]
):
    badges = script("setup_cell").badges_source
    address.main([GITHUB])
    opened = launched((clone / "README.md").read_text())
    opened += [path for notebook in NOTEBOOKS for path in launched(badges(notebook.stem, GITHUB))]
    assert len(opened) == 2 + 2 * len(NOTEBOOKS)
    assert all((ROOT / path).is_file() for path in opened)


@pytest.mark.slow
def test_every_launch_button_of_a_page_opens_a_file_that_exists(
    address: ModuleType, clone: Path, script: Callable[[str], ModuleType]
):
    address.main([GITHUB])
    chapter = NOTEBOOKS[0]
    book: Any = clone / "book"
    for name in ("_scripts", "_static"):
        shutil.copytree(ROOT / "book" / name, book / name, ignore=shutil.ignore_patterns("__pycache__"))
    nb = nbformat.read(book / chapter.name, as_version=4)
    next(cell for cell in nb.cells if cell.id == "badges").source = script("setup_cell").badges_source(
        chapter.stem, GITHUB
    )
    nbformat.write(nb, book / chapter.name)
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: {chapter.stem}\n")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", book, "-W", "-n"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (book / "_build" / "html" / f"{chapter.stem}.html").read_text()
    buttons = [path for path in launched(page) if path.startswith("book/")]
    assert len(buttons) == 4, "two badges and two buttons"
    assert all((ROOT / path).is_file() for path in buttons)
