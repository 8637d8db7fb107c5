"""Slides: every figure, formula and takeaway of a chapter is on one, exercises are on none, and nothing is loaded."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from nbformat import v4

PICTURE = base64.b64encode(b"a picture").decode()


@pytest.fixture
def slides(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("make_slides")


@pytest.fixture(scope="module")
def made(script: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides of every chapter."""
    out = tmp_path_factory.mktemp("slides")
    script("make_slides").make(out)
    return out


def notebook() -> Any:
    text, code = v4.new_markdown_cell, v4.new_code_cell
    shown = v4.new_output("display_data", data={"image/png": PICTURE})
    return v4.new_notebook(
        cells=[
            text(
                "# 1. A chapter\n\n*A question?*\n\n| claim | outcome |\n|---|---|\n| a | holds |\n\nAll is asserted."
            ),
            text("*Open this chapter:* so.", metadata={"tags": ["badges"]}),
            text("## The idea\n\nOne sentence. Another one.\n\nBefore it:\n\n$$\nE < 1\n$$\n\nmore"),
            code("plot()", outputs=[shown], metadata={"mystnb": {"image": {"alt": 'A "curve".'}}}),
            text("It falls.\n\nSecond paragraph."),
            text("### At once\n\nThen:\n\n$$\na\n|= b\n$$\n\n<details>\n\n$$\nc\n$$\n\n</details>"),
            text("```python\n# a comment\n```\n\n### Exercise 1. Here\n\nWhy?\n\n## 2. Takeaways\n\n- One.\n- Two."),
            text("**Exercise 2.** And this?"),
            text("## 3. Exercises\n\nDo this.\n\n$$\nx\n$$"),
        ]
    )


def test_a_chapter_becomes_its_title_words_formulas_pictures_and_takeaways(slides: ModuleType, tmp_path: Path):
    made = list(slides.slides(notebook(), tmp_path))
    assert [(slide.heading, slide.text) for slide in made] == [
        ("", "# 1. A chapter\n\n*A question?*"),
        ("What holds", "| claim | outcome |\n|---|---|\n| a | holds |"),
        ("The idea", "One sentence. Another one."),
        ("The idea", "Before it:\n\n$$\nE < 1\n$$"),
        ("The idea", "It falls."),
        ("At once", "Then:\n\n$$\na\n|= b\n$$"),
        ("2. Takeaways", "- One.\n- Two."),
    ]
    assert (tmp_path.parent / made[4].picture).read_bytes() == b"a picture"


def test_a_slide_keeps_formulas_for_mathjax_and_escapes_what_is_no_markup(slides: ModuleType, tmp_path: Path):
    html = slides.page("A & B", list(slides.slides(notebook(), tmp_path)))
    assert "\\[\nE &lt; 1\n\\]" in html
    assert 'alt="A &quot;curve&quot;."' in html
    assert "<title>A &amp; B</title>" in html
    assert re.findall(r'<section id="s(\d+)">', html) == [str(k) for k in range(1, 8)]


def test_a_long_table_goes_on_on_the_next_slide_with_its_head(slides: ModuleType):
    head, rows = "| a |\n|---|\n", ["| " + "x" * 40 + " |", "| " + "y" * 40 + " |", "| z |"]
    assert list(slides.tables(head + "\n".join(rows), letters=60)) == [
        f"{head}{rows[0]}",
        f"{head}{rows[1]}\n{rows[2]}",
    ]


def test_many_takeaways_go_on_on_the_next_slide(slides: ModuleType):
    text = "- One of\n  two lines.\n- Two.\n\nA paragraph,\nwhole."
    assert list(slides.shares(text, letters=29)) == ["- One of\n  two lines.", "- Two.\n\nA paragraph,\nwhole."]
    assert list(slides.shares(text)) == [text]


def test_a_sentence_that_says_nothing_alone_brings_the_next_one(slides: ModuleType):
    text = "Now a training. To compare what a contrast does, everything else should be equal."
    assert slides.first_sentences(text, words=10) == text


@pytest.mark.parametrize(
    "text, kept",
    [
        ("One two. Three four. Five six.", "One two. Three four."),
        ("A single sentence of six words.", "A single sentence of six words."),
        ("| a | b |", ""),
        ("- a list", ""),
        ("$$\nE\n$$", ""),
        ("", ""),
    ],
)
def test_whole_sentences_are_kept_and_lists_and_tables_are_not(slides: ModuleType, text: str, kept: str):
    assert slides.first_sentences(text, words=4) == kept


def test_every_chapter_has_slides_with_all_of_its_pictures(each_chapter: Any, made: Path):
    html = (made / f"{each_chapter.name}.html").read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert any("Takeaways" in heading for heading in headings)
    assert not any("Exercise" in heading or "Further reading" in heading for heading in headings)
    pictures = sum("image/png" in output.get("data", {}) for _, output in each_chapter.outputs)
    assert len(re.findall(r'<img src="pictures/', html)) >= pictures - 3, "those of exercises are left out"
    assert all(re.search(r'alt="[^"]', image) for image in re.findall(r"<img [^>]*>", html))


def test_slides_ask_no_network(made: Path):
    for path in made.glob("*.html"):
        assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]*\.(?:js|css|png|svg)"', path.read_text())
