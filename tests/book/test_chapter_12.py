"""Chapter 12: its bare method is the package's, a late push swings as derived, its first table is that of its cells."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from ebm_course.energies.reconstruction_head import Reconstructing
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.objectives.info_nce import Normaliser, frozen_nce, info_nce
from ebm_course.recipes.text import carl
from ebm_course.recipes.text.parts import Passed
from ebm_course.results import ledger
from ebm_course.results.findings import Verdict
from ebm_course.samplers.memory_bank import MemoryBank

NAME = "12_contrast_and_reconstruction"
RECORDS = {data: f"text-cpu-data={data}" for data in ("sst2", "sst2-minilm")}


@pytest.fixture(scope="module")
def bare(chapter: Callable[[str], Any]) -> dict[str, Any]:
    return chapter(NAME).run("bare")


def source(opened: Any, name: str) -> str:
    (cell,) = [cell for cell in opened.notebook.cells if cell["id"] == f"12-{name}"]
    return cell.source


def table(opened: Any, name: str) -> list[list[str]]:
    """Rows of the stored table of a cell."""
    (cell,) = [cell for cell in opened.code if cell["id"] == f"12-{name}"]
    lines = "".join(output.get("data", {}).get("text/markdown", "") for output in cell.outputs).splitlines()
    return [[part.strip() for part in line.strip("|").split("|")] for line in lines]


def test_the_bare_method_takes_at_most_25_lines(chapter: Callable[[str], Any]):
    (cell,) = [cell for cell in chapter(NAME).tagged("bare") if cell.cell_type == "code"]
    assert sum(bool(line.strip()) for line in cell.source.splitlines()) <= 25


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_bare_bank_is_the_packages(bare: dict[str, Any], momentum: float):
    g = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 5, 3, generator=g)
    bank = MemoryBank(5, 3, labels=torch.arange(5), momentum=momentum)
    bank.update(torch.arange(5), first)
    plain = normalize(first, dim=1)
    rows = torch.tensor([4, 1])
    bank.update(rows, second[rows])
    bare["update"](plain, rows, second[rows], momentum)
    torch.testing.assert_close(plain, bank.features)


@pytest.mark.parametrize("estimator", carl.ESTIMATORS)
def test_the_bare_contrasts_are_those_of_a_packaged_update(bare: dict[str, Any], estimator: str):
    g = torch.Generator().manual_seed(1)
    y, tau = torch.tensor([0, 1, 0, 1, 1, 0]), 0.2
    config = replace(carl.NOTEBOOK, temperature=tau, estimator=estimator)
    banks = carl.Contrast(y, 4, config, n_classes=2, fill_from=0)
    z, moved = torch.randn(2, 6, 4, generator=g)
    banks.store(torch.arange(6), *torch.randn(2, 6, 4, generator=g))
    passes = (Passed(torch.zeros(6, 2), torch.zeros(6, 1, 4), sentence) for sentence in (moved, z))
    package = banks.loss(*passes, y, 6, g).value
    negative, ours = y[:, None] != y, torch.zeros(())
    directions = ((moved, z, banks.clean, banks.of_perturbed), (z, moved, banks.perturbed, banks.of_clean))
    for anchor, pair, bank, normaliser in directions:
        sentences = normalize(anchor, dim=1), normalize(pair, dim=1), bank.features, negative
        if estimator == "softmax":
            ours = ours + bare["contrast"](*sentences, tau)
        else:
            ours = ours + bare["noise_contrast"](*sentences, normaliser.value, tau)
    torch.testing.assert_close(ours, package)


def test_the_bare_reconstruction_counts_real_words_alone(bare: dict[str, Any]):
    torch.manual_seed(0)
    module = Reconstructing(TextClassifier(20, 2, width=8)).eval()
    head, states = module.head, torch.randn(2, 3, 8)
    words, mask = torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([[True] * 3, [True, True, False]])
    parts = head.dense, head.norm, module.classifier.words.weight, head.bias
    ours = bare["reconstruction"](states, words, mask, *parts)
    torch.testing.assert_close(ours, head.loss(states, words, mask)[0])
    words[1, 2] = 11  # at a pad
    torch.testing.assert_close(bare["reconstruction"](states, words, mask, *parts), ours)


def test_the_softmax_does_not_see_a_shift_and_the_frozen_contrast_does():
    own, others, log_z = torch.tensor([0.5]), torch.tensor([[0.1, -0.2, 0.3]]), Normaliser(torch.device("cpu"))
    frozen = [frozen_nce(own + s, others + s, normaliser=log_z, n_rows=3).value for s in (0.0, 0.2)]
    softmax = [info_nce(own + s, others + s).value for s in (0.0, 0.2)]
    torch.testing.assert_close(softmax[0], softmax[1])
    assert abs(frozen[1] - frozen[0]) > 0.1


def late(gain: float, delay: int, n: int = 20_000) -> list[float]:
    x = [1.0] * (delay + 1)
    for _ in range(n):
        x.append(x[-1] - gain * x[-1 - delay])
    return x


@pytest.mark.parametrize("delay", [1, 4, 15])
def test_a_late_push_dies_out_exactly_below_the_derived_gain(delay: int):
    border = 2 * math.sin(math.pi / (2 * (2 * delay + 1)))
    assert max(map(abs, late(0.97 * border, delay)[-100:])) < 1e-2
    assert max(map(abs, late(1.03 * border, delay)[-100:])) > 1e2


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.8])
def test_the_content_of_a_row_is_as_old_as_the_chapter_says(momentum: float):
    ages = sum(k * (1 - momentum) * momentum**k for k in range(500))
    assert ages == pytest.approx(momentum / (1 - momentum))


def test_the_simulated_circle_keeps_labels_apart_only_with_a_young_bank(chapter: Callable[[str], Any]):
    names: dict[str, Any] = {"torch": torch, "normalize": normalize}
    exec(source(chapter(NAME), "simulate"), names)
    assert names["means"][0] < -0.7 and names["means"] == sorted(names["means"])
    slow = names["simulated"](16, rate=0.002)[2][-60:]
    assert slow.std() < names["simulated"](16, rate=0.02)[2][-60:].std() / 2  # (12.6): a smaller gain settles


def test_the_recorded_claims_of_the_first_screen_are_those_of_the_ledger(chapter: Callable[[str], Any]):
    lines = [line for line in source(chapter(NAME), "title").splitlines() if line.count(" | ") == 4][1:]
    cells = {
        data: [line.strip("| ").split(" | ")[k].rsplit(": ", 1) for line in lines]
        for k, data in ((2, "sst2"), (3, "sst2-minilm"), (4, "ag-news"))
    }
    for data, shown in cells.items():
        claims = {
            name: row
            for name, *row in ledger.claim_rows(ledger.read(f"text-cpu-data={data}"))
            if name.startswith(f"{data}/")
        }
        asked = [name for name in claims if not name.partition("/")[2].startswith(("freelb", "noise"))]
        assert len(asked) == len(shown) == 10
        for name, (here, verdict) in zip(asked, shown, strict=True):
            _, expected, judged, _ = claims[name]
            assert here.startswith(f"{expected.partition(']')[0]}]") and verdict == judged, name


def test_the_live_rows_of_the_first_screen_are_those_of_the_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    text = source(opened, "title")
    lines = {row[0]: row[2:] for row in table(opened, "repairs")}
    for arm in ("CARL, whole bank", "256 newest, M = 0", "FreeLB"):
        assert len(lines[arm]) == 5 and lines[arm][0].count(", ") == 2 and lines[arm][0] in text, arm
    (fooled,) = [row[1:] for row in table(opened, "reconstructions") if row[0] == "1.0"]
    assert f"{fooled[4]} of {fooled[1]}" in text


def test_what_the_chapter_says_of_the_recorded_runs_holds(chapter: Callable[[str], Any]):
    chapter(NAME).run("recorded", Markdown=str)


PLANTED = [
    ("carl/last/other-label", 0.5),
    ("carl/last/cosine", 0.5),
    ("freelb/last/other-label", 0.5),
    ("carl-fresh/last/other-label", 0.2),
    ("carl/last/pgd", 0.7),
    ("rar/reconstructed-0/changed", 0.0),
    ("rar/reconstructed-0/fooled", 0.3),
    ("rar/reconstructed-1/meaning", 0.9),
    ("rar/pgd-relative-0.1", 0.4),
    ("rar/text-norm", 2.2),
    ("rar/last/pgd", 0.1),
    ("carl-now/last/other-label", 0.0),
    ("carl-now/last/accuracy", 0.81),
    ("minilm/carl/last/other-label", 0.1),
    ("minilm/freelb/last/other-label", 0.1),
    ("minilm/freelb/last/pgd", 0.5),
    ("minilm/carl-fresh/last/other-label", 0.9),
    ("minilm/carl-light/last/other-label", 0.1),
    ("minilm/carl-light/last/pgd", 0.735),
    ("minilm/carl/last/accuracy", 0.9),
    ("minilm/carl-fresh/last/accuracy", 0.9),
    ("minilm/rar/text-norm", 6.0),
    ("minilm/rar/pgd-relative-0.02", 0.5),
    ("minilm/rar/last/pgd", 0.6),
]
"""An entry of film reviews, with MiniLM where it says so, and a value that would make a sentence untrue."""


@pytest.mark.parametrize("name, value", PLANTED)
def test_another_outcome_would_be_noticed(
    plant: Callable[..., None], chapter: Callable[[str], Any], name: str, value: float
):
    data, entry = ("sst2-minilm", name[7:]) if name.startswith("minilm/") else ("sst2", name)
    plant(f"{data}/{entry}", value, RECORDS[data])
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded", Markdown=str)


LATE = "text-cpu-data=sst2-variant=freelb,carl,carl-now-light,carl-softmax"
NEWS = "text-cpu-data=ag-news"
NEWS_MINILM = "text-cpu-n_attacked=300-data=ag-news-minilm-variant=plain,freelb,carl,carl-fresh,rar"
ELSEWHERE = [
    (LATE, "sst2/carl-now-light/last/other-label", -0.1),
    (LATE, "sst2/carl-now-light/last/accuracy", 0.82),
    (LATE, "sst2/carl-softmax/last/other-label", 0.2),
    (LATE, "sst2/carl-softmax/last/accuracy", 0.82),
    (LATE, "sst2/carl/last/accuracy", 0.79),
    (NEWS, "ag-news/carl/last/pgd", 0.68),
    (NEWS, "ag-news/carl-fresh/pgd-relative-0.1", 0.58),
    (NEWS, "ag-news/rar/pgd-relative-0.1", 0.5),
    (NEWS, "ag-news/rar/last/pgd", 0.67),
    (NEWS, "ag-news/carl-fresh/last/other-label", 0.45),
    (NEWS, "ag-news/carl-fresh/accuracy", 0.87),
    (NEWS, "ag-news/freelb/last/other-label", 0.1),
    (NEWS, "ag-news/freelb/accuracy", 0.84),
    (NEWS, "ag-news/plain-longer/accuracy", 0.85),
    (NEWS_MINILM, "ag-news-minilm/carl/last/pgd", 0.85),
    (NEWS_MINILM, "ag-news-minilm/rar/last/pgd", 0.7),
    (NEWS_MINILM, "ag-news-minilm/carl-fresh/last/other-label", 0.6),
    (NEWS_MINILM, "ag-news-minilm/freelb/last/other-label", 0.1),
    (NEWS_MINILM, "ag-news-minilm/carl/last/other-label", 0.3),
    (NEWS_MINILM, "ag-news-minilm/plain/last/pgd", 0.81),
    (NEWS_MINILM, "ag-news-minilm/carl/pgd-relative-0.02", 0.8),
    (NEWS_MINILM, "ag-news-minilm/rar/accuracy", 0.882),
    (NEWS_MINILM, "claims/ag-news-minilm/rar-accuracy", 0.0),
    (NEWS_MINILM, "ag-news-minilm/carl-fresh/accuracy", 0.89),
    (NEWS_MINILM, "ag-news-minilm/rar/text-norm", 9.0),
]
"""Entries of the late arms' record and of that on news, with values that would make a sentence untrue."""


@pytest.mark.parametrize("key, name, value", ELSEWHERE)
def test_another_outcome_in_another_record_would_be_noticed(
    plant: Callable[..., None], chapter: Callable[[str], Any], key: str, name: str, value: float
):
    plant(name, value, key)
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded", Markdown=str)


def test_what_the_first_screen_says_of_news_is_in_the_ledger(chapter: Callable[[str], Any]):
    here = {name: words for name, _, words, _, _ in ledger.claim_rows(ledger.read(NEWS))}
    by = [here[f"ag-news/{claim}"].split()[0] for claim in ("carl-robust", "fresh-robust")]
    text = " ".join(source(chapter(NAME), "title").split())
    assert f"by {by[0].lstrip('+')}, and with negatives of the last 16 updates alone by {by[1].lstrip('+')}." in text


JUDGED = RECORDS | {"ag-news": NEWS, "ag-news-minilm": NEWS_MINILM}


@pytest.mark.parametrize("data", JUDGED)
@pytest.mark.parametrize("name", ["collapse", "fresh-repairs", "rar-accuracy", "rar-distance"])
def test_another_verdict_would_be_noticed(
    chapter: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, name: str, data: str
):
    record, read = ledger.read(JUDGED[data]), ledger.read
    (old,) = [judged.verdict for judged in record.claims if judged.claim.name == f"{data}/{name}"]
    new: Verdict = "undecided" if old == "no effect" else "no effect"
    claims = [replace(j, verdict=new) if j.claim.name == f"{data}/{name}" else j for j in record.claims]
    other = replace(record, claims=tuple(claims))
    monkeypatch.setattr(ledger, "read", lambda key: other if key == JUDGED[data] else read(key))
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded", Markdown=str)


def test_the_chapter_has_six_sections_and_at_most_70_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    numbers = [int(k) for cell in opened.text for k in re.findall(r"^## (\d+)\. ", cell.source, flags=re.MULTILINE)]
    assert numbers == list(range(1, 7)) and len(opened.notebook.cells) <= 70
