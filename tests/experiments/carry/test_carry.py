"""The whole experiment at smoke size: its numbers, its claims, a part, a kill; orders of writing lose nothing."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.experiments.carry import experiment
from ebm_course.experiments.carry.config import CPU, PRESETS, SMOKE, Config, fit, rows_of
from ebm_course.experiments.carry.experiment import EXPERIMENT, columns, wasted
from ebm_course.experiments.carry.formats import FORMATS, order_of
from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.stages import Results
from ebm_course.recipes.sequences import language_model
from ebm_course.recipes.sequences.parts import task_for
from ebm_course.recipes.shared import rows_digest
from ebm_course.results.findings import Findings
from ebm_course.runtime import setup
from ebm_course.tasks.arithmetic import Format, perfect_perplexity

WRITTEN = {  # 467+533=1000
    "plain": "467+533=1000",
    "mirrored": "764+335=0001",
    "paired": "456373+=1000",
    "columns-left": "451063073 0+=",
    "columns-right": "730630450 1+=",
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_moves_every_token_and_loses_none(name: str) -> None:
    layout, order = Format(3), order_of(name, 3)
    x = layout.encode(["467+533=1000"])
    assert sorted(order.tolist()) == list(range(14)) and order[0] == 0 and order[-1] == 13
    assert layout.decode(x[:, order]) == [WRITTEN[name].replace(" ", "")]
    assert torch.equal(x[:, order][:, order.argsort()], x)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_both_operand_digits_of_a_column_stand_before_its_answer(name: str) -> None:
    """So what is asked for is there to be computed, but for the carry where columns come from the left."""
    d = 4
    usual = ["bos", *(f"a{j}" for j in range(d, 0, -1)), "+", *(f"b{j}" for j in range(d, 0, -1)), "="]
    usual += [*(f"c{j}" for j in range(d + 1, 0, -1)), "eos"]
    place = {usual[k]: i for i, k in enumerate(order_of(name, d).tolist())}
    for j in range(1, d + 1):
        assert max(place[f"a{j}"], place[f"b{j}"]) < place[f"c{j}"]
        near = place[f"c{j}"] - place[f"a{j}"] <= (3 if j == d else 2)
        assert near == name.startswith("columns")
    carry_known = place["a1"] < place[f"c{d}"]
    assert carry_known == (name != "columns-left")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no format 'upwards': expected one of plain"):
        order_of("upwards", 3)


def test_the_perfect_model_wastes_nothing_and_shares_are_by_column() -> None:
    assert wasted(math.log(perfect_perplexity(3)), 3) == pytest.approx(0)
    assert wasted(1 + math.log(perfect_perplexity(3)), 3) == pytest.approx(13)
    x = Format(3).encode(["467+533=1000", "467+533=1001", "467+533=0001", "+++++++++++4"])
    assert columns(x, 3) == pytest.approx({"c4": 2 / 3, "c3": 1, "c2": 1, "c1": 1 / 3})
    assert columns(x[3:], 3) == {}


@pytest.mark.parametrize("name", FORMATS)
def test_samples_are_put_back_into_the_usual_order_and_the_best_epoch_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, variant, layout = setup(0, device="cpu", quiet=True), SMOKE.variant(name), Format(2)
    x = layout.encode(["19+12=031", "46+23=069", "46+38=085"])
    written = x[:, order_of(name, 2)]
    monkeypatch.setattr(experiment, "load_net", lambda *_: None)
    monkeypatch.setattr(experiment, "sample_sequences", lambda net, n, n_digits, generator: written)
    rows = [{"valid_nll": value} for value in (2.5, 2.25, 2.75)]
    results = Results(tmp_path)
    results.add(variant.stage(0), {"result": {"rows": rows}, "files": {}, "made_from": {}, "attempts": []})
    found = experiment.measured(variant, 0, SMOKE, run)(tmp_path, results)
    assert found["exact"] == pytest.approx(2 / 3) and found["valid"] == 1.0 and found["c1"] == pytest.approx(2 / 3)
    assert found["epoch"] == 2 and found["perplexity"] == math.exp(2.25) and found["wasted"] == wasted(2.25, 2)


def test_runs_have_other_rows_and_formats_of_a_run_the_same() -> None:
    run, config = setup(0, device="cpu", quiet=True), CPU.variants[0].config
    first, second = (rows_of(config, replace(run, seed=seed))[0].x for seed in (0, 1))
    assert len(first) == len(second) == 1_000
    assert not {tuple(row) for row in first.tolist()} & {tuple(row) for row in second.tolist()}
    for config in (CPU, SMOKE):
        given = [asdict(variant.config) for variant in config.variants]
        assert [one.pop("layout") for one in given] == list(FORMATS)
        assert all(one == given[0] for one in given) and len({variant.fit for variant in config.variants}) == 1


def test_the_recipe_trains_on_the_rows_that_it_is_given() -> None:
    config = replace(language_model.SMOKE, n_epochs=1)
    task = task_for(config.n_digits)
    given = (task.train[20:40], task.valid[:5])
    run = [
        language_model.fit(config, setup(0, device="cpu", quiet=True), progress=False, data=d) for d in (given, None)
    ]
    assert run[0].origin and run[1].origin and run[0].origin.data != run[1].origin.data
    assert run[0].rows[-1]["valid_nll"] != run[1].rows[-1]["valid_nll"]


def test_a_net_is_trained_on_rows_in_its_own_format() -> None:
    run, config = setup(0, device="cpu", quiet=True), replace(SMOKE.variant("columns-right").config, n_epochs=0)
    fitted, rows = fit(config, run, progress=False), rows_of(config, run)
    written = [rows_digest(Batch(part.x[:, order_of("columns-right", 2)])) for part in rows]
    assert fitted.origin and fitted.origin.data == f"train {written[0]}; valid {written[1]}"


def run_smoke(folder: Path, config: Config = SMOKE) -> Findings:
    return reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=folder, progress=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return run_smoke(tmp_path_factory.mktemp("carry"))


def values_of(findings: Findings) -> dict[str, tuple[float, ...]]:
    return {entry.name: entry.values for entry in findings.entries}


@pytest.mark.slow
def test_every_number_is_found_once_and_finite(found: Findings) -> None:
    names = [entry.name for entry in found.entries]
    assert len(set(names)) == len(names)
    assert {f"{name}/{figure}" for name in FORMATS for figure in ("wasted", "exact", "recited", "epoch")} <= set(names)
    assert all(len(e.values) == SMOKE.n_runs and all(map(math.isfinite, e.values)) for e in found.entries)
    for curve in found.curves:
        assert curve.x == [1.0, 2.0, 3.0] and [min(line) for line in curve.runs] == list(values_of(found)[
            f"{curve.name.removeprefix('wasted/')}/wasted"
        ])  # fmt: skip


@pytest.mark.slow
def test_every_claim_has_an_endpoint_and_a_control_that_were_measured(found: Findings) -> None:
    names = set(values_of(found))
    assert {claim.endpoint for claim in SMOKE.claims} == {name for name in names if name.startswith("claims/")}
    assert {claim.control for claim in SMOKE.claims} <= names
    assert SMOKE.claims == CPU.claims and len(found.claims) == len(CPU.claims)


@pytest.mark.slow
def test_an_endpoint_is_the_difference_run_by_run(found: Findings) -> None:
    values = values_of(found)
    pairs = zip(values["mirrored/wasted"], values["plain/wasted"], strict=True)
    assert values["claims/wasted/mirrored-plain"] == pytest.approx([x - y for x, y in pairs])


@pytest.mark.slow
def test_a_part_finds_the_numbers_of_the_whole(found: Findings, tmp_path: Path) -> None:
    whole, asked = values_of(found), tuple(SMOKE.variant(name) for name in ("columns-left", "columns-right"))
    part = values_of(run_smoke(tmp_path, replace(SMOKE, variants=asked)))
    assert "claims/exact/columns-right-columns-left" in part and "plain/wasted" not in part
    assert part == {name: whole[name] for name in part}


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_numbers(
    found: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, updates, original = (SMOKE.variant("paired"),), 0, language_model.update

    def killed(*args: Any, **rest: Any) -> Any:
        nonlocal updates
        updates += 1
        if updates == 7:
            raise KeyboardInterrupt
        return original(*args, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(language_model, "update", killed)
        with pytest.raises(KeyboardInterrupt):
            run_smoke(tmp_path, replace(SMOKE, variants=asked))
    resumed, whole = values_of(run_smoke(tmp_path, replace(SMOKE, variants=asked))), values_of(found)
    assert resumed and all(values == whole[name] for name, values in resumed.items())


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_run_of_a_preset_is_one_of_several(name: str) -> None:
    assert PRESETS[name].n_runs >= 2
