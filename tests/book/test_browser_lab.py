"""Sliders of two chapters moved in JupyterLab, in a real browser with a live kernel: part of ``make browser``."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

pytest.importorskip("playwright.sync_api", reason="make browser installs playwright")
pytest.importorskip("jupyterlab", reason="make browser installs jupyterlab")

BOOK = Path(__file__).parents[2] / "book"
PATIENCE = 600.0  # seconds: a chapter runs up to its slider, on a machine that others use
WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURE = ".jupyter-widgets.widget-image"
pytestmark = pytest.mark.slow


def with_slider(path: Path) -> bool:
    """Whether a chapter stores a widget."""
    return WIDGET in path.read_text(encoding="utf-8")


def until_slider(path: Path) -> Any:
    """The chapter up to its first slider, without outputs."""
    nb: Any = nbformat.read(path, as_version=4)
    shown = [{kind for o in cell.get("outputs", []) for kind in o.get("data", {})} for cell in nb.cells]
    nb.cells = nb.cells[: next(k for k, kinds in enumerate(shown) if WIDGET in kinds) + 1]
    nb.metadata.pop("widgets", None)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


def two_chapters() -> list[Path]:
    """Those whose slider comes after the fewest cells."""
    paths = [path for path in BOOK.glob("[0-9][0-9]_*.ipynb") if with_slider(path)]
    return sorted(paths, key=lambda path: (sum(c.cell_type == "code" for c in until_slider(path).cells), path.name))[:2]


CHAPTERS = two_chapters()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab on this machine, in a folder with the two chapters."""
    folder = tmp_path_factory.mktemp("lab")
    for path in CHAPTERS:
        nbformat.write(until_slider(path), folder / path.name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--port={port}", "--ip=127.0.0.1", "--no-browser", "--allow-root", "--IdentityProvider.token="]
    names = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTERLAB_SETTINGS_DIR": "settings"}
    kept = {**os.environ, **{name: str(folder / own) for name, own in names.items()}}
    whole = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    whole.parent.mkdir(parents=True)
    whole.write_text('{"windowingMode": "none"}')  # else cells below the screen are not drawn
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folder}"],
        env=kept,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=5)
            break
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "JupyterLab did not start"
            time.sleep(0.5)
    yield address
    server.terminate()
    server.wait(30)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_slider_moved_in_the_browser_changes_the_picture(
    lab: str, script: Callable[[str], ModuleType], path: Path, tmp_path: Path
):
    try:
        with script("make_pdf").chromium() as browser:
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.set_default_timeout(PATIENCE * 1000)
            page.goto(f"{lab}/lab/tree/{path.name}?reset")
            page.wait_for_selector(".jp-Notebook .jp-CodeCell")
            chosen = page.locator(".jp-Dialog-button.jp-mod-accept")
            running = page.locator(".jp-InputPrompt", has_text=re.compile(r"[\d*]"))
            for _ in range(10):  # a kernel that starts slowly is asked for, sooner or later, and then nothing was run
                page.get_by_role("menuitem", name="Run", exact=True).click()
                page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
                page.wait_for_timeout(5000)
                if chosen.is_visible():
                    chosen.click()
                    page.wait_for_timeout(5000)
                elif running.count():
                    break
            picture = page.locator(PICTURE).first
            picture.wait_for(state="visible")
            before = picture.get_attribute("src")
            handle = page.locator(".widget-slider .noUi-handle").first
            handle.focus()
            value, highest = (handle.get_attribute(f"aria-value{what}") for what in ("now", "max"))
            handle.press("ArrowLeft" if value == highest else "ArrowRight")
            page.wait_for_function("([what, old]) => document.querySelector(what)?.src !== old", arg=[PICTURE, before])
            page.screenshot(path=tmp_path / "lab.png")
    except FileNotFoundError as error:
        pytest.skip(str(error))
