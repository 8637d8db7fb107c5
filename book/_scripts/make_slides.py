"""Slides of every chapter, from its own figures, formulas and sentences: ``make slides`` writes ``dist/slides``.

A slide shows a section's first sentences, one display formula with the words before it, one figure with what the text
reads from it, or the takeaways. One file a chapter, with the keys of any slides; to print is one slide a page.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
from chapters import chapters
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from pages import own_mathjax

BOOK = Path(__file__).parents[1]
DIST = BOOK.parent / "dist" / "slides"
TEMPLATE = Path(__file__).with_name("slides.html")
SKIPPED = ("exercise", "further reading")
HEADING = re.compile(r"(#{1,3}) (.+)")
LAST = "takeaways"
HELD = "What holds"
TABLE = re.compile(r"^\|.*\n\|[-: |]+\n(?:\|.*\n?)+", flags=re.MULTILINE)
FORMULA = re.compile(r"^\$\$\n(.+?)\n\$\$$", flags=re.MULTILINE | re.DOTALL)
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z*$`])")


@dataclass(frozen=True)
class Slide:
    """A heading with Markdown below it, and a picture: its file, and what it shows."""

    heading: str
    text: str
    picture: str = ""
    alt: str = ""


def markdown() -> MarkdownIt:
    """Markdown to HTML; formulas are left to MathJax."""
    made = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)

    def formula(left: str, right: str) -> Any:
        return lambda self, tokens, k, options, env: left + html.escape(tokens[k].content) + right

    made.add_render_rule("math_inline", formula(r"\(", r"\)"))
    made.add_render_rule("math_block", formula(r"\[", r"\]"))
    return made


def first_sentences(text: str, words: int = 45) -> str:
    """As many whole sentences of a text's first paragraph as have so many words; a very short one brings the next."""
    paragraphs = [part for part in re.split(r"\n\s*\n", text) if part.strip()]
    if not paragraphs or re.match(r"\$\$|\||```|<|>|[-*] |\d+\. ", paragraphs[0]):
        return ""
    kept: list[str] = []
    for sentence in SENTENCE.split(" ".join(paragraphs[0].split())):
        enough = len(" ".join(kept).split()) >= min(words, 6)
        if enough and len(" ".join([*kept, sentence]).split()) > words:
            break
        kept.append(sentence)
    return " ".join(kept)


def pieces(text: str) -> list[str]:
    """A cell's text, cut before every heading of its own; lines of code are none."""
    cut: list[list[str]] = [[]]
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if HEADING.match(line) and not fenced and any(cut[-1]):
            cut.append([])
        cut[-1].append(line)
    return ["\n".join(lines).strip() for lines in cut]


def read(nb: NotebookNode) -> Iterator[tuple[str, str, NotebookNode]]:
    """Every cell, or piece of one, with the kind of section and the heading it stands under."""
    kind, heading = "", ""
    for cell in nb.cells:
        for text in pieces(cell.source) if cell.cell_type == "markdown" else [""]:
            if found := HEADING.match(text):
                heading = found[2]
                plain = re.sub(r"^[\d.]+\s+", "", heading).lower()  # "9. Exercises" and "Exercises" are one
                kind = plain if len(found[1]) < 3 or plain.startswith("exercise") else kind
            yield kind, heading, cell if cell.cell_type == "code" else nbformat.from_dict({**cell, "source": text})


def pictures(cell: NotebookNode) -> Iterator[bytes]:
    """The pictures that a cell has stored."""
    for output in cell.get("outputs", []):
        if "image/png" in output.get("data", {}):
            yield base64.b64decode(output.data["image/png"])


def tables(table: str, letters: int = 1000) -> Iterator[str]:
    """A table in parts that fit a slide, each with the head: rows with about so many letters together, at least one."""
    head, rule, *rows = table.strip().splitlines()
    part: list[str] = []
    for row in rows:
        if part and len("".join([*part, row])) > letters:
            yield "\n".join([head, rule, *part])
            part = []
        part.append(row)
    yield "\n".join([head, rule, *part])


def shares(text: str, letters: int = 1050) -> Iterator[str]:
    """Points and paragraphs in parts that fit a slide, about so many letters together, at least one."""
    part = ""
    for block in re.findall(r".+?(?:\n\s*\n|\n(?=[-*] )|\Z)", text.strip(), flags=re.DOTALL):
        if part and len(part + block) > letters:
            yield part.strip()
            part = ""
        part += block
    yield part.strip()


def slides(nb: NotebookNode, folder: Path) -> Iterator[Slide]:
    """The slides of a chapter; its pictures are written into ``folder``."""
    cells = list(read(nb))
    opening = cells[0][2].source
    held = TABLE.search(opening)
    yield Slide("", (opening[: held.start()] if held else opening).strip())
    yield from (Slide(HELD, part) for part in (tables(held[0]) if held else ()))
    for k, (kind, heading, cell) in enumerate(cells):
        if (
            kind.startswith(SKIPPED)
            or cell.source.startswith("**Exercise")
            or "badges" in cell.metadata.get("tags", [])
        ):
            continue
        if cell.cell_type == "markdown" and k:
            text = re.sub(r"<details>.*?</details>", "", cell.source, flags=re.DOTALL)
            body = re.sub(r"\A#+ .+\n*", "", text)
            if kind.startswith(LAST):
                yield from (Slide(heading, part) for part in shares(body))
                continue
            if table := TABLE.search(body):
                yield from (Slide(heading, part) for part in tables(table[0]))
            formulas = [(found, body[: found.start()].strip().split("\n\n")[-1]) for found in FORMULA.finditer(body)]
            at_once = bool(formulas) and body.strip().startswith(formulas[0][1])  # on its slide
            if text != body and not at_once and (words := first_sentences(body)):
                yield Slide(heading, words)
            for formula, before in formulas:
                yield Slide(heading, f"{first_sentences(before, 60)}\n\n{formula[0]}")
        for picture in pictures(cell):
            name = f"{hashlib.sha256(picture).hexdigest()[:16]}.png"
            (folder / name).write_bytes(picture)
            after = cells[k + 1][2] if k + 1 < len(cells) else cell
            words = first_sentences(after.source) if after.cell_type == "markdown" else ""
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            yield Slide(heading, words, f"{folder.name}/{name}", alt)


def page(title: str, made: list[Slide]) -> str:
    """The HTML of a chapter's slides."""
    render, parts = markdown(), []
    for k, slide in enumerate(made, 1):
        head = f"<h2>{render.renderInline(slide.heading)}</h2>" if slide.heading else ""
        alt = html.escape(slide.alt, quote=True)
        figure = f'<figure><img src="{slide.picture}" alt="{alt}"></figure>' if slide.picture else ""
        parts.append(f'<section id="s{k}">{head}\n{figure}\n{render.render(slide.text)}</section>')
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.replace("@title@", html.escape(title)).replace("@slides@", "\n".join(parts))


def make(out: Path, book: Path = BOOK) -> list[str]:
    """Write the slides of every chapter of the table of contents; a line on each."""
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    said = []
    for chapter in chapters(book):
        nb = nbformat.read(book / f"{chapter.name}.ipynb", as_version=4)
        made = list(slides(nb, out / "pictures"))
        title = f"{chapter.number}. {chapter.title}"
        (out / f"{chapter.name}.html").write_text(page(title, made), encoding="utf-8")
        said.append(f"{chapter.name}.html: {len(made)} slides, {sum(bool(s.picture) for s in made)} pictures")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DIST, help="the folder, by default dist/slides")
    out: Path = parser.parse_args().out
    print("\n".join(make(out)))
    own_mathjax(SimpleNamespace(outdir=out))  # type: ignore[arg-type]  # of an application it needs the folder alone
    return 0


if __name__ == "__main__":
    sys.exit(main())
