"""Chapter 11: its bare method is the package's, and what its first screen says is what its cells and the record say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from ebm_course.core import Batch
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.figures.curves import curves
from ebm_course.figures.legend import legend_below
from ebm_course.recipes.text import freelb as recipe
from ebm_course.recipes.text.parts import Learner
from ebm_course.results import ledger
from ebm_course.training.freelb import freelb

NAME = "11_adversarial_training_of_text_classifiers"
RECORDS = {data: f"text-cpu-data={data}" for data in ("sst2", "sst2-minilm")}
CLAIMS = ("freelb-robust", "freelb-accuracy", "noise-robust")


@pytest.fixture(scope="module")
def bare(chapter: Callable[[str], Any]) -> dict[str, Any]:
    return chapter(NAME).run("bare")


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))


def source(opened: Any, name: str) -> str:
    (cell,) = [cell for cell in opened.notebook.cells if cell["id"] == f"11-{name}"]
    return cell.source


def printed(opened: Any, name: str) -> str:
    (cell,) = [cell for cell in opened.code if cell["id"] == f"11-{name}"]
    return "".join(output.get("text", "") for output in cell.outputs)


def sentences(dropout: float = 0.1) -> tuple[TextClassifier, Batch]:
    """A small net in float64 and five texts of two to six tokens."""
    torch.manual_seed(0)
    net = TextClassifier(20, 2, width=8, n_heads=2, dropout=dropout).double()
    mask = torch.arange(6) < torch.tensor([[6], [5], [4], [3], [2]])
    return net, Batch(torch.randint(5, 20, (5, 6)) * mask, torch.tensor([0, 1, 1, 0, 1]), mask)


def gradients(net: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


def test_the_bare_method_takes_at_most_25_lines(chapter: Callable[[str], Any]):
    (cell,) = chapter(NAME).tagged("bare")
    assert sum(bool(line.strip()) for line in cell.source.splitlines()) <= 25


@pytest.mark.parametrize("n_passes", [1, 2, 4])
@pytest.mark.parametrize("radius", [0.0, 0.07])
def test_the_bare_update_leaves_the_gradients_of_the_package(bare: dict[str, Any], n_passes: int, radius: float):
    net, rows = sentences()
    sizes = {"n_passes": n_passes, "step_size": 0.05, "noise_size": 0.1, "radius": radius}
    config = replace(recipe.NOTEBOOK, **sizes)
    torch.manual_seed(1)
    recipe.climb(Learner(net, config), rows, torch.Generator().manual_seed(2))
    expected = gradients(net)
    net.train().zero_grad()
    start = next(freelb(net.embed(rows.x), rows.mask, **sizes, generator=torch.Generator().manual_seed(2)))
    torch.manual_seed(1)
    bare["freelb_gradients"](net, rows.x, rows.y, rows.mask, start, n_passes, 0.05, rho=radius)
    torch.testing.assert_close(gradients(net), expected, rtol=0, atol=1e-12)
    assert expected.norm() > 0.01


def test_the_bare_start_has_the_length_of_the_formula_and_leaves_pads(bare: dict[str, Any]):
    mask = torch.arange(12) < torch.tensor([[12], [3]])
    e = torch.zeros(2, 12, 4000)
    torch.manual_seed(0)
    start = bare["noise"](e, mask, 0.6)
    assert (start[~mask] == 0).all()
    torch.testing.assert_close(start.flatten(1).norm(dim=1), torch.full((2,), 0.6 / 3**0.5), rtol=0.02, atol=0)


def test_the_bare_update_climbs_and_keeps_to_its_radius(bare: dict[str, Any]):
    net, rows = sentences(dropout=0.0)

    def loss(delta: torch.Tensor) -> torch.Tensor:
        return cross_entropy(net.logits_and_states(net.embed(rows.x) + delta, rows.mask)[0], rows.y)

    nothing = torch.zeros_like(net.embed(rows.x)).detach()
    free = bare["freelb_gradients"](net, rows.x, rows.y, rows.mask, nothing, 3, 0.05)
    bound = bare["freelb_gradients"](net, rows.x, rows.y, rows.mask, nothing, 3, 0.05, rho=0.08)
    assert loss(free) > loss(bound) > loss(nothing)
    torch.testing.assert_close(bound.flatten(1).norm(dim=1), torch.full((5,), 0.08, dtype=torch.float64))
    assert (free[~rows.mask] == 0).all()


def rows_of_the_first_table(opened: Any) -> list[list[str]]:
    lines = [line for line in source(opened, "title").splitlines() if line.startswith("| ")][1:]
    return [[part.strip() for part in line.split("|")[1:-1]] for line in lines]


def test_the_recorded_claims_of_the_first_screen_are_those_of_the_ledger(chapter: Callable[[str], Any]):
    rows = rows_of_the_first_table(chapter(NAME))
    assert len(rows) == 11
    records = [ledger.read(key) for key in RECORDS.values()]
    found = {name: (here, verdict) for one in records for name, _, here, verdict, _ in ledger.claim_rows(one)}
    names = [f"{data}/{claim}" for claim in CLAIMS for data in RECORDS]
    for (_, basis, outcome), name in zip(rows, names, strict=False):
        here, verdict = found[name]
        assert f"{here.partition(']')[0]}]" in basis and outcome == verdict, name


def test_the_other_rows_of_the_first_screen_are_those_of_the_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    rows = [(basis, outcome) for _, basis, outcome in rows_of_the_first_table(opened)]
    low, high = re.findall(r"from \+(\S+) to \+(\S+)", printed(opened, "recorded-table"))[0]
    assert f"by {low} to {high}" in rows[6][1]
    assert "is that of the mean loss: True" in printed(opened, "mean")
    assert printed(opened, "rises-shown").count("net ") == 3
    total, broken, turned = re.findall(
        r"(\S+) changes: (\S+) leave no sentence; of the others (\S+) mean", printed(opened, "swaps")
    )[0]
    assert total in rows[9][0] and rows[9][1] == f"{broken.replace('%', ' %')}, {turned.replace('%', ' %')}"
    assert printed(opened, "stretch").count("True") == 9 and printed(opened, "relative").count("True") == 3


def recorded(opened: Any) -> dict[str, Any]:
    names = {"np": np, "plt": plt, "curves": curves, "legend_below": legend_below, "Markdown": str}
    return opened.run("recorded", **names)


def test_what_the_chapter_says_of_the_recorded_runs_holds(chapter: Callable[[str], Any]):
    recorded(chapter(NAME))


PLANTED = [
    ("freelb/pgd-0.2", 0.3),
    ("freelb/pgd-relative-0.1", 0.3),
    ("freelb/text-norm", 1.5),
    ("plain/pgd-0.1", 0.6),
    ("plain/pgd-0.2", 0.3),
    ("noise/pgd-0.1", 0.6),
    ("noise/text-norm", 2.0),
    ("plain-longer/accuracy", 0.81),
    ("freelb-clean/pgd-0.2", 0.5),
    ("minilm/freelb/pgd-0.1", 0.6),
    ("minilm/freelb/pgd-relative-0.02", 0.6),
    ("minilm/freelb/text-norm", 6.0),
    ("minilm/plain-longer/accuracy", 0.89),
    ("minilm/noise/pgd-0.1", 0.7),
    ("news/freelb/accuracy", 0.84),
    ("news/plain/last/pgd", 0.66),
]
"""An entry of SST-2, with MiniLM or of news where it says so, and a value that would make a sentence untrue."""


@pytest.mark.parametrize("name, value", PLANTED)
def test_another_outcome_would_be_noticed(
    plant: Callable[..., None], chapter: Callable[[str], Any], name: str, value: float
):
    of, _, rest = name.partition("/")
    data, entry = {"minilm": ("sst2-minilm", rest), "news": ("ag-news", rest)}.get(of, ("sst2", name))
    plant(f"{data}/{entry}", value, f"text-cpu-data={data}")
    with pytest.raises(AssertionError):
        recorded(chapter(NAME))


@pytest.mark.parametrize("data", RECORDS)
@pytest.mark.parametrize("name", CLAIMS)
def test_another_verdict_would_be_noticed(
    chapter: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, name: str, data: str
):
    record, read = ledger.read(RECORDS[data]), ledger.read
    claims = [replace(j, verdict="reverses") if j.claim.name == f"{data}/{name}" else j for j in record.claims]
    other = replace(record, claims=tuple(claims))
    monkeypatch.setattr(ledger, "read", lambda key: other if key == RECORDS[data] else read(key))
    with pytest.raises(AssertionError):
        recorded(chapter(NAME))


def test_the_chapter_has_six_sections_and_at_most_65_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    numbers = [int(k) for cell in opened.text for k in re.findall(r"^## (\d+)\. ", cell.source, flags=re.MULTILINE)]
    assert numbers == list(range(1, 7)) and len(opened.notebook.cells) <= 65


def test_some_two_fifths_of_the_gain_are_length(chapter: Callable[[str], Any]):
    names = recorded(chapter(NAME))
    gone = [1 - (names["by_share"] / names["fixed"]).mean(), 1 - (names["relative"] / names["by_radius"]).mean()]
    assert all(0.35 < share < 0.45 for share in gone) and "two\n  fifths" in source(chapter(NAME), "recorded-read")
    text = source(chapter(NAME), "recorded-lengths").replace('free["text-norm"] / own', "np.ones(5)")
    with pytest.raises(AssertionError):  # nets of one length would keep the whole gain
        exec(text, names | {"base": names["values"]["plain"], "free": names["values"]["freelb"]})


def test_a_pass_with_the_weights_gradient_is_half_as_dear_again_as_an_ascent(chapter: Callable[[str], Any]):
    """What the text says of products of matrices, counted in a net whose attention is cheap beside its layers."""
    torch.manual_seed(0)
    net, x, y = TextClassifier(50, 2, width=64).eval(), torch.randint(5, 50, (16, 8)), torch.zeros(16).long()
    work = {}
    for of_weights in (False, True):
        leaf = net.requires_grad_(of_weights).embed(x).detach().requires_grad_()
        with FlopCounterMode(display=False) as counter:
            cross_entropy(net.logits_and_states(leaf, torch.ones_like(x).bool())[0], y).backward()
        work[of_weights] = counter.get_total_flops()
    assert work[True] / work[False] == pytest.approx(1.5, abs=0.02)
    assert "three in such a pass, forward and backward, where an ascent alone takes two" in source(
        chapter(NAME), "derive"
    )
