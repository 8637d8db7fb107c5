"""The bare noise contrast and resampling of chapter 4 are the package's; its head says what the ledger holds."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.exercises import WrongAnswer
from ebm_course.experiments.claims import judged
from ebm_course.experiments.sequences.config import CLAIMS
from ebm_course.objectives.nce import residual_nce
from ebm_course.results import ledger
from ebm_course.results.findings import Entry
from ebm_course.results.record import Record
from ebm_course.runtime import Run
from ebm_course.samplers.resampling import resampling

NAME = "04_residual_energies_by_noise_contrast"


@pytest.fixture
def bare(chapter: Callable[[str], Any]) -> dict[str, Any]:
    return chapter(NAME).run("bare")


def small_world() -> tuple[Tensor, Tensor]:
    """The clerk p and the forgetful model q over the 112 states of section 1."""
    states = [(a, b, c) for a in range(4) for b in range(4) for c in range(7)]
    p = torch.tensor([14 if a + b == c else 1 for a, b, c in states], dtype=torch.float64) / 320
    return p, p.view(4, 4, 7).mean(dim=0, keepdim=True).expand(4, 4, 7).flatten()


def populations() -> tuple[Tensor, Tensor]:
    """Rows in which every state stands as often as p and q say."""
    p, q = small_world()
    everything = torch.arange(112)
    return tuple(everything.repeat_interleave((n * x).round().long()) for n, x in ((320, p), (1280, q)))


def test_the_bare_loss_and_its_gradient_equal_the_package(bare: dict[str, Any]):
    data, noise = populations()
    results = []
    for loss in (bare["noise_contrast"], lambda d, n: residual_nce(d, n).value):
        energy = torch.randn(112, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        value = loss(energy[data], energy[noise])
        results.append((value.detach(), *torch.autograd.grad(value, energy)))
    for mine, packaged in zip(*results, strict=True):
        torch.testing.assert_close(mine, packaged, rtol=0, atol=1e-14)


def test_the_bare_descent_ends_at_log_q_minus_log_p_where_the_package_has_no_gradient(bare: dict[str, Any]):
    (p, q), (data, noise) = small_world(), populations()
    energy, losses = bare["fit_table"](data, noise, 112)
    torch.testing.assert_close(energy, (q / p).log(), rtol=0, atol=1e-9)
    assert losses[0] == pytest.approx(2 * math.log(2))
    energy = energy.requires_grad_()
    (gradient,) = torch.autograd.grad(residual_nce(energy[data], energy[noise]).value, energy)
    assert gradient.abs().max() < 1e-12


def test_the_bare_resampling_has_the_packages_law_and_sample_sizes(bare: dict[str, Any]):
    p, q = small_world()
    energy, n, n_groups = (q / p).log(), 5, 20_000
    x = torch.multinomial(q, n * n_groups, replacement=True, generator=torch.Generator().manual_seed(0))
    kept, ess = bare["resample"](x, energy, n, generator=torch.Generator().manual_seed(1))
    packaged = resampling(lambda rows: energy[rows], x, group_size=n, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ess, packaged.info["ess"])
    # what a pick is worth on average, given the groups, is the same for both; picks of a group are independent
    mine, theirs = ((energy[rows] < -1).double() for rows in (kept, packaged.x))
    difference = mine - theirs
    assert difference.mean().abs() < 5 * difference.std() / n_groups**0.5


ROWS = {"three digits": "sequences-notebook", "ten digits": "sequences-cpu"}
"""What a row of the table in the chapter's head names -> the record that it is of."""


def recorded_row(record: Record) -> tuple[str, str, str]:
    """What that row has to say of Fig. 1b: ours, what the best of 80 gains, the verdict."""
    entry, oracle = record.entry("claims/figure-1b/residual-long"), record.curve("resampling/residual/oracle").mean()
    (found,) = (one for one in record.claims or judged(CLAIMS, record.entries) if one.claim.name == "figure-1b")
    ours = f"{entry.value:+.3f}, SD {entry.spread:.3f}, {len(entry.values)} runs".replace("-", "−")
    return ours, f"{oracle[-1] - oracle[0]:+.3f}", found.verdict


def rows_of_the_head(source: str) -> dict[str, str]:
    return {digits: line for line in source.splitlines() if line.startswith("|") for digits in ROWS if digits in line}


def test_the_table_of_the_head_says_what_the_ledger_holds(chapter: Callable[[str], Any]):
    head = next(cell.source for cell in chapter(NAME).notebook.cells if cell["id"] == "04-head")
    rows = rows_of_the_head(head)
    assert rows.keys() == ROWS.keys()
    for digits, name in ROWS.items():
        record = ledger.read(name)
        assert all(part in rows[digits] for part in recorded_row(record)), (digits, recorded_row(record))
        other = replace(record, entries=tuple(doubled(entry) for entry in record.entries))
        assert not all(part in rows[digits] for part in recorded_row(other))  # another outcome would be noticed


def test_the_row_of_eight_runs_says_what_the_ablation_holds(chapter: Callable[[str], Any]):
    head = next(cell.source for cell in chapter(NAME).notebook.cells if cell["id"] == "04-head")
    (row,) = (line for line in head.splitlines() if "eight independent runs" in line)
    record = ledger.read("ablation-gpu")
    found = next(one for one in record.claims if one.claim.name == "resampling")
    masked = record.entry("claims/masked/contrast/pooled/resampling")
    assert f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]" in row and f"| {found.verdict}" in row
    assert f"{masked.value:+.2f}, SD {masked.spread:.2f}" in row and found.n_runs == 8
    assert f"one kept out of {record.config['group_size']}" in row
    new = next(one for one in ledger.read("ablation-fresh").claims if one.claim == found.claim)
    assert f"On new rows and seeds {new.mean:+.2f} [{new.low:+.2f}, {new.high:+.2f}], {new.verdict} |" in row


def doubled(entry: Entry) -> Entry:
    return replace(entry, value=2 * entry.value + 1, values=tuple(2 * value + 1 for value in entry.values))


def test_the_table_of_the_head_says_what_the_stored_run_found(chapter: Callable[[str], Any]):
    cells = {cell["id"]: cell for cell in chapter(NAME).notebook.cells}
    printed = "".join(output.text for output in cells["04-few"].outputs)
    found = re.findall(r": (\S+ \[.*?\]), (holds|reverses|no effect|undecided)$", printed, flags=re.MULTILINE)
    assert len(found) == 2
    for numbers, verdict in found:
        assert f"| {numbers}, 3 runs | {verdict} |".replace("-", "−") in cells["04-head"].source


def test_the_chapter_is_as_short_as_its_message(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    text = "\n".join(cell.source for cell in opened.text)
    numbered = [int(number) for number in re.findall(r"^## (\d+)\. ", text, flags=re.MULTILINE)]
    assert numbered == list(range(1, 7))
    assert len(opened.notebook.cells) <= 75
    own = re.sub(r"\w+ of chapter \d+|\bYin \(\d+\)\. [^:]*|Sections \d[^:]*:", "", text)
    assert {int(number) for number in re.findall(r"[Ss]ections? (\d+)", own)} <= set(numbered)


WRONG = {
    1: ("best_accuracy = 0.74375", "a coin decides ties"),
    2: ("def forgotten(p, q, nu):\n    return (q / p).log()", "nu does not enter"),
    3: (
        "def ess_at(energies, beta):\n    w = torch.softmax(beta * energies, dim=0)\n    return 1 / w.square().sum()",
        "look at the sign",
    ),
    4: (
        "def law_of_two(q, energy):\n    w = q * (-energy).exp()\n    return w / w.sum()",
        "the limit of many proposals",
    ),
    5: ("def uniform_digits(n, generator):\n    return task.train.x[:n]", "not uniform"),
}
"""Exercise -> an answer that is wrong, and words of the reason that it gets."""


@pytest.mark.parametrize("number", WRONG)
def test_a_wrong_answer_is_told_why(chapter: Callable[[str], Any], number: int):
    opened = chapter(NAME)
    names = opened.run("given", torch=torch, run=Run(torch.device("cpu"), 0))
    cell = next(cell.source for cell in opened.notebook.cells if cell["id"] == f"04-ex{number}-try")
    exec("from ebm_course.exercises import check", names)
    exec(cell, names)
    answer, reason = WRONG[number]
    exec(answer, names)
    checks = [ast.unparse(node) for node in ast.parse(cell).body if ast.unparse(node).startswith("check(")]
    with pytest.raises(WrongAnswer, match=reason):
        exec("\n".join(checks), names)
