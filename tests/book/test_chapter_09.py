"""Chapter 9: its bare method is the package's, its exact search is exact, its first table is that of its cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ebm_course.core import Conditioned
from ebm_course.energies.spen import Spen, chain_energy
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.energies.word_encoder import WordEncoder
from ebm_course.exercises import WrongAnswer, check
from ebm_course.objectives.tagging_terms import l1_cost
from ebm_course.recipes.structured import spen_gradient
from ebm_course.recipes.structured.parts import Learner, adam
from ebm_course.results import ledger
from ebm_course.samplers.relaxed_descent import relaxed_descent
from ebm_course.tasks.agreement import agreement

NAME = "09_structured_prediction_energy_networks"
RECORD = "structured-cpu-data=toy"
G = torch.Generator()


@pytest.fixture(scope="module")
def bare(chapter: Callable[[str], Any]) -> dict[str, Any]:
    return chapter(NAME).run("bare")


def source(opened: Any, name: str) -> str:
    (cell,) = [cell for cell in opened.notebook.cells if cell["id"] == f"09-{name}"]
    return cell.source


def printed(opened: Any, name: str) -> str:
    (cell,) = [cell for cell in opened.code if cell["id"] == f"09-{name}"]
    return "".join(output.get("text", "") for output in cell.outputs)


def chain(seed: int, n: int = 4, length: int = 5, k: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (n, length, k) and transitions (k + 1, k + 1)."""
    drawn = torch.Generator().manual_seed(seed)
    return torch.randn(n, length, k, generator=drawn), torch.randn(k + 1, k + 1, generator=drawn)


def test_the_bare_method_takes_at_most_25_lines(chapter: Callable[[str], Any]):
    (cell,) = [cell for cell in chapter(NAME).tagged("bare") if cell.cell_type == "code"]
    assert sum(bool(line.strip()) for line in cell.source.splitlines()) <= 25


@pytest.mark.parametrize("seed", range(3))
def test_the_bare_energy_and_descent_equal_the_package(bare: dict[str, Any], seed: int):
    scores, w = chain(seed)
    y = torch.randn(scores.shape, generator=torch.Generator().manual_seed(seed + 9)).softmax(2)
    torch.testing.assert_close(bare["energy"](scores, w, y), chain_energy(scores, w, None, y))
    energy = Conditioned(lambda s, m, z: chain_energy(s, w, m, z), scores, torch.ones(4, 5, dtype=torch.bool))
    moved = relaxed_descent(energy, y, n_steps=7, step_size=0.4, generator=G).x
    torch.testing.assert_close(bare["descend"](lambda z: bare["energy"](scores, w, z), y, 7, 0.4), moved)
    assert (moved - y).abs().max() > 0.1


@pytest.mark.parametrize("n_steps, step_size", [(1, 0.1), (20, 1.0)])
def test_the_bare_margin_loss_is_that_of_a_packaged_update(bare: dict[str, Any], n_steps: int, step_size: float):
    made = agreement(n_train=60, n_valid=2, n_test=2)
    rows = made.task.train[made.task.train.lengths == 9]
    torch.manual_seed(0)
    net = Spen(WordEncoder(made.vocabulary.n_values_of_columns, width=8), 7)
    gold = F.one_hot(rows.y, 7).float()
    ours = bare["margin_loss"](net.unary(rows.x, rows.mask), net.transitions, gold, n_steps, step_size)
    gradient = torch.autograd.grad(ours, net.transitions)[0]
    config = replace(spen_gradient.NOTEBOOK, n_descent_steps=n_steps, descent_step_size=step_size)
    logged = spen_gradient.make_step(Learner(net, adam(net, rate=1e-3)), config)(rows, G)
    torch.testing.assert_close(ours.detach(), logged["loss"])
    assert net.transitions.grad is not None and ours > 1
    torch.testing.assert_close(gradient, net.transitions.grad, atol=1e-4, rtol=1e-3)


def test_the_bare_margin_loss_is_cut_at_zero_in_each_sentence(bare: dict[str, Any]):
    gold = F.one_hot(torch.tensor([[0, 1, 2, 1]] * 2), 3).float()
    scores, w = torch.stack([30 * gold[0], -gold[1]]), torch.zeros(4, 4)  # one sentence is far from its margin
    easy, hard = (bare["margin_loss"](scores[n : n + 1], w, gold[n : n + 1], 1, 0.1) for n in range(2))
    assert easy == 0 and hard > 1
    torch.testing.assert_close(bare["margin_loss"](scores, w, gold, 1, 0.1), hard / 2)


def test_the_cost_of_the_bare_loss_is_the_l1_distance():
    y = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)).softmax(2)
    gold = torch.tensor([[0, 1, 2, 3, 0]] * 3)
    torch.testing.assert_close((y - F.one_hot(gold, 4)).abs().sum((1, 2)), l1_cost(y, gold))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sharpness", [0.3, 3.0])
def test_the_bounded_search_finds_what_all_taggings_show(chapter: Callable[[str], Any], seed: int, sharpness: float):
    names: dict[str, Any] = {"torch": torch}
    exec(source(chapter(NAME), "bounded"), names)
    torch.manual_seed(seed)
    model = TagLanguageModel(3, width=4, hidden=6).requires_grad_(False)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)  # far from uniform: what is expected next hangs on all tags before
    scores, w = chain(seed, n=1)
    scores, every = sharpness * scores[0], torch.tensor(list(product(range(3), repeat=5)))
    e = chain_energy(scores.expand(len(every), 5, 3), w, None, every) + model(every)
    for ceiling in (float(e.min()), float(e[seed]), float(e.max())):  # good and poor ones
        tags, lowest, n_seen = names["bounded_search"](scores, w, model, ceiling)
        assert torch.equal(tags, every[e.argmin()])
        torch.testing.assert_close(lowest, e.min(), atol=1e-4, rtol=0)
        assert n_seen <= sum(3 ** (i + 1) for i in range(5))


def test_the_bounded_search_leaves_prefixes_out(chapter: Callable[[str], Any]):
    names: dict[str, Any] = {"torch": torch}
    exec(source(chapter(NAME), "bounded"), names)
    torch.manual_seed(0)
    model, (scores, w) = TagLanguageModel(3, width=4, hidden=6).requires_grad_(False), chain(0, n=1)
    _, lowest, every = names["bounded_search"](10 * scores[0], w, model, 1e6)
    assert names["bounded_search"](10 * scores[0], w, model, float(lowest))[2] < every / 5


def rows_of_the_first_table(opened: Any) -> list[list[str]]:
    lines = [line for line in source(opened, "title").splitlines() if line.startswith("| ")][1:]
    return [[part.strip() for part in line.split("|")[1:-1]] for line in lines]


def span(values: list[str]) -> str:
    """The lowest to the highest, as written."""
    ordered = sorted(values, key=float)
    return f"{ordered[0]} to {ordered[-1]}" if ordered[0] != ordered[-1] else ordered[0]


def test_the_answer_on_the_first_screen_is_that_of_the_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    rows = [outcome for _, _, outcome in rows_of_the_first_table(opened)]
    assert len(rows) == 9
    assert "0 of 30,000 tried" in printed(opened, "never-below")
    gaps = re.findall(r"rounded (\S+) nats", printed(opened, "gaps"))
    assert len(gaps) == 3 and f"at most {max(gaps, key=float)} nats" in rows[1]
    assert printed(opened, "twins").count("exactly one closer is right in 1,000") == 3 and "1,000 of 1,000" in rows[2]
    shares = re.findall(r"right tags (\S+)%, fillers \S+%, closers (\d+)%", printed(opened, "ceilings"))
    assert shares[1][0] == shares[2][0] and rows[3].startswith(
        f"{shares[1][1]} % of closers and {shares[1][0]} % of tags"
    )
    assert f"have more than {shares[0][0]}% right" in printed(opened, "ceilings")
    assert f"at most {shares[0][0]} % of tags" in rows[3]
    found = re.findall(r"right (\S+) by the chain, (\S+) with the model", printed(opened, "closers"))
    assert {share for _, share in found} == {
        "1.00"
    } and f"1.00, by the chain alone {span([a for a, _ in found])}" in rows[4]
    assert rows[5].startswith(span(re.findall(r"0\.\d\d", printed(opened, "blind"))))
    below = re.findall(r"below all tags in (\d+)% of sentences, at most by (\S+) nats", printed(opened, "not-near"))
    assert f"in {span([share for share, _ in below])} % of sentences" in rows[6]
    assert f"by up to {max((deep for _, deep in below), key=float)} nats" in rows[6]
    trained = re.findall(r"descent (\S+), exact likelihood (\S+)", printed(opened, "spen"))
    assert rows[7] == f"right tags {span([a for a, _ in trained])} and {span([b for _, b in trained])}"
    lines = {line[:38].rstrip(): line[38:].split() for line in printed(opened, "weak").splitlines()}
    weak = {what: span(lines[f"1 step of 0.1, {what}"]) for what in ("loss seen", "exact loss", "right tags")}
    strong, single = (span(lines[f"{name}, right tags"]) for name in ("10 steps of 1", "1 step of 1.0"))
    assert rows[8] == (
        f"loss seen {weak['loss seen']}, exact loss {weak['exact loss']}; "
        f"right tags {weak['right tags']}, not {strong}; with 1 step of 1 {single}"
    )


def test_what_is_said_of_the_control_of_one_longer_step_is_what_the_cell_prints(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    lines = {line[:38].rstrip(): line[38:].split() for line in printed(opened, "weak").splitlines()}
    seen, exact, gap, share, right = (
        [float(value) for value in lines[f"1 step of 1.0, {what}"]]
        for what in ("loss seen", "exact loss", "gap of the search", "largest share of a row", "right tags")
    )
    text = " ".join(source(opened, "break-read").split())
    assert f"shares of {min(share):.2f} to {max(share):.2f}" in text
    assert f"stops {min(gap):.0f} to {max(gap):.0f} nats above the exact minimum" in text
    lost = [b - a for a, b in zip(seen, exact, strict=True)]
    assert f"too small by {min(lost):.1f} to {max(lost):.0f} nats" in text
    assert f"{min(right):.2f} to {max(right):.2f} of the tags are right" in text


def test_what_is_said_of_sentences_below_all_tags_is_what_the_cell_prints(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    out, text = printed(opened, "both-parts"), " ".join(source(opened, "mixed-read").split())
    (up, down), (up_rest, down_rest) = re.findall(r"chain \+(\S+) \+ model -(\S+) =", out)
    assert f"by {up} nats where a row is mixed and by {up_rest} in the others" in text
    assert f"fall by more, {down} and {down_rest}" in text
    (n, total), (right, rest) = re.findall(r"in (\d+) of (\d+)", out)
    assert f"in {n} of the {total} sentences" in text and right == rest and f"all {rest} are the best tags" in text
    low, high, deep = re.findall(r"row (\S+) to (\S+), at most (\S+) nats", out)[0]
    assert f"share of {low} to {high}, they end at most {deep} nats" in text


def test_the_recorded_claims_of_the_first_screen_are_those_of_the_ledger(chapter: Callable[[str], Any]):
    text = source(chapter(NAME), "title")
    for name, _, here, verdict, _ in ledger.claim_rows(ledger.read(RECORD)):
        if name in ("toy/chain-closers", "toy/global-closers"):
            assert f"{here.partition(']')[0]}], {verdict}" in text


def test_what_the_chapter_says_of_the_recorded_runs_holds(chapter: Callable[[str], Any]):
    chapter(NAME).run("recorded")


PLANTED = [
    ("spen-gradient/exact/accuracy", 0.8),
    ("spen-gradient/exact/accuracy", 0.863),
    ("crf/descent/accuracy", 0.8),
    ("network-of-global/exact/closers", 0.9),
    ("bilstm/network/closers", 0.5),
]
"""An entry of the agreement language, and a value that would make a sentence untrue."""


@pytest.mark.parametrize("name, value", PLANTED)
def test_another_outcome_would_be_noticed(
    plant: Callable[..., None], chapter: Callable[[str], Any], name: str, value: float
):
    plant(f"toy/{name}", value)
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded")


@pytest.mark.parametrize("name", ["chain-closers", "global-closers"])
def test_another_verdict_would_be_noticed(chapter: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, name: str):
    record = ledger.read(RECORD)
    claims = [replace(j, verdict="undecided") if j.claim.name == f"toy/{name}" else j for j in record.claims]
    monkeypatch.setattr(ledger, "read", lambda key: replace(record, claims=tuple(claims)))
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded")


def test_the_chapter_has_seven_sections_and_at_most_eighty_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    numbers = [int(k) for cell in opened.text for k in re.findall(r"^## (\d+)\. ", cell.source, flags=re.MULTILINE)]
    assert numbers == list(range(1, 8)) and len(opened.notebook.cells) <= 80


def answered(opened: Any, exercise: str, answer: str) -> None:
    """Run a cell of an exercise as a student does who writes ``answer`` in the place of the missing function."""
    cell = source(opened, f"{exercise}-check")
    stub = re.compile(r"^def \w+\(.*\):\n    return None\n|^\w+ = None  # your function.*\n", flags=re.MULTILINE)
    assert len(stub.findall(cell)) == 1
    exec(stub.sub(lambda _: f"{answer}\n", cell), {"torch": torch, "F": F, "check": check})


STEP = "def step(mu, slope, step_size):\n    new = mu * (-step_size * slope).exp()\n    return new / new.sum({})"
ROUND = """def round_rows(scores, w, mu):
    k, mu, tags = scores.shape[1], mu.clone(), []
    for i in range(len(mu)):
        before = mu[i - 1] @ {w} if i > 0 else {start}
        after = {w} @ mu[i + 1] if i + 1 < len(mu) else {end}
        tags.append((scores[i] + before + after).argmax())
        mu[i] = F.one_hot(tags[-1], k)
    return {tags}"""
PARTS = {"w": "w[:k, :k]", "start": "w[k, :k]", "end": "w[:k, k]", "tags": "tags"}
ADDED = "def augmented_scores(scores, gold):\n    return scores {} F.one_hot(gold, scores.shape[2])"
ANSWERS = [
    ("ex2", STEP.format("-1, keepdim=True"), ""),
    ("ex2", STEP.format(""), "not all of them together"),
    ("ex3", ROUND.format_map(PARTS), ""),
    ("ex3", ROUND.format_map(PARTS | {"tags": "torch.stack(tags)"}), ""),
    ("ex3", ROUND.format_map(PARTS | {"start": "0"}), "start row of W is missing"),
    ("ex3", ROUND.format_map(PARTS | {"end": "0"}), "end column of W is missing"),
    ("ex3", ROUND.format_map(PARTS | {"w": "w[:k, :k].T"}), "scores tag l after tag k"),
    ("ex4", ADDED.format("- 2 *"), ""),
    ("ex4", ADDED.format("+ 2 - 2 *"), ""),  # 2 more for all others
    ("ex4", ADDED.format("+ 2 *"), "favours the right tags"),
    ("ex4", ADDED.format("-"), "counts 2 in the L1 distance"),
]
"""An exercise, a function, and what the check says of it; nothing where it is right."""


@pytest.mark.parametrize("exercise, answer, said", ANSWERS)
def test_a_right_function_is_taken_and_of_a_wrong_one_it_is_said_why(
    chapter: Callable[[str], Any], exercise: str, answer: str, said: str
):
    if not said:
        answered(chapter(NAME), exercise, answer)
        return
    with pytest.raises(WrongAnswer, match=re.escape(said)):
        answered(chapter(NAME), exercise, answer)
