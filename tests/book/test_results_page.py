"""The page of recorded results is what the ledger says, and its figures are those of the recorded numbers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ebm_course.experiments.ablation.experiment import EXPERIMENT as ABLATION
from ebm_course.experiments.claims import judge
from ebm_course.experiments.sequences.experiment import EXPERIMENT as SEQUENCES
from ebm_course.results import ledger
from ebm_course.results.findings import Claim, Curve, Entry, Judged, Work
from ebm_course.results.record import Record

BOOK = Path(__file__).parents[2] / "book"


def a_curve(name: str, paper: str | None = None) -> Curve:
    return Curve(name, "attack steps", [0.0, 5.0], "correctness [share]", [[0.1, 0.5], [0.3, 0.9]], paper)


RECORD = Record(
    name="sums",
    preset="cpu",
    command="python -m ebm_course reproduce sums --preset cpu --seed 0",
    commit="0123abc",
    hardware="a processor, cpu, 2 threads",
    torch="2.13.0",
    seconds=90.0,
    seeds=(0, 1),
    config={},
    entries=(Entry("correct", "Share that is right.", 0.5, "", "substantial", 0.1, (0.4, 0.6), 3.0),),
    curves=(a_curve("trained", "it rises"), a_curve("plain"), Curve("one", "n", [1.0], "ess", [[2.0]])),
    claims=(Judged(Claim("a", "It is right.", "correct", "higher", 0.1, "correct"), "holds", 0.5, 0.3, 0.7, 2),),
    work=(Work("one", 1.0, ("0123abc", "4567def"), ("a processor",)),),
)


@pytest.fixture
def results(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("write_results")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "_static").mkdir()
    return tmp_path


def test_the_stored_page_and_figures_are_those_of_the_ledger(results: ModuleType):
    assert results.faults(BOOK, ledger.records()) == [], "run `make results`"


def test_without_a_record_the_page_says_what_to_run(results: ModuleType):
    text = results.page([])
    assert "No experiment is recorded yet." in text
    assert "python -m ebm_course reproduce sequences --preset cpu --record" in text


def test_the_page_opens_with_what_was_decided_and_puts_the_older_experiment_last(results: ModuleType):
    older = dataclasses.replace(
        RECORD, name="sequences", claims=(dataclasses.replace(RECORD.claims[0], verdict="undecided"),)
    )
    text = results.page([older, dataclasses.replace(RECORD, claims=()), dataclasses.replace(RECORD, preset="gpu")])
    opened = text.partition("\n## ")[0]
    assert (
        "- [sums-gpu](#record-sums-gpu) *holds*: a\n- [sequences-cpu](#record-sequences-cpu) *undecided*: 1\n" in opened
    )
    assert "[sums-cpu]" not in opened  # it has no claims
    assert text.index("(record-sums-gpu)=\n### Preset gpu") < text.index("(record-sequences-cpu)=\n### Preset cpu")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_claims_and_one_figure_stand_first_and_everything_else_is_folded(
    results: ModuleType, book: Path, capsys: pytest.CaptureFixture[str]
):
    results.write(book, [RECORD])
    text = (book / "results.md").read_text()
    assert "recorded yet" not in text
    shown, folded = text.split("<details>")[0], text.split("<details>", 1)[1]
    rows = [cells(line) for line in shown.splitlines() if line.startswith("|")]
    assert rows[0] == list(ledger.CLAIM_TITLES)
    ours = "+0.5 [+0.3, +0.7], 2 runs; matters from +0.1"
    assert rows[2] == ["a", "It is right.", ours, "holds", "0.50 ± 0.10, correct"]
    for line in ("## sums", "### Preset cpu"):
        assert line in shown.splitlines()
    for line in (
        "- **command**: `python -m ebm_course reproduce sums --preset cpu --seed 0`",
        "- **hardware**: a processor, cpu, 2 threads, torch 2.13.0",
        "- **minutes**: 1.5",
        "- **commits of its stages**: 0123abc, 4567def",
    ):
        assert line in folded.splitlines() and line not in shown
    assert ["Share that is right.", "substantial", "0.50 ± 0.10", "2"] in [cells(line) for line in folded.splitlines()]
    pictures = re.findall(r"!\[([^\]]+)\]\(_static/([^)]+)\)", text)
    assert [name for _, name in pictures] == ["results-sums-cpu-1.svg", "results-sums-cpu-2.svg"]
    assert len(re.findall(r"!\[", shown)) == 1
    assert pictures[0][0] == (
        "correctness (share) against attack steps: trained from 0.2 to 0.7; plain from 0.2 to 0.7."
    )
    assert all((book / "_static" / name).read_text().startswith("<?xml") for _, name in pictures)
    assert results.faults(book, [RECORD]) == []
    assert "book/_static/results-sums-cpu-1.svg" in capsys.readouterr().out


def test_an_older_record_is_judged_by_the_claims_declared_since_and_the_page_says_so(results: ModuleType):
    old = ledger.read("sequences-notebook")
    claims, later = results.claims_of(dataclasses.replace(old, claims=()), SEQUENCES)
    assert later and [found.claim.name for found in claims] == ["figure-1a", "figure-2", "figure-2/plain", "figure-1b"]
    assert results.LATER in results.section(dataclasses.replace(old, claims=()), SEQUENCES)
    assert results.claims_of(RECORD, SEQUENCES) == (RECORD.claims, False)


@pytest.mark.parametrize(
    "better, low, high, told",
    [
        ("higher", -0.2, 0.04, True),
        ("higher", -0.2, 0.06, False),
        ("lower", -0.04, 0.2, True),
        ("lower", -0.06, 0.2, False),
        ("same", -0.2, 0.04, False),
    ],
)
def test_an_undecided_claim_whose_interval_is_against_it_is_named(
    results: ModuleType, better: Any, low: float, high: float, told: bool
):
    found = Judged(Claim("a", "It is right.", "correct", better, 0.05), "undecided", 0.0, low, high, 2)
    assert results.outside([found]).endswith(": a.") == told
    assert results.outside([dataclasses.replace(found, verdict="no effect")]) == ""
    text = results.section(dataclasses.replace(RECORD, claims=(found,)), None)
    assert ("leaves out every difference that would matter" in text.split("<details>")[0]) == told


def test_what_the_claims_measure_stands_beside_them(results: ModuleType):
    told = dataclasses.replace(SEQUENCES, measured="Digits that are right.", shared="Runs share rows.")
    shown = results.section(RECORD, told).split("<details>")[0].splitlines()
    assert shown.index("Digits that are right.") < shown.index("Runs share rows.")
    bare = results.section(dataclasses.replace(RECORD, claims=()), told).split("<details>")[0].splitlines()
    assert "Runs share rows." in bare and "Digits that are right." not in bare  # there is no claim to measure
    text = (BOOK / "results.md").read_text()
    assert ABLATION.measured and ABLATION.measured in text.splitlines()


def test_a_claim_on_a_logarithm_is_called_one_beside_its_table(results: ModuleType):
    seen = set()
    for record in ledger.records():
        claims, _ = results.claims_of(record, results.declared(record.name))
        for claim in (found.claim for found in claims):
            if "log10" in record.entry(claim.endpoint).what:
                seen.add(record.name)
                assert "log10" in claim.paper_says + results.declared(record.name).measured, claim.name
    assert seen == {"images", "likelihood", "structured", "text"}


def test_the_page_says_what_the_verdict_on_a_claim_of_no_difference_means(results: ModuleType):
    told = " ".join(results.HOW_TO_READ.split())
    assert "A claim with ± says that no difference matters: it *holds* where the difference is surely smaller" in told
    values = {"smaller": [0.01, -0.01, 0.02, -0.02, 0.0], "larger": [0.30, 0.32, 0.28, 0.31, 0.29]}
    claim = Claim("a", "Nothing changes.", "a", "same", 0.1)
    verdicts = {name: judge({claim: runs})[0].verdict for name, runs in values.items()}
    assert verdicts == {"smaller": "holds", "larger": "reverses"}


def test_the_stored_page_shows_the_claims_of_every_experiment_on_its_first_screens():
    text = (BOOK / "results.md").read_text()
    first_screens = [part.split("<details>")[0] for part in text.split("\n### ")[1:]]
    for shown in first_screens:
        assert len(shown.splitlines()) < 30 and shown.count("![") <= 1
    assert sum(shown.count("![") for shown in first_screens) == sum(bool(one.curves) for one in ledger.records())


def test_a_changed_number_is_seen_and_a_figure_of_no_record_goes(results: ModuleType, book: Path):
    results.write(book, [RECORD])
    other = dataclasses.replace(RECORD, curves=(a_curve("trained", "it rises"),))
    assert results.faults(book, [other]) == ["results.md", "results-sums-cpu-1.svg", "results-sums-cpu-2.svg"]
    shifted = Curve("one", "n", [1.0], "ess", [[2.0001]])  # rounds to the same in the text
    assert results.faults(book, [dataclasses.replace(RECORD, curves=(*RECORD.curves[:2], shifted))]) == [
        "results-sums-cpu-2.svg"
    ]
    results.write(book, [other])
    assert sorted(path.name for path in (book / "_static").iterdir()) == ["results-sums-cpu-1.svg"]


def test_a_changed_style_is_seen(results: ModuleType, book: Path, monkeypatch: pytest.MonkeyPatch):
    results.write(book, [RECORD])
    (book / "other.mplstyle").write_text("font.size: 12\n")
    monkeypatch.setattr(results, "STYLE", book / "other.mplstyle")
    assert results.faults(book, [RECORD]) == ["results-sums-cpu-1.svg", "results-sums-cpu-2.svg"]


def test_no_legend_covers_a_curve(results: ModuleType, monkeypatch: pytest.MonkeyPatch):
    drawn = []
    monkeypatch.setattr(results.plt, "close", drawn.append)
    results.draw([a_curve(f"curve {k}") for k in range(6)])
    monkeypatch.undo()
    (figure,) = drawn
    figure.canvas.draw()
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 <= figure.axes[0].get_tightbbox().y0
    results.plt.close(figure)


def test_a_figure_is_drawn_twice_to_the_same_file(results: ModuleType):
    assert results.draw(list(RECORD.curves[:2])) == results.draw(list(RECORD.curves[:2]))


def test_a_figure_holds_as_many_curves_as_there_are_colours(results: ModuleType):
    many = dataclasses.replace(RECORD, curves=tuple(a_curve(f"curve {k}") for k in range(8)))
    assert [len(group) for group in results.figures(many, None).values()] == [6, 2]


def test_curves_with_other_places_on_the_same_axis_share_a_figure(results: ModuleType):
    other = Curve("dense", "attack steps", [0.0, 1.0, 5.0], "correctness [share]", [[0.1, 0.2, 0.5]])
    record = dataclasses.replace(RECORD, curves=(a_curve("trained"), other))
    assert [[curve.name for curve in group] for group in results.figures(record, None).values()] == [
        ["trained", "dense"]
    ]
    assert b"dense" in results.draw([a_curve("trained"), other])


@pytest.mark.parametrize("values, log", [([0.1, 20.0], True), ([0.1, 5.0], False), ([0.0, 20.0], False)])
def test_values_over_decades_get_a_logarithmic_axis(results: ModuleType, values: list[float], log: bool):
    assert results.spans_decades(values) is log


@pytest.mark.parametrize(
    "names, title, own",
    [
        (["idea/l2/free", "idea/ema/free"], "idea, free", ["l2", "ema"]),
        (["a/free", "b/free"], "free", ["a", "b"]),
        (["draw/a", "draw/a/oracle"], "draw, a", ["draw/a", "oracle"]),
        (["a/free"], "a/free", ["a/free"]),
    ],
)
def test_a_legend_says_what_tells_curves_apart(results: ModuleType, names: list[str], title: str, own: list[str]):
    assert results.labels([a_curve(name) for name in names]) == (title, own)


def test_the_main_curves_of_an_experiment_are_drawn_and_no_others(results: ModuleType):
    names = ["grown/literal/free", "grown/literal/answer", "options/grown/gain/free", "resampling/residual"]
    record = dataclasses.replace(RECORD, name="sequences", curves=tuple(map(a_curve, names)))
    drawn = [curve.name for group in results.figures(record, SEQUENCES).values() for curve in group]
    assert drawn == ["grown/literal/free", "resampling/residual"]
