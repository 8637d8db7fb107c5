"""The appendix of other trainings is what the ledger says: a row for every energy that was attacked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from ebm_course.experiments.sequences.config import CLAIMS
from ebm_course.results import ledger
from ebm_course.results.record import Record

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "book" / "appendix_sequences.md"


@pytest.fixture
def appendix(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("write_appendix")


def records(appendix: ModuleType) -> dict[str, Record]:
    return {size: ledger.read(name) for size, name in appendix.SOURCES.items()}


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_stored_page_is_that_of_the_ledger(appendix: ModuleType):
    assert PAGE.read_text(encoding="utf-8") == appendix.page(records(appendix)), "run `make results`"


@pytest.mark.parametrize(
    "name",
    [
        "grown/literal/free/correctness",
        "idea/l2/fooled",
        "memorised/grown/fooled",
        "options/likelihood/gain/free/exact",
    ],
)
def test_another_number_makes_another_page(appendix: ModuleType, planted: Callable[..., Record], name: str):
    other = {size: planted(record, name, 0.123) for size, record in records(appendix).items()}
    assert appendix.page(other) != PAGE.read_text(encoding="utf-8")


def test_every_energy_that_was_attacked_has_a_row_with_its_numbers(appendix: ModuleType):
    found, shown = records(appendix), {row[0]: row for row in rows(PAGE.read_text(encoding="utf-8"))}
    for record in found.values():
        for name in {*record.config["methods"], *(f"idea/{idea}" for idea in record.config["ideas"])}:
            assert name in appendix.attacked(found)
    for name, (words, n_runs) in appendix.attacked(found).items():
        values = [record.entry(f"{name}/fooled") for record in found.values()]
        assert [shown[words][k].split(" ± ")[0] for k in (4, 8)] == [f"{entry.value:.2f}" for entry in values]
        assert ("±" in shown[words][1]) == (n_runs > 1)


def test_the_claims_stand_with_the_verdicts_of_both_sizes():
    table = rows(PAGE.read_text(encoding="utf-8").split("## Trained")[0])[2:]
    assert [row[0] for row in table] == [claim.paper_says for claim in CLAIMS]
    assert all(re.match(r"\*\*(holds|undecided)\*\*: ", cell) for row in table for cell in row[1:])


def test_the_page_is_short_and_follows_the_results_in_the_table_of_contents():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) < 120
    for path in (ROOT / "_toc.yml", ROOT / "book" / "_toc.yml"):
        files = [page["file"] for part in yaml.safe_load(path.read_text())["parts"] for page in part["chapters"]]
        assert files[files.index("results") + 1] == "appendix_sequences"


def test_the_page_explains_every_search_of_its_table(appendix: ModuleType):
    table = PAGE.read_text(encoding="utf-8").split("## Other searches\n")[1].split("\n## ")[0]
    named = {part for row in rows(table)[2:] for part in re.split(r"-(?!10)", row[0].removeprefix("only-"))}
    assert named == {"current", "gain", "gain-10", "improve"} and all(f"*{name}*:" in table for name in named)
