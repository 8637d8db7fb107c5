"""What a chapter's text owes its reader, as far as a machine can see it. Each rule is shown to catch an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

MYST = {
    "a role": r"\{[a-zA-Z][\w:+-]*\}`",
    "a directive": r"^\s*(```+|~~~+|:::+)\s*\{",
    "a colon fence": r"^\s*:::",
    "a label": r"^\([\w-]+\)=\s*$",
    "a substitution": r"\{\{",
    "an attribute": r"[\])`]\{[.#]",
    "a comment": r"^% ",
    "a block break": r"^\+\+\+",
}
COSTS = {"time": r"\d\s*(min|s\b|seconds)", "memory": r"\d\s*(MB|GB)", "CPU": "CPU", "GPU": "GPU"}
SECTIONS = ("break it", "takeaways", "exercises", "further reading")


def prose(cell: Any) -> str:
    """The cell's source without fenced code."""
    return re.sub(r"^(```|~~~).*?^\1", "", cell.source, flags=re.DOTALL | re.MULTILINE)


def test_markdown_is_portable(each_chapter: Any):
    for cell in each_chapter.text:
        fences = "\n".join(line for line in cell.source.splitlines() if line.lstrip().startswith(("```", "~~~")))
        text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", "", prose(cell), flags=re.DOTALL) + "\n" + fences
        found = [name for name, pattern in MYST.items() if re.search(pattern, text, flags=re.MULTILINE)]
        assert not found, (found, cell.source[:200])


def test_links_are_absolute(each_chapter: Any):
    for cell in each_chapter.text:
        targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`|\$[^$\n]+\$", "", prose(cell)))
        assert all(re.match(r"https?://|#|attachment:", target) for target in targets), targets


def test_display_formulas_stand_alone_between_blank_lines(each_chapter: Any):
    for cell in each_chapter.text:
        lines = prose(cell).splitlines()
        fences = [k for k, line in enumerate(lines) if "$$" in line]
        assert all(lines[k].strip() == "$$" for k in fences), cell.source[:200]
        assert len(fences) % 2 == 0, cell.source[:200]
        for start, end in zip(fences[::2], fences[1::2], strict=True):
            assert start == 0 or not lines[start - 1].strip(), lines[start - 1]
            assert end + 1 == len(lines) or not lines[end + 1].strip(), lines[end + 1]


def test_equation_tags_are_unique_and_references_find_them(each_chapter: Any):
    text = "\n".join(cell.source for cell in each_chapter.text)
    tags = re.findall(r"\\tag\{([^}]+)\}", text)
    assert len(tags) == len(set(tags)), tags
    assert all(re.fullmatch(rf"{each_chapter.number}\.\d+[a-z]?'?", tag) for tag in tags), tags
    asked = re.findall(rf"\(({each_chapter.number}\.\d+[a-z]?)\)", text)
    assert set(asked) <= set(tags), set(asked) - set(tags)


def test_the_head_says_what_the_chapter_costs(each_chapter: Any):
    cells = each_chapter.notebook.cells
    first_code = next(k for k, cell in enumerate(cells) if cell.cell_type == "code")
    head = "\n".join(cell.source for cell in cells[:first_code])
    assert head.startswith("# ")
    missing = [cost for cost, pattern in COSTS.items() if not re.search(pattern, head)]
    assert not missing


def test_nothing_is_left_to_be_filled_in(each_chapter: Any):
    left = [found for cell in each_chapter.text for found in re.findall(r"@[A-Z_]+@|\bTODO\b|\bTBD\b", cell.source)]
    assert not left


def test_the_last_sections_are_there(each_chapter: Any):
    lines = [line.lower() for cell in each_chapter.text for line in prose(cell).splitlines() if line.startswith("#")]
    missing = [section for section in SECTIONS if not any(section in line for line in lines)]
    assert not missing


def test_exercises_have_folded_hints_and_solutions(each_chapter: Any):
    summaries = []
    for cell in each_chapter.text:
        folds = re.findall(r"<details>(.*?)</details>", cell.source, flags=re.DOTALL)
        assert cell.source.count("<details>") == cell.source.count("</details>") == len(folds), cell.source[:200]
        for fold in folds:
            assert re.match(r"\s*<summary>.+</summary>\n\n.*\n\n\Z", fold, flags=re.DOTALL), fold[:200]
            summaries.append(re.search(r"<summary>(.*?)</summary>", fold)[1].lower())
    assert any("hint" in summary for summary in summaries)
    assert any("solution" in summary for summary in summaries)


PLANTED = [
    (test_markdown_is_portable, 7, "See {doc}`notation`."),
    (test_markdown_is_portable, 7, ":::{note}\nlook\n:::"),
    (test_markdown_is_portable, 7, "```{note}\nlook\n```"),
    (test_markdown_is_portable, 7, "(label)=\n# A"),
    (test_links_are_absolute, 7, "[notation](notation.md)"),
    (test_display_formulas_stand_alone_between_blank_lines, 7, "$$ E $$"),
    (test_display_formulas_stand_alone_between_blank_lines, 7, "text\n$$\nE\n$$"),
    (test_equation_tags_are_unique_and_references_find_them, 7, "By (1.2) it holds."),
    (test_equation_tags_are_unique_and_references_find_them, 7, "$$\nE \\tag{1.1}\n$$"),
    (test_equation_tags_are_unique_and_references_find_them, 7, "$$\nE \\tag{2.1}\n$$"),
    (test_the_head_says_what_the_chapter_costs, 0, "# 1 · A chapter\n\n1 min on 2 CPU cores or a GPU."),
    (test_nothing_is_left_to_be_filled_in, 2, "About @TIME@ s."),
    (test_the_last_sections_are_there, 7, "## Takeaways\n\n## Exercises"),
    (test_exercises_have_folded_hints_and_solutions, 8, "<details>\n<summary>Hint</summary>\nThink.\n</details>"),
    (test_exercises_have_folded_hints_and_solutions, 8, "<details>\n<summary>Hint</summary>\n\nThink.\n"),
    (test_exercises_have_folded_hints_and_solutions, 9, "## Further reading"),
]


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, *_ in PLANTED), ids=lambda rule: rule.__name__[5:])
def test_a_chapter_can_keep_the_rule(sample: Callable[..., Any], rule: Callable[[Any], None]):
    rule(sample())


@pytest.mark.parametrize("rule, cell, text", PLANTED)
def test_a_planted_error_is_caught(sample: Callable[..., Any], rule: Callable[[Any], None], cell: int, text: str):
    chapter = sample(lambda cells: cells[cell].update(source=text))
    with pytest.raises(AssertionError):
        rule(chapter)
