"""Chapter 8: its bare functions are the package's, its first table and its sentences are the ledger's."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.display import Markdown

from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint
from ebm_course.exercises import WrongAnswer, check
from ebm_course.experiments.images.config import GPU, PAPER
from ebm_course.experiments.images.findings import TABLE_1
from ebm_course.experiments.images.search_presets import SEARCH
from ebm_course.experiments.images.searching import gradients, settings
from ebm_course.figures.curves import curves
from ebm_course.figures.image_grid import image_grid
from ebm_course.figures.legend import legend_below
from ebm_course.figures.style import GREY
from ebm_course.recipes.images.jem import joint_loss
from ebm_course.recipes.images.robust_classifier import adversarial
from ebm_course.results import ledger
from ebm_course.results.findings import Verdict
from ebm_course.results.record import Record
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.pgd import pgd

NAME = "08_robust_jem"
NAMES = {"plt": plt, "np": np, "curves": curves, "legend_below": legend_below, "Markdown": Markdown}
NAMES |= {"GREY": GREY, "image_grid": image_grid}
DATA = ("digits", "mnist", "cifar10")
CLAIM_ROWS = {
    "robust-0.3": "The classifier inside is robust",
    "robust-0.1": "The same at radius 0.1",
    "stability": "Training is more stable",
    "distance": "Samples by Langevin steps are nearer to the data than JEM's",
    "classifier-distance": "They are nearer than those of a robust classifier",
    "score": "They have a higher score than JEM's",
    "combined-score": "Combined inference has a higher score",
    "combined-distance": "Combined inference is further from the data",
    "diversity": "Samples are less diverse than JEM's",
    "best-combined": "Some setting of combined inference is nearer",
    "foreign": "Foreign images are told from data as well or better",
    "calibration": "JEM is better calibrated than the classifier",
}
"""Name of a claim on digits -> how its row on the first screen begins."""


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))


@pytest.mark.parametrize("seed", range(3))
def test_the_bare_attack_chains_and_loss_equal_the_package(chapter: Callable[[str], Any], seed: int):
    torch.manual_seed(seed)
    names, net = chapter(NAME).run("bare"), ConvNet((1, 8, 8), 10, width=4).double()
    x, y = 2 * torch.rand(6, 1, 8, 8, dtype=torch.float64) - 1, torch.randint(10, (6,))
    joint, generator = Joint(net), torch.Generator().manual_seed(seed)
    options = {"radius": 0.3, "n_steps": 5, "random_start": False, "generator": generator}
    attacked = pgd(joint.log_likelihood(y), x, **options).x
    walked = langevin(joint, x, n_steps=10, step_size=1.0, noise_std=0.0, generator=generator).x
    conditional = adversarial({"attacked": net(attacked)}, y, clean_share=0.0)
    loss = joint_loss(conditional, net(x), net(walked), weight=1.0, l2=0.0).value

    assert (attacked - x).abs().max() > 0.29 and (walked - x).abs().max() > 1e-3
    torch.testing.assert_close(names["attack"](net, x, y, 0.3, 5), attacked)
    torch.testing.assert_close(names["langevin_steps"](net, x, 10, 1.0, 0.0), walked)
    torch.testing.assert_close(names["robust_jem_loss"](net, x, y, attacked, walked), loss)


def test_the_method_bare_has_at_most_25_lines(chapter: Callable[[str], Any]):
    lines = [line for cell in chapter(NAME).tagged("bare") for line in cell.source.splitlines() if line.strip()]
    assert len(lines) <= 25


def first_table(text: str) -> dict[str, tuple[str, str]]:
    """Name of a claim -> mean with interval, and verdict, of the table on the first screen."""
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    found = {}
    for (name, start), row in zip(CLAIM_ROWS.items(), rows[1:], strict=True):
        assert row[0].startswith(start), row
        found[name] = (row[2], row[3])
    return found


def recorded_claims() -> dict[str, tuple[str, str]]:
    """The same from the ledger."""
    rows = {name: (here.partition(",")[0] if "[" not in here else here.partition("]")[0] + "]", verdict)
            for name, _, here, verdict, _ in ledger.claim_rows(ledger.read("images-cpu-data=digits"))}  # fmt: skip
    return {name: rows[f"digits/{name}"] for name in CLAIM_ROWS}


def test_the_first_screen_has_the_differences_and_verdicts_of_the_ledger(chapter: Callable[[str], Any]):
    assert first_table(chapter(NAME).notebook.cells[0].source) == recorded_claims()


def test_the_first_screen_has_every_claim_on_digits():
    names = [judged.claim.name for judged in ledger.read("images-cpu-data=digits").claims]
    assert set(CLAIM_ROWS) == {name.removeprefix("digits/") for name in names if name.startswith("digits/")}


@pytest.mark.parametrize("verdict", ["holds", "undecided"])
def test_another_verdict_on_the_first_screen_would_be_noticed(chapter: Callable[[str], Any], verdict: str):
    text = chapter(NAME).notebook.cells[0].source
    assert f"| {verdict} |" in text
    assert first_table(text.replace(f"| {verdict} |", "| reverses |", 1)) != recorded_claims()


def test_the_published_numbers_are_those_of_table_1(chapter: Callable[[str], Any]):
    [cell] = [cell for cell in chapter(NAME).code if cell["id"] == "08-table-1-recorded"]
    written = dict(re.findall(r'"([\w-]+/\w+)": "(\d\.\d\d / \d\d\.\d\d)"', cell.source))
    assert written == {
        name.removeprefix("cifar10/"): f"{score} / {distance}" for name, (score, distance) in TABLE_1.items()
    }


def test_what_the_chapter_says_of_the_recorded_runs_holds(chapter: Callable[[str], Any]):
    chapter(NAME).run("recorded", **NAMES)


GRID = "robust-jem/grid/gaussians"
PLANTED = [
    ("digits/robust-jem/pgd-0.3", 0.2),
    ("digits/robust-jem/accuracy", 0.99),
    ("digits/robust-classifier/pgd-0.1", 0.5),
    ("digits/robust-classifier/pgd-0.3", 0.63),
    ("digits/robust-classifier/accuracy", 0.93),
    ("digits/classifier/accuracy", 0.98),
    ("digits/jem/pgd-0.5", 0.9),
    ("digits/jem/calibration", 0.01),
    ("digits/step-10/robust-jem/updates", 1000.0),
    ("digits/robust-jem-adversarial/buffer/distance", 1.0),
    ("digits/robust-jem/restarts", 1.0),
    ("digits/jem/pgd-0.2", 0.3),
    ("digits/robust-classifier/towards/score", 7.0),
    ("digits/robust-jem/long/distance", 5.0),
    ("digits/robust-jem/combined/score", 5.0),
    ("digits/robust-classifier/pgd-0.2", 0.5),
    ("digits/jem/buffer/distance", 15.0),
    ("digits/robust-jem/combined/recall", 0.9),
    ("digits/anchors/means/score", 5.0),
    ("digits/classifier/long/distance", 10.0),
    ("digits/robust-jem/short/distance", 1.0),
    ("digits/robust-jem/buffer/distance", 200.0),
    (f"digits/{GRID}/radius-0.5/contrast-1/class/steps-0/distance", 1.0),
    (f"digits/{GRID}/radius-0.5/contrast-0.8/class/steps-50/distance", 50.0),
    (f"digits/{GRID}/radius-0/contrast-1/class/steps-10/mean_energy", 5.0),
    (f"digits/{GRID}/radius-0.5/contrast-1/class/steps-10/distance", 5.0),
    (f"digits/{GRID}/radius-0.1/contrast-1/all/steps-10/distance", 5.0),
    (f"digits/{GRID}/radius-0/contrast-0.8/class/steps-10/distance", 90.0),
    (f"digits/{GRID}/radius-1/contrast-1/class/steps-0/distance", 40.0),
    (f"digits/{GRID}/radius-0.3/contrast-1/class/steps-0/distance", 60.0),
    (f"digits/{GRID}/radius-0.1/contrast-1/class/steps-0/mean_energy", 5.0),
    (f"digits/{GRID}/radius-1/contrast-0.8/all/steps-10/distance", 50.0),
    (f"digits/{GRID}/radius-1/contrast-1/class/steps-0/mean_energy", -5.0),
    (f"digits/{GRID}/radius-0.3/contrast-0.8/all/steps-50/distance", 90.0),
    (f"digits/{GRID}/radius-0.2/contrast-0.8/all/steps-50/distance", 5.0),
    ("digits/robust-jem/energy-of-data", -5.0),
    ("digits/robust-jem/grid/noise/radius-0.5/contrast-0.8/class/steps-10/distance", 900.0),
    ("digits/robust-jem/grid/noise/radius-0/contrast-0.8/class/steps-50/distance", 1.0),
    ("mnist/jem/accuracy", 0.9),
    ("mnist/robust-classifier/pgd-0.2", 0.5),
    ("mnist/robust-jem/restarts", 1.0),
    ("mnist/anchors/train/score", 9.95),
    ("mnist/anchors/means/score", 9.95),
    ("mnist/anchors/means/score", 9.48),
    ("mnist/robust-jem/combined/recall", 0.5),
    ("mnist/robust-jem/combined/distance", 15.0),
    ("mnist/jem/short/distance", 25.0),
    ("mnist/robust-jem/short/distance", 25.0),
    (f"mnist/{GRID}/radius-0.5/contrast-0.8/class/steps-50/distance", 10.0),
    ("mnist/robust-jem/buffer/distance", 15.0),
    ("mnist/robust-jem-adversarial/buffer/distance", 6.0),
    ("mnist/robust-jem-adversarial/combined/distance", 60.0),
    ("claims/mnist/distance", 0.5),
    ("cifar10/robust-jem/pgd-0.1", 0.02),
    ("cifar10/robust-jem/accuracy", 0.6),
    ("cifar10/jem/restarts", 1.0),
    ("cifar10/robust-classifier/towards/distance", 20.0),
    ("cifar10/jem/long/distance", 5.0),
    ("cifar10/robust-jem/best-combined/distance", 3.0),
    ("cifar10/robust-jem/combined/distance", 5.0),
    ("cifar10/robust-jem/short/distance", 12.0),
    ("cifar10/robust-jem/buffer/distance", 9.0),
    ("cifar10/anchors/train/score", 9.0),
    ("claims/cifar10/diversity", -0.5),
    (f"cifar10/{GRID}/radius-0.5/contrast-0.8/class/steps-50/distance", 5.0),
    (f"cifar10/{GRID}/radius-0.1/contrast-1/class/steps-0/distance", 40.0),
    (f"mnist/{GRID}/radius-0/contrast-0.8/class/steps-0/distance", 5.0),
    ("mnist/robust-classifier/short/distance", 5.0),
    ("mnist/jem/combined/distance", 5.0),
    ("mnist/robust-jem/best-combined/distance", 3.0),
    ("cifar10/robust-classifier/short/distance", 8.9),
    ("cifar10/jem/combined/score", 3.0),
    ("cifar10/jem/buffer/distance", 9.0),
    ("claims/digits/distance", -0.5),
    ("digits/jem-plus/long/distance", 30.0),
    ("digits/jem-plus/long/score", 8.5),
    ("digits/jem-plus/short/distance", 5.0),
    ("mnist/jem/calibration", 0.005),
    ("cifar10/classifier/calibration", 0.2),
    ("mnist/robust-jem/foreign/logsumexp", 0.7),
    ("mnist/classifier/foreign/logsumexp", 0.7),
    ("cifar10/classifier/foreign/logsumexp", 0.6),
    ("cifar10/robust-jem/foreign/logsumexp", 0.8),
    ("digits/robust-jem/foreign/logsumexp", 0.9),
    ("cifar10/anchors/means/score", 3.7),
    ("cifar10/anchors/means/recall", 0.1),
    ("mnist/anchors/paler/distance", 15.0),
    ("cifar10/anchors/paler/distance", 7.5),
]
"""An entry of digits, MNIST or CIFAR-10, and a value that would make a sentence untrue."""
PLANTED_AT_32 = [
    ("robust-jem/accuracy", 0.6),
    ("robust-jem/pgd-0.1", 0.04),
    ("robust-classifier/pgd-0.1", 0.18),
    ("robust-jem/long/score", 4.9),
    ("robust-jem/combined/score", 4.0),
    ("jem/combined/score", 4.5),
    ("anchors/train/score", 9.0),
    ("robust-jem/long/distance", 40.0),
    ("jem/long/distance", 40.0),
    ("robust-classifier/long/distance", 20.0),
    ("jem/short/distance", 40.0),
    ("robust-jem/short/distance", 40.0),
    ("robust-classifier/short/distance", 20.0),
    ("robust-classifier/towards/distance", 10.0),
    ("robust-jem/combined/distance", 10.0),
    ("robust-jem/best-combined/distance", 10.0),
    ("jem/buffer/distance", 5.0),
    ("jem/long/recall", 0.3),
    ("anchors/gaussians/precision", 0.5),
    ("anchors/noise/precision", 0.5),
    ("anchors/noise/recall", 0.1),
    ("jem/calibration", 0.05),
    ("classifier/foreign/logsumexp", 0.8),
    ("robust-jem/foreign/logsumexp", 0.9),
    ("jem/gap", 0.1),
    ("jem/restarts", 1.0),
    (f"{GRID}/radius-0.1/contrast-1/class/steps-0/distance", 90.0),
    (f"{GRID}/radius-0.5/contrast-1/class/steps-0/distance", 20.0),
    (f"{GRID}/radius-1/contrast-0.8/all/steps-50/distance", 20.0),
    (f"{GRID}/radius-0.1/contrast-0.8/all/steps-10/distance", 90.0),
    (f"{GRID}/radius-0.3/contrast-1/all/steps-50/distance", 10.0),
    (f"{GRID}/radius-0.5/contrast-0.8/class/steps-50/distance", 20.0),
]
"""The same of CIFAR-10 at 32 x 32 pixels; beside them stand differences of claims."""
AT_32 = [(f"cifar10/{name}", value) for name, value in PLANTED_AT_32]
AT_32 += [(f"claims/cifar10/{name}", v) for name, v in (("score", 0.5), ("diversity", 0.1), ("robust-0.1", 0.05))]
AT_32 += [("claims/cifar10/combined-distance", 0.5), ("claims/cifar10/classifier-distance", -0.5)]
SEARCHED = [
    ("digits/robust-classifier/with-attack/distance", 30.0),
    ("digits/robust-classifier/with-attack/distance", 5.0),
    ("digits/robust-classifier/without-attack/distance", 9.0),
    ("digits/robust-jem/with-attack/distance", 8.0),
    ("digits/robust-jem/without-attack/distance", 30.0),
    ("digits/robust-jem/search/step-0.1/noise-0.01/radius-0", 90.0),
    ("digits/robust-classifier/search/step-1/noise-0.01/radius-0", 10.0),
]
"""The same of the search over Langevin steps."""
DATA_OF = [(next(part for part in name.split("/") if part in DATA), name, value) for name, value in PLANTED]
KEYS = [(f"images-cpu-data={data}", name, value) for data, name, value in DATA_OF]


KEYS += [("images-search-data=digits", *planted) for planted in SEARCHED]


@pytest.mark.parametrize("key, name, value", [*KEYS, *(("images-gpu", name, value) for name, value in AT_32)])
def test_another_outcome_would_be_noticed(
    plant: Callable[..., None], chapter: Callable[[str], Any], key: str, name: str, value: float
):
    plant(name, value, key)
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded", **NAMES)


@pytest.mark.parametrize(
    "key, name, verdict",
    [
        ("images-cpu-data=mnist", "mnist/combined-score", "undecided"),
        ("images-cpu-data=mnist", "mnist/score", "holds"),
        ("images-cpu-data=mnist", "mnist/diversity", "reverses"),
        ("images-cpu-data=cifar10", "cifar10/robust-0.1", "holds"),
        ("images-gpu", "cifar10/score", "reverses"),
        ("images-search-data=digits", "digits/search-robust-classifier", "undecided"),
        ("images-search-data=digits", "digits/search-robust-jem", "reverses"),
    ],
)
def test_another_verdict_elsewhere_would_be_noticed(
    chapter: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, key: str, name: str, verdict: Verdict
):
    read = ledger.read

    def change(asked: str, **where: Any) -> Record:
        record = read(asked, **where)
        claims = (replace(c, verdict=verdict) if c.claim.name == name else c for c in record.claims)
        return replace(record, claims=tuple(claims)) if asked == key else record

    monkeypatch.setattr(ledger, "read", change)
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded", **NAMES)


@pytest.mark.parametrize(
    "cell, blank, answer, accepted",
    [
        ("08-ex-1-answer", "= None, None", "= 0.063, 64", True),
        ("08-ex-1-answer", "= None, None", "= 0.062, 64", False),
        ("08-ex-1-answer", "= None, None", "= 0.063, 63", False),
        ("08-ex-4-answer", "= None", "= (10, 2, 7.9)", True),
        ("08-ex-4-answer", "= None", "= (10, 2, 8)", False),
    ],
)
def test_answers_rounded_as_the_solutions_round_them_are_right(
    chapter: Callable[[str], Any], cell: str, blank: str, answer: str, accepted: bool
):
    [found] = [one for one in chapter(NAME).code if one["id"] == cell]
    assert blank in found.source
    wrong = pytest.raises(WrongAnswer) if not accepted else contextlib.nullcontext()
    with wrong:
        exec(found.source.replace(blank, answer, 1), {"np": np, "check": check})


def test_the_search_has_the_pairs_and_gradients_that_the_chapter_tells(chapter: Callable[[str], Any]):
    text = " ".join(" ".join(cell.source.split()) for cell in chapter(NAME).text)
    assert "among ten pairs of length and noise, two of them at the temperature of $p_\\theta$" in text
    assert "an attack costs 20 gradients" in text and "gives the steps alone up to 70 gradients" in text
    assert len(SEARCH.moves) == 10 and sum(abs(noise**2 - 2 * length) < 1e-4 for length, noise in SEARCH.moves) == 2
    assert SEARCH.n_attack_steps == 20 and max(gradients(setting, SEARCH) for setting in settings(SEARCH)) == 70


def test_no_grid_has_as_many_steps_as_a_small_attack_and_ten_steps_have_gradients(chapter: Callable[[str], Any]):
    text = " ".join(" ".join(cell.source.split()) for cell in chapter(NAME).text)
    assert "thirty, as many gradients as attack and steps together, are in no grid" in text
    for key in ("images-gpu", *(f"images-cpu-data={data}" for data in DATA)):
        found = {part for entry in ledger.read(key).entries for part in entry.name.split("/") if "steps-" in part}
        assert found == {"steps-0", "steps-10", "steps-50"}


def test_nets_have_the_sizes_that_the_chapter_tells(chapter: Callable[[str], Any]):
    text = " ".join(" ".join(cell.source.split()) for cell in chapter(NAME).text)
    assert "with 900 thousand weights; JEM++'s WRN-28-10, with 36 million, was not run" in text
    assert "has 36 million weights); ours have one million at most" in text
    robust, of_paper = (p.variant("cifar10/robust-jem").config for p in (GPU, PAPER))
    with torch.device("meta"):
        ours, theirs = (sum(p.numel() for p in c.net((3, 32, 32), 10).parameters()) for c in (robust, of_paper))
    assert round(ours, -5) == 900_000 and theirs // 10**6 == 36


def test_the_chapter_has_seven_sections_and_at_most_eighty_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    numbers = [int(k) for cell in opened.text for k in re.findall(r"^## (\d+)\. ", cell.source, flags=re.MULTILINE)]
    assert numbers == list(range(1, 8)) and len(opened.notebook.cells) <= 80
