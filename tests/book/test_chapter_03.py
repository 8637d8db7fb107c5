"""Chapter 3: its bare language model is the package's, its first screen is the ledger's, other records are noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch

from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.experiments.carry.config import CPU
from ebm_course.experiments.claims import judged
from ebm_course.results import ledger
from ebm_course.results.record import Record
from ebm_course.samplers.ancestral import ancestral

NAME = "03_a_language_model_that_cannot_carry"
ORDERS = {"03-orders", "03-orders-figure", "03-verdicts"}


def test_the_bare_language_model_equals_the_package(chapter: Callable[[str], Any]):
    bare = chapter(NAME).run("bare")["BareLM"](16, 24)
    model = LSTMLanguageModel(16, width=24)
    model.load_state_dict(bare.state_dict())
    prompts = torch.full((50, 1), 2)
    x, log_q = bare.sample(prompts, 13, torch.Generator().manual_seed(0))
    drawn = ancestral(model, prompts, n_steps=13, generator=torch.Generator().manual_seed(0))
    assert torch.equal(x, drawn.x)
    torch.testing.assert_close(log_q, drawn.log_q)
    torch.testing.assert_close(bare.energy(x), model(x))
    torch.testing.assert_close(bare.energy(x), -log_q)


def first_screen(chapter: Callable[[str], Any]) -> list[str]:
    """Rows of the table of answers."""
    cells = {cell["id"]: cell.source for cell in chapter(NAME).notebook.cells}
    return [line for line in cells["03-head"].splitlines() if line.startswith("|")]


def test_the_answers_on_the_first_screen_are_those_of_the_ledger(chapter: Callable[[str], Any]):
    rows, record = first_screen(chapter), ledger.read("carry-cpu")
    exact = record.entry("plain/exact")
    assert exact.spread is not None
    assert f"{100 * exact.value:.1f} ± {100 * exact.spread:.1f} % of whole answers" in rows[2]
    for row, pair in ((rows[3], "mirrored-plain"), (rows[4], "columns-left-plain")):
        found = record.entry(f"claims/wasted/{pair}")
        assert found.spread is not None
        assert f"{abs(found.value):.2f} ± {found.spread:.2f} nats" in row, pair
        assert ("saves" in row) == (found.value < 0), pair


def test_the_first_screen_says_how_many_runs(chapter: Callable[[str], Any]):
    words = {2: "two", 3: "three", 4: "four", 5: "five"}[len(ledger.read("carry-cpu").seeds)]
    assert all(f"| {words} runs |" in row for row in first_screen(chapter)[2:5])


def planted(record: Record, name: str, values: tuple[float, ...]) -> Record:
    """The record with other values in one entry, its claims judged anew."""
    entries = tuple(replace(e, value=sum(values) / len(values), values=values) if e.name == name else e
                    for e in record.entries)  # fmt: skip
    return replace(record, entries=entries, claims=judged(CPU.claims, entries))


@pytest.mark.parametrize(
    "name, values",
    [
        ("plain/recited", (0.3, 0.3, 0.3)),
        ("columns-left/epoch", (130.0, 130.0, 130.0)),
        ("mirrored/epoch", (110.0, 110.0, 110.0)),
        ("plain/c1", (0.4, 0.4, 0.4)),
        ("plain/c4", (0.5, 0.5, 0.5)),
        ("claims/wasted/columns-left-plain", (0.5, 0.52, 0.48)),
        ("claims/wasted/mirrored-plain", (-2.0, -2.02, -1.98)),
        ("claims/wasted/columns-left-mirrored", (2.0, 2.02, 1.98)),
        ("claims/exact/columns-left-plain", (0.0, 0.01, -0.01)),
    ],
)
def test_another_outcome_would_be_noticed(
    chapter: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, name: str, values: tuple[float, ...]
):
    read = ledger.read
    monkeypatch.setattr(ledger, "read", lambda key: planted(read(key), name, values))
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    cells = [cell for cell in chapter(NAME).tagged("recorded") if cell["id"] in ORDERS]
    assert len(cells) == len(ORDERS)
    with pytest.raises(AssertionError):
        exec("\n".join(cell.source for cell in cells), {"plt": plt})


def test_the_cooled_energy_prefers_the_other_first_token_only_below_a_quarter():
    """What the solution of exercise 5 says."""
    joint = torch.tensor([[0.3, 0.3], [0.36, 0.04]], dtype=torch.float64)

    def first_is_zero(temperature: float) -> float:
        cooled = joint ** (1 / temperature)
        return float(cooled[0].sum() / cooled.sum())

    assert first_is_zero(0.5) == pytest.approx(0.18 / 0.3112)
    assert first_is_zero(0.27) > 0.5 > first_is_zero(0.26)
