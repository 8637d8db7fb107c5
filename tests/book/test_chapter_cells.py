"""What a chapter's code cells and stored outputs owe their reader. Each rule is shown to catch an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

MAX_LINES = 25
MAX_BYTES = 10 * 2**20
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGETS = "application/vnd.jupyter.widget-state+json"
NETWORK = r"\b(requests|urllib|httpx|wget|curl|urlopen|urlretrieve|hf_hub_download|pooch)\b|^\s*[!%](pip|conda)\b"


def test_a_refresh_would_write_the_same_and_finds_no_fault(each_chapter: Any, script: Callable[[str], ModuleType]):
    assert script("refresh_notebooks").refresh(each_chapter.path, run=False) == []


def test_all_notebooks_together_are_small(each_chapter: Any):
    assert sum(path.stat().st_size for path in each_chapter.path.parent.glob("*.ipynb")) < MAX_BYTES


def test_cells_are_short(each_chapter: Any):
    lengths = {cell.source[:60]: len(cell.source.splitlines()) for cell in each_chapter.code}
    assert not {source: length for source, length in lengths.items() if length > MAX_LINES}


def test_figures_have_alternative_text(each_chapter: Any):
    for cell, output in each_chapter.outputs:
        if any(kind.startswith("image/") for kind in output.get("data", {})):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) >= 20, cell.source[:200]


def test_widgets_are_stored_and_not_compared(each_chapter: Any):
    stored = each_chapter.notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {})
    for cell, output in each_chapter.outputs:
        if WIDGET in output.get("data", {}):
            assert output.data[WIDGET]["model_id"] in stored, cell.source[:200]
            assert "nbval-ignore-output" in cell.metadata.get("tags", []), cell.source[:200]


def test_something_can_be_moved_and_something_moves_by_itself(each_chapter: Any):
    kinds = [output.get("data", {}) for _, output in each_chapter.outputs]
    assert any(WIDGET in data for data in kinds)
    assert any("animation" in data.get("text/html", "") for data in kinds)


def test_the_method_is_shown_bare(each_chapter: Any):
    bare = each_chapter.tagged("bare")
    assert bare
    assert not any("ebm_course" in cell.source for cell in bare)


def test_claims_are_asserted(each_chapter: Any):
    assert any(re.search(r"^\s*assert\b", cell.source, flags=re.MULTILINE) for cell in each_chapter.code)


def test_no_cell_changes_the_path_or_needs_the_network(each_chapter: Any):
    for cell in each_chapter.code:
        if "setup" not in cell.metadata.get("tags", []):
            assert "sys.path" not in cell.source
            assert not re.search(NETWORK, cell.source, flags=re.MULTILINE), cell.source[:200]


def source(k: int, text: str) -> Callable[[list[Any]], None]:
    return lambda cells: cells[k].update(source=text)


def no_outputs(k: int) -> Callable[[list[Any]], None]:
    return lambda cells: cells[k].update(outputs=[])


def no_metadata(k: int) -> Callable[[list[Any]], None]:
    return lambda cells: cells[k].metadata.clear()


PLANTED = [
    (test_all_notebooks_together_are_small, source(3, "x" * MAX_BYTES)),
    (test_cells_are_short, source(3, "x = 1\n" * 26)),
    (test_figures_have_alternative_text, no_metadata(4)),
    (test_widgets_are_stored_and_not_compared, no_metadata(5)),
    (test_widgets_are_stored_and_not_compared, lambda cells: cells[5].outputs[0].data[WIDGET].update(model_id="v")),
    (test_something_can_be_moved_and_something_moves_by_itself, no_outputs(5)),
    (test_something_can_be_moved_and_something_moves_by_itself, no_outputs(6)),
    (test_the_method_is_shown_bare, source(3, "from ebm_course.core import Energy")),
    (test_the_method_is_shown_bare, no_metadata(3)),
    (test_claims_are_asserted, lambda cells: [cells[k].update(source="print('it holds')") for k in (5, 6)]),
    (test_no_cell_changes_the_path_or_needs_the_network, source(3, "import sys\nsys.path.append('..')")),
    (test_no_cell_changes_the_path_or_needs_the_network, source(3, "!pip install x")),
    (test_no_cell_changes_the_path_or_needs_the_network, source(3, "urllib.request.urlopen(address)")),
]


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, _ in PLANTED), ids=lambda rule: rule.__name__[5:])
def test_a_chapter_can_keep_the_rule(sample: Callable[..., Any], rule: Callable[[Any], None]):
    rule(sample())


@pytest.mark.parametrize("rule, plant", PLANTED)
def test_a_planted_error_is_caught(sample: Callable[..., Any], rule: Callable[[Any], None], plant: Callable):
    chapter = sample(plant)
    with pytest.raises(AssertionError):
        rule(chapter)


def test_the_code_of_tagged_cells_can_be_run(sample: Callable[..., Any]):
    assert sample().run("bare")["energy"](3) == 9
    with pytest.raises(LookupError, match="carries the tag 'none'"):
        sample().run("none")
