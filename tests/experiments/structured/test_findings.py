"""Numbers, curves and claims of hand-made results: published numbers stand beside ours, the cross-entropy is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ebm_course.experiments.structured import findings as findings_module
from ebm_course.experiments.structured import published
from ebm_course.experiments.structured.arms import JOINT, is_measured
from ebm_course.experiments.structured.config import CPU, Config
from ebm_course.experiments.structured.declared import CONLL, POS, TOY, head
from ebm_course.experiments.structured.findings import findings
from ebm_course.recipes.structured import inference_network
from ebm_course.results.findings import Curve, Entry, Findings


class Made(dict[str, Any]):
    """Results of stages that took a second each."""

    def seconds(self, *names: str) -> float:
        return float(len([name for name in names if name in self]))


def scores(data: str, value: float) -> dict[str, float]:
    found = {"accuracy": value}
    return found | ({"closers": value / 2, "fillers": 1.0} if data == TOY else {"f1": value - 0.1})


def measured(data: str, i: int, k: int, variant: Any) -> dict[str, Any]:
    """A's answers fall with the arm's number and rise with the run's; the energy's are a tenth lower."""
    value = 0.9 - i / 100 + k / 1000
    ways = {"network": scores(data, value), "exact": scores(data, value - 0.1), "gap": {"energy": 2.0 + k}}
    if "/ge-" in variant.name:
        ways["searched"] = scores(data, value - 0.02)
    found = {"test": ways, "size": {"trained": 9, "trained_layers": 5, "inference": 4, "inference_layers": 2}}
    if variant.fit is inference_network.fit:
        found["last"] = {
            way: scores(data, value - 0.3)
            for way in ("network", "exact")
            if way == "network" or "/ge-" not in variant.name
        }
        if variant.config.loss != "perceptron":
            pairs = [["N", "^", 8 - k], ["V", "N", 3]] if k else [["N", "^", 8]]
            found |= {"a_minus_f": -0.05 - k / 100, "confusions": pairs}
    return found


def made(config: Config, data: str) -> Made:
    found = Made()
    for k in range(config.runs_of(data)):
        for i, variant in enumerate(config.arms(data)):
            rows = [
                {"step": s, f"valid_network_{head(data)}": s / 1e3, "energy_gradient_norm": 1 / s} for s in (50, 100)
            ]
            tuned = [{"step": 150, f"valid_network_{head(data)}": 0.2}]
            log = [{"step": 50, "valid_cross_entropy": 0.7}, {"step": 100, "valid_cross_entropy": 0.6 + k}]
            found[variant.stage(k)] = {"rows": rows + tuned if is_measured(variant) else log}
            if is_measured(variant):
                found[f"{variant.stage(k)}-measured"] = measured(data, i, k, variant)
        speeds = {f"{data}/{name}": 10.0 ** (j + 1) for j, name in enumerate(JOINT)}
        found[config.speed_stage(data, k)] = speeds
    return found


def of(data: str, config: Config = CPU) -> Findings:
    config = replace(config, data=(data,))
    return findings(config, made(config, data))


@pytest.fixture(scope="module")
def on_tweets() -> Findings:
    return of(POS)


def test_numbers_of_the_last_weights_are_theirs(on_tweets: Findings) -> None:
    for way in ("network", "exact"):
        best, last = (entry(on_tweets, f"{POS}/stacked/{kind}{way}/accuracy") for kind in ("", "last/"))
        assert last.values == pytest.approx([value - 0.3 + (way == "exact") * 0.1 for value in best.values])


@pytest.fixture(scope="module")
def on_language() -> Findings:
    return of(TOY)


def entry(found: Findings, name: str) -> Entry:
    return next(entry for entry in found.entries if entry.name == name)


def curve(found: Findings, name: str) -> Curve:
    return next(curve for curve in found.curves if curve.name == name)


def test_beside_every_network_of_a_game_stands_the_exact_decoding_of_its_energy(on_tweets: Findings) -> None:
    names = {one.name for one in on_tweets.entries}
    for arm in CPU.measured(POS):
        if arm.fit is inference_network.fit:
            assert {f"{arm.name}/{way}/accuracy" for way in ("network", "exact", "last/network", "last/exact")} <= names
            assert f"{arm.name}/gap" in names
    assert "decoded exactly" in entry(on_tweets, f"{POS}/stacked/exact/accuracy").what


def test_a_search_by_beam_is_not_called_exact_and_says_of_how_many_sentences_it_is(on_language: Findings) -> None:
    for found, data, name, n in ((on_language, TOY, "accuracy", 200), (of("wnut17"), "wnut17", "f1", 20)):
        what = entry(found, f"{data}/ge-a/exact/{name}").what
        assert f"beam search finds on the first {n} test sentences" in what and "exactly" not in what
    assert "first 200 test sentences" in entry(on_language, f"{TOY}/ge-a/searched/accuracy").what


def test_published_numbers_stand_beside_the_rows_of_the_paper_s_sets_and_nowhere_else(on_language: Findings) -> None:
    papers = {data: {one.name: one.paper for one in of(data).entries if one.paper} for data in (POS, CONLL)}
    assert not [one.name for one in on_language.entries if one.paper]
    assert papers[POS][f"{POS}/margin-truncated-no-ce/network/accuracy"] == "13.9 %"
    assert papers[POS][f"{POS}/stacked/network/accuracy"] == "89.8 %"
    assert papers[POS][f"{POS}/shared/speed"] == "78 a second"
    assert papers[POS][f"{POS}/separated/parameters/trained_layers"] == "500 thousand"
    assert papers[POS][f"{POS}/stacked/a-minus-f"] == "2.6 points"
    assert (
        papers[CONLL][f"{CONLL}/ge-c/network/f1"] == "86.3 %" and f"{CONLL}/ge-c/network/accuracy" not in papers[CONLL]
    )
    answers = {name.split("/")[1] for name in papers[POS] if name.endswith("/network/accuracy")}
    assert answers == published.ANSWERS.keys()
    assert not [name for name in papers[POS] if "/exact/" in name]


def test_the_difference_of_a_and_f_names_the_networks_with_a_cross_entropy(on_tweets: Findings) -> None:
    said = {
        arm: entry(on_tweets, f"{POS}/{arm}/a-minus-f").what.rpartition("cross-entropy ")[2]
        for arm in ("stacked", "stacked-ce-a", "stacked-ce-f", "k-1", "margin")
    }
    assert said == {
        "stacked": "on A and F.",
        "stacked-ce-a": "on A alone.",
        "stacked-ce-f": "on F alone.",
        "k-1": "on neither.",
        "margin": "on A and F.",
    }
    assert entry(on_tweets, f"{POS}/stacked/a-minus-f").values == pytest.approx((-0.05, -0.06, -0.07, -0.08, -0.09))
    assert f"{POS}/perceptron/a-minus-f" not in {one.name for one in on_tweets.entries}


def test_confusions_count_runs_that_have_none_as_0(on_tweets: Findings) -> None:
    assert entry(on_tweets, f"{POS}/stacked/confusions/N ^").values == (8, 7, 6, 5, 4)
    assert entry(on_tweets, f"{POS}/stacked/confusions/V N").values == (0, 3, 3, 3, 3)
    assert not [one.name for one in on_tweets.entries if "shared/confusions" in one.name]


def test_the_pairs_shown_are_those_most_frequent_over_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_module, "N_CONFUSIONS", 2)
    config = replace(CPU, data=(POS,))
    results = made(config, POS)
    results[f"{config.variant(f'{POS}/stacked').stage(0)}-measured"]["confusions"].append(["A", "R", 11])  # in one run
    found = findings(config, results)
    shown = [one.name for one in found.entries if one.name.startswith(f"{POS}/stacked/confusions/")]
    assert [name.rpartition("/")[2] for name in shown] == ["N ^", "V N"]  # 30 and 12


def test_claims_are_differences_run_by_run_and_speeds_differ_as_logarithms(on_tweets: Findings) -> None:
    arms = [variant.name for variant in CPU.arms(POS)]
    apart = (arms.index(f"{POS}/margin") - arms.index(f"{POS}/stacked")) / 100
    assert entry(on_tweets, f"claims/{POS}/compound-margin").values == pytest.approx([apart] * 5)
    assert entry(on_tweets, f"claims/{POS}/stacked-speed").values == pytest.approx([1.0] * 5)
    decoded = (arms.index(f"{POS}/crf") - arms.index(f"{POS}/network-of-chain")) / 100 + 0.1
    assert entry(on_tweets, f"claims/{POS}/without-tags").values == pytest.approx([decoded] * 5)


def test_entities_are_judged_by_f1_over_three_runs() -> None:
    found = of("wnut17")
    claim = entry(found, "claims/wnut17/global-c-b")
    b, c = (entry(found, f"wnut17/{name}/network/f1").values for name in ("ge-b", "ge-c"))
    assert claim.values == pytest.approx([y - x for x, y in zip(b, c, strict=True)]) and len(claim.values) == 3


def test_the_language_s_ceilings_are_its_own(on_language: Findings) -> None:
    assert entry(on_language, f"{TOY}/ceilings/chain/closers").values == pytest.approx((0.5,) * 5)
    assert entry(on_language, f"{TOY}/ceilings/global/closers").value == pytest.approx(1.0)
    crf = entry(on_language, f"{TOY}/crf/exact/closers").values
    assert entry(on_language, f"claims/{TOY}/chain-closers").values == pytest.approx([x - 0.5 for x in crf])


def test_a_language_model_of_tags_is_told_by_its_best_cross_entropy(on_language: Findings) -> None:
    assert entry(on_language, f"{TOY}/tag-lm/cross-entropy").values == (0.6, 0.7, 0.7, 0.7, 0.7)


def test_curves_have_the_rows_that_have_their_number(on_tweets: Findings) -> None:
    assert curve(on_tweets, f"answers/{POS}/margin").x == [50, 100, 150]
    assert curve(on_tweets, f"gradients/{POS}/margin").x == [50, 100]
    assert curve(on_tweets, f"answers/{POS}/margin").mean() == pytest.approx([0.05, 0.1, 0.2])


def test_claims_whose_arms_were_not_asked_for_are_left_out() -> None:
    rows = tuple(variant for variant in CPU.variants if variant.name != f"{POS}/stacked")
    found = of(POS, replace(CPU, variants=rows))
    claims = {one.name for one in found.entries if one.name.startswith("claims/")}
    assert f"claims/{POS}/margin-perceptron" in claims and f"claims/{POS}/compound-margin" not in claims
