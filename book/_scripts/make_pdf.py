"""The pages of the book as one file to print, with an outline: ``make pdf`` writes ``dist/energies.pdf``.

Chromium prints each page of the table of contents from this machine, formulas drawn; folded parts stay folded.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

BOOK = Path(__file__).parents[1]
HTML = BOOK / "_build" / "html"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 300_000  # ms a page
SETTLED = """async () => {
    for (const image of document.images) image.loading = "eager";
    if (window.MathJax?.startup) await MathJax.startup.promise;
    await new Promise(done => setTimeout(done, 500));
}"""
PAPER = {
    "format": "A4",
    "margin": dict.fromkeys(("top", "bottom", "left", "right"), "15mm"),
    "print_background": True,
    "display_header_footer": True,
    "header_template": "<span></span>",
    "footer_template": '<span style="font-size: 8px; margin: auto" class="pageNumber"></span>',
}


def pages(toc: Path) -> list[str]:
    """Names of all pages in their order, those below another page too."""
    given = yaml.safe_load(toc.read_text(encoding="utf-8"))
    chapters = [chapter for part in given["parts"] for chapter in part["chapters"]]
    return [given["root"], *(page["file"] for chapter in chapters for page in (chapter, *chapter.get("sections", ())))]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address on this machine at which a folder is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


@contextmanager
def chromium() -> Iterator[Any]:
    """Headless Chromium: the system's, or the one that playwright has brought.

    Raises:
        FileNotFoundError: there is neither.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, NAMES)), None) or playwright.chromium.executable_path
        if not Path(found).exists():
            raise FileNotFoundError("there is no Chromium here: install chromium, or run: playwright install chromium.")
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


def printed(names: list[str], html: Path, out: Path) -> int:
    """Print the pages of these names and join them in ``out``; how many sheets there are."""
    from pypdf import PdfReader, PdfWriter

    joined = PdfWriter()
    with tempfile.TemporaryDirectory() as scratch, served(html) as site, chromium() as browser:
        for name in names:
            page = browser.new_page(color_scheme="light", reduced_motion="reduce")
            page.set_default_timeout(PATIENCE)
            page.goto(f"{site}{name}.html", wait_until="load")
            page.evaluate(SETTLED)
            title = page.locator("h1").first.inner_text().rstrip("#").strip()
            sheet = Path(scratch) / f"{name.replace('/', '-')}.pdf"
            page.pdf(path=sheet, **PAPER)
            page.close()
            joined.append(PdfReader(sheet), outline_item=title, import_outline=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    joined.write(out)
    return len(joined.pages)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=BOOK.parent / "dist" / "energies.pdf", metavar="FILE")
    parser.add_argument("--only", default="", metavar="NAME", help="pages whose name contains NAME")
    options = parser.parse_args()
    if not HTML.is_dir():
        print("the book is not built: run make book first")
        return 1
    names = [name for name in pages(BOOK / "_toc.yml") if options.only in name]
    try:
        n = printed(names, HTML, options.out)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        print(error)
        return 1
    print(f"{options.out}: {n} sheets, {options.out.stat().st_size / 2**20:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
