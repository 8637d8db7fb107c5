"""Numbers, curves and claims of hand-made results: each from its own weights, published numbers beside ours."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from ebm_course.experiments.text.arms import ALL as ARMS
from ebm_course.experiments.text.arms import TABLE
from ebm_course.experiments.text.config import CPU, PAPER, Config
from ebm_course.experiments.text.declared import ACCURACY, ROWS, claims
from ebm_course.experiments.text.findings import OF_A_SET, OF_TEXTS, findings
from ebm_course.experiments.text.sets import RECORDED
from ebm_course.recipes.text import rar
from ebm_course.results.findings import Curve, Entry, Findings

SST2, NEWS = "sst2", "ag-news"


class Made(dict[str, Any]):
    """Results of stages that took a second each."""

    def seconds(self, *names: str) -> float:
        return float(len([name for name in names if name in self]))


def under(value: float, radius: float) -> dict[str, float]:
    return {"pgd": value - radius, "cosine": 1 - radius, "euclidean": 10 * radius + value}


def measured(config: Config, data: str, i: int, k: int) -> dict[str, Any]:
    """Accuracy falls with the arm's number and rises with the run's; the last weights are 0.2 worse."""
    value, radii = 0.9 - i / 100 + k / 1000, config.radii_of(data)
    cosines = {"same-label": 0.5 + i / 100, "other-label": -0.2 + i / 100 + k / 100}
    last = {"accuracy": value - 0.2, "confidence": 0.7} | {name: v + 0.3 for name, v in cosines.items()}
    return {
        "accuracy": value,
        "confidence": 0.8,
        "word-norm": 1.5,
        "text-norm": 6.0 + i,
        "attacked": [under(value, radius) for radius in radii],
        "relative": [under(value, 0.3 + share) for share in config.relative_radii],
        "last": last | under(value - 0.2, max(radii)),
        "texts": {"train": 9_000, "valid": 1_000 + k, "test": 7_600},
        **cosines,
    }


def made(config: Config, data: str) -> Made:
    found = Made()
    for k in range(config.n_runs):
        for i, arm in enumerate(config.arms(data)):
            rows = [{"step": s, "valid_accuracy": s / 1e3, "loss": 1.0} for s in (108, 216)]
            found[arm.stage(k)] = {"rows": [*rows, {"step": 217, "loss": 0.5}]}
            found[f"{arm.stage(k)}-measured"] = measured(config, data, i, k)
            if arm.fit is rar.fit:
                found[f"{arm.stage(k)}-reconstructed"] = [
                    {name: j + (10 * radius) + k / 100 for j, name in enumerate(OF_TEXTS)}
                    for radius in config.reconstruction_radii
                ]
    for i, setting in enumerate(config.searched(data)):
        values = (0.5 + i / 100, 0.7 + i / 100, 0.6)
        found[setting.stage(0)] = {"rows": [{"step": s, "valid_accuracy": v} for s, v in enumerate(values)]}
    return found


def of(data: str, config: Config = CPU) -> Findings:
    config = replace(config, data=(data,))
    results: Any = made(config, data)
    return findings(config, results)


@pytest.fixture(scope="module")
def on_reviews() -> Findings:
    return of(SST2)


@pytest.fixture(scope="module")
def on_news() -> Findings:
    return of("ag-news-albert-base-v2", PAPER)


def entry(found: Findings, name: str) -> Entry:
    return next(entry for entry in found.entries if entry.name == name)


def curve(found: Findings, name: str) -> Curve:
    return next(curve for curve in found.curves if curve.name == name)


def number(arm: str) -> int:
    return ARMS.index(arm)


@pytest.mark.parametrize("data", RECORDED)
def test_every_claim_is_judged_by_entries_that_a_full_run_makes(data: str) -> None:
    found = of(data)
    names = [one.name for one in found.entries]
    asked = [claim for claim in CPU.claims if claim.name.startswith(f"{data}/")]
    assert len(asked) == len(ROWS) == 13 and len(set(names)) == len(names)
    assert {claim.endpoint for claim in asked} | {claim.control for claim in asked} <= set(names)
    assert all(len(entry(found, claim.endpoint).values) == 5 for claim in asked)


def test_claims_are_the_same_in_every_preset_and_no_control_is_what_is_claimed() -> None:
    assert PAPER.claims == CPU.claims == claims() and len(claims()) == 13 * len(RECORDED)
    for name, _, words, _, effect, control in ROWS:
        terms = [term.rpartition(" ")[2] for term in words.split(" - ")]
        assert control not in terms and terms[0] != terms[1] and effect > 0, name


def test_accuracy_is_claimed_of_the_best_validation_and_all_else_of_the_last_weights() -> None:
    for name, _, words, _, effect, control in ROWS:
        terms = [*(term.rpartition(" ")[2] for term in words.split(" - ")), control]
        if name.endswith("accuracy"):
            assert all(term.endswith("/accuracy") and "/last/" not in term for term in terms)
            assert effect == (2 * ACCURACY if name == "fresh-accuracy" else ACCURACY)
        else:
            assert all("/last/" in term for term in terms), name


def test_a_claim_is_a_difference_run_by_run(on_reviews: Findings) -> None:
    apart = (number("plain") - number("freelb")) / 100
    assert entry(on_reviews, f"claims/{SST2}/freelb-accuracy").values == pytest.approx([apart] * 5)
    assert entry(on_reviews, f"claims/{SST2}/freelb-robust").values == pytest.approx([apart] * 5)
    apart = (number("carl") - number("freelb")) / 100
    assert entry(on_reviews, f"claims/{SST2}/collapse").values == pytest.approx([apart] * 5)


def test_distances_differ_as_logarithms(on_reviews: Findings) -> None:
    ours, other = (entry(on_reviews, f"{SST2}/{arm}/last/euclidean").values for arm in ("carl", "freelb"))
    expected = [math.log10(a / b) for a, b in zip(ours, other, strict=True)]
    assert entry(on_reviews, f"claims/{SST2}/carl-distance").values == pytest.approx(expected)


def test_claims_whose_arms_were_not_asked_for_are_left_out() -> None:
    rows = tuple(variant for variant in CPU.variants if variant.name != f"{SST2}/carl")
    found = {one.name for one in of(SST2, replace(CPU, variants=rows)).entries if one.name.startswith("claims/")}
    there = {name for name, _, words, _, _, _ in ROWS if "carl/" not in words}
    assert found == {f"claims/{SST2}/{name}" for name in there} and "freelb-accuracy" in there


def test_a_set_that_is_not_recorded_has_numbers_and_no_claims() -> None:
    names = {one.name for one in of("yelp").entries}
    assert {f"yelp/{arm}/accuracy" for arm in TABLE} <= names
    assert not [name for name in names if name.startswith("claims/")]


def test_every_figure_stands_under_its_own_name(on_reviews: Findings) -> None:
    i, last = number("carl"), {"pgd": 0.9 - 0.2 - 0.2, "euclidean": 2.7, "accuracy": 0.7, "other-label": 0.1}
    expected = {"accuracy": 0.9, "confidence": 0.8, "same-label": 0.5, "other-label": -0.2, "word-norm": 1.5}
    expected |= {"pgd-0.03": 0.87, "pgd-0.2": 0.7, "cosine-0.1": 0.9, "pgd-relative-0.02": 0.9 - 0.32}
    expected |= {f"last/{name}": value for name, value in last.items()}
    falls = ("accuracy", "pgd", "euclidean")
    for name, value in expected.items():
        figure = name.removeprefix("last/").partition("-0")[0].removesuffix("-relative")
        moved = {"confidence": 0.0, "word-norm": 0.0, "cosine": 0.0}.get(figure, -i if figure in falls else i)
        assert entry(on_reviews, f"{SST2}/carl/{name}").values[0] == pytest.approx(value + moved / 100), name
    assert entry(on_reviews, f"{SST2}/carl/text-norm").value == pytest.approx(6.0 + i)
    assert entry(on_reviews, f"{SST2}/carl/accuracy").seconds == 5.0


def test_what_is_of_the_last_weights_and_at_which_radius_is_said(on_reviews: Findings, on_news: Findings) -> None:
    for found, data, top in ((on_reviews, SST2, "0.2"), (on_news, "ag-news-albert-base-v2", "0.1")):
        said = entry(found, f"{data}/carl/last/pgd").what
        assert "weights after the last update" in said and said.endswith(f"radius {top}.")
    assert (
        "5 steps of PGD on embeddings, 0.5 radius each, radius 0.03" in entry(on_reviews, f"{SST2}/plain/pgd-0.03").what
    )


def test_reconstructions_stand_beside_radius_0(on_reviews: Findings) -> None:
    for j, figure in enumerate(OF_TEXTS):
        for radius in (0.0, 0.1, 0.5, 1.0):
            values = entry(on_reviews, f"{SST2}/rar/reconstructed-{radius:g}/{figure}").values
            assert values == pytest.approx([j + 10 * radius + k / 100 for k in range(5)])
    assert not [one.name for one in on_reviews.entries if "reconstructed" in one.name and "/rar/" not in one.name]


def test_published_numbers_stand_beside_the_paper_s_rows_and_nowhere_else(
    on_reviews: Findings, on_news: Findings
) -> None:
    papers = {one.name.partition("/")[2]: one.paper for one in on_news.entries if one.paper}
    assert papers["plain/accuracy"] == "89.9 % with ALBERT" and papers["carl/accuracy"] == "92.05 % with ALBERT"
    assert papers["freelb/pgd-0.075"] == "80.25 % with ALBERT" and papers["plain/pgd-0.02"] == "86.6 % with ALBERT"
    assert papers["rar/cosine-0.075"] == "0.941 with ALBERT" and papers["carl/euclidean-0.1"] == "5.34 with ALBERT"
    assert papers.pop("texts/train") == "60,000"
    assert len(papers) == 4 * (1 + 3 + 2 * 2)  # Table 2, Table 5, and both figures of Table 4 at its two radii
    beside = {one.name: one.paper for one in on_reviews.entries if one.paper}
    assert beside == {f"{SST2}/texts/train": "66,477"} | {
        f"{SST2}/{arm}/accuracy": f"{value} % with ALBERT"
        for arm, value in {"plain": 92.16, "freelb": 93.23, "carl": 93.77, "rar": 93.73}.items()
    }


def test_how_many_texts_were_used_is_said_run_by_run(on_news: Findings) -> None:
    name = "ag-news-albert-base-v2"
    found = {part: entry(on_news, f"{name}/texts/{part}") for part in ("train", "valid", "test")}
    expected = {"train": [9_000] * 3, "valid": [1_000, 1_001, 1_002], "test": [7_600] * 3}
    assert {part: list(one.values) for part, one in found.items()} == expected
    assert [found[part].what.removeprefix(f"texts of {name} ") for part in found] == [
        "to train on.",
        "to select weights by.",
        "to test on.",
    ]


def test_work_of_before_texts_were_counted_has_all_other_numbers(on_news: Findings) -> None:
    config = replace(PAPER, data=("ag-news-albert-base-v2",))
    results: Any = made(config, *config.data)
    for name in results:
        if name.endswith("-measured"):
            del results[name]["texts"]
    names = {one.name for one in findings(config, results).entries}
    assert {one.name for one in on_news.entries} - names == {f"{config.data[0]}/texts/{p}" for p in OF_A_SET}


def test_the_search_has_the_best_validation_of_each_setting_and_no_test_text(on_reviews: Findings) -> None:
    found = [one for one in on_reviews.entries if "/search/" in one.name]
    assert [one.values for one in found] == [pytest.approx((0.7 + i / 100,)) for i in range(6)]
    assert all(one.name.endswith("/valid-accuracy") and one.seconds == 1.0 for one in found)


def test_curves_begin_with_no_attack_and_those_of_training_skip_rows_without_the_number(
    on_reviews: Findings,
) -> None:
    attacked = curve(on_reviews, f"attacked/{SST2}/plain")
    assert attacked.x == [0.0, 0.03, 0.1, 0.2]
    assert attacked.mean() == pytest.approx([0.902, 0.872, 0.802, 0.702])
    valid = curve(on_reviews, f"valid/{SST2}/plain")
    assert valid.x == [108, 216] and valid.mean() == pytest.approx([0.108, 0.216])
