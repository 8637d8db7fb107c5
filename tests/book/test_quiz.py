"""The quiz bank: every chapter has questions, every question an answer, and answers that can be computed are right."""

from __future__ import annotations

import doctest
import math
import re
from collections import Counter
from pathlib import Path

import pytest
import torch

BOOK = Path(__file__).parents[2] / "book"
QUESTION = re.compile(
    r"^\*\*(\d+\.\d+)\*\* (.+?)\n\n<details>\n<summary>Answer</summary>\n\n(.+?)\n\n</details>$",
    flags=re.MULTILINE | re.DOTALL,
)
TEXT = (BOOK / "quiz.md").read_text(encoding="utf-8")
QUESTIONS = [found.groups() for found in QUESTION.finditer(TEXT)]
CODE = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)
COMPUTED = {name: code for name, _, answer in QUESTIONS for code in CODE.findall(answer)}


def test_every_question_has_a_folded_answer():
    assert len(QUESTIONS) == len(re.findall(r"^\*\*\d+\.\d+\*\*", TEXT, flags=re.MULTILINE))
    assert len(QUESTIONS) == TEXT.count("<details>") == TEXT.count("</details>")


def test_questions_are_numbered_in_order_below_the_heading_of_their_chapter():
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        chapter = part.split(".")[0]
        names = [name for name, *_ in (found.groups() for found in QUESTION.finditer(part))]
        assert names == [f"{chapter}.{k}" for k in range(1, len(names) + 1)]


@pytest.mark.parametrize("path", sorted(BOOK.glob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_every_chapter_has_four_questions(path: Path):
    counts = Counter(name.split(".")[0] for name, *_ in QUESTIONS)
    assert counts[str(int(path.stem[:2]))] >= 4


@pytest.mark.parametrize("name", COMPUTED)
def test_a_computed_answer_is_what_the_computer_says(name: str):
    example = doctest.DocTestParser().get_doctest(COMPUTED[name], {"torch": torch, "math": math}, name, "quiz.md", 0)
    assert example.examples
    said: list[str] = []
    result = doctest.DocTestRunner().run(example, out=said.append)
    assert result.failed == 0, "".join(said)
