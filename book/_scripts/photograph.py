"""The picture of a chapter in the README, from the built pages in Chromium: ``make photograph``.

The picture keeps the names of the chapters that its margin shows, so that a test can say when it is out of date.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from chapters import chapters
from make_pdf import BOOK, HTML, SETTLED, chromium, served
from PIL import Image
from PIL.PngImagePlugin import PngInfo

CHAPTER = "02_likelihood_gradients"
OUT = BOOK / "_static" / "chapter.png"
AT_THE_FIGURE = """() => {
    const top = document.querySelector("div.cell_output img").getBoundingClientRect().top;
    window.scrollTo({top: window.scrollY + top - 64, behavior: "instant"});
}"""


def names(book: Path = BOOK) -> str:
    """The chapters of the table of contents, a line each."""
    return "\n".join(f"{chapter.number}. {chapter.title}" for chapter in chapters(book))


def photograph(html: Path = HTML, out: Path = OUT) -> None:
    """Write what a reader sees of ``CHAPTER`` at its first figure."""
    with served(html) as site, chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light", reduced_motion="reduce")
        page.goto(f"{site}{CHAPTER}.html", wait_until="load")
        page.evaluate(SETTLED)
        page.evaluate(AT_THE_FIGURE)
        page.wait_for_timeout(1000)
        taken = Image.open(io.BytesIO(page.screenshot()))
    told = PngInfo()
    told.add_text("chapters", names())
    taken.convert("RGB").quantize(128).save(out, optimize=True, pnginfo=told)


def main() -> int:
    if not HTML.is_dir():
        print("the book is not built: run make book first")
        return 1
    photograph()
    print(f"{OUT}: {OUT.stat().st_size / 1024:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
