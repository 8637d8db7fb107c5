"""Ten digits: fine-tunings inside pretrainings, arms that differ in what they are named for, a baseline by steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.experiments.ablation import arms, evaluation
from ebm_course.experiments.ablation.config import CPU, GPU, TUNINGS, Config, kind_of
from ebm_course.experiments.ablation.experiment import EXPERIMENT, stages
from ebm_course.experiments.ablation.findings import _Collected
from ebm_course.experiments.ablation.searches import searches
from ebm_course.experiments.ablation.ten_digits import (
    ADDERS,
    ADDERS_SMOKE,
    BASELINE,
    BASELINE_SMOKE,
    GIBBS,
    GIBBS_SMOKE,
    TEN,
    TEN_SMOKE,
)
from ebm_course.experiments.configs import shared
from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.stages import RESULT, Results
from ebm_course.origin import differences, plain
from ebm_course.recipes.sequences.distance import NEAR
from ebm_course.recipes.sequences.parts import task_for
from ebm_course.recipes.sequences.suppliers import by_gibbs
from ebm_course.results import ledger
from ebm_course.results.findings import Findings
from ebm_course.runtime import Run, setup
from ebm_course.tasks.arithmetic import Format

RUN = Run(torch.device("cpu"), 0)


def reproduced(folder: Path, config: Config) -> Findings:
    return reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=folder, progress=False)


def values_of(found: Findings) -> dict[str, tuple[float, ...]]:
    return {entry.name: entry.values for entry in found.entries}


def few(config: Config, *names: str) -> Config:
    """Masked pretraining without dropout and these arms alone."""
    chosen = tuple(config.variant(name) for name in names)
    return replace(config, data=("masked",), masked=replace(config.masked, dropout=0.0), variants=chosen)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[float, ...]], dict]:
    """Numbers of one run of both small presets in one folder, and the names of claims judged."""
    folder = tmp_path_factory.mktemp("ten")
    ten, baseline = (reproduced(folder, config) for config in (TEN_SMOKE, BASELINE_SMOKE))
    claims = {"ten": [claim.claim.name for claim in ten.claims], "baseline": [c.claim.name for c in baseline.claims]}
    return folder, values_of(baseline) | values_of(ten), claims


def test_what_was_recorded_at_three_digits_is_still_what_the_preset_asks_for() -> None:
    record = ledger.read_file(ledger.FOLDER / "ablation-gpu.json")
    assert list(differences(record.config, plain(GPU))) == []
    assert shared(TUNINGS) == shared(GPU) and shared(TEN) != shared(TEN_SMOKE)
    assert shared(TEN) == shared(BASELINE) == shared(GIBBS) == shared(ADDERS)


def test_the_new_arms_are_the_grown_one_but_for_what_they_are_named_for() -> None:
    def changes(name: str) -> dict[str, Any]:
        config = arms.MORE[name][1]
        return {field: value for field, value in vars(config).items() if value != getattr(arms.GROWN, field)}

    assert changes("grown-distance") == {"grow_above": 0.0, "grow_beyond": NEAR}
    assert changes("gibbs") == {"supply": by_gibbs}


def test_the_baseline_changes_one_thing_at_a_time_and_rows_at_equal_updates() -> None:
    names = ("contrast", "baseline-rows", "baseline-epochs")
    configs = [arms.BASELINES[name][1] for name in names]
    updates = [config.n_rows // config.batch_size * config.n_epochs for config in configs]
    assert updates == [550, 550, 5500]
    assert [config.n_rows for config in configs] == [1_000, 55_000, 55_000]
    same = [replace(config, n_rows=1, n_noise=1, n_epochs=1) for config in configs]
    assert same[0] == same[1] == same[2] and configs[0].n_attack_steps == 0
    kinds = {kind: {row.name for row in BASELINE.variants if kind_of(row) == kind} for kind in BASELINE.data}
    assert {len(rows) for rows in kinds.values()} == {3} and len(kinds) == 3
    assert BASELINE.pretraining("masked-x2").config.n_epochs == 2 * BASELINE.masked.n_epochs
    mask, other = BASELINE.masked, BASELINE.next_token
    assert {f: (v, vars(mask)[f]) for f, v in vars(other).items() if v != vars(mask)[f]} == {}


def test_the_adders_are_the_nets_of_the_baseline_and_their_arms_those_of_once_the_updates() -> None:
    def stages_of(config: Config) -> dict[str, Any]:
        return {stage.name: stage.of for stage in stages(config, RUN)}

    ours, baseline = stages_of(ADDERS), stages_of(BASELINE)
    both = [f"run-{k}/masked-x2/{name}" for k in range(3) for name in ("pretraining", "contrast/pooled", "likelihood")]
    assert set(both) <= ours.keys() and all(ours[name] == baseline[name] for name in both)
    there = {row.name: row.config for row in TEN.variants}
    assert {row.name.removeprefix("masked-x2/") for row in ADDERS.variants} == {
        f"{arm}/{head}" for arm in ("contrast", "printed", "grown") for head in ("pooled", "local")
    }
    assert all(row.config == there[row.name.replace("masked-x2", "masked")] for row in ADDERS.variants)


@pytest.mark.parametrize("config", [TEN, TUNINGS])
def test_no_two_fine_tunings_have_a_row_of_data_or_a_seed_in_common(config: Config) -> None:
    there, seeds, rows = len(task_for(config.n_digits).train), set(), set()
    members = config.members(config.variants[0])
    size = config.variants[0].config.n_rows
    for variant, k in members:
        seed = variant.origin(RUN, k).seed
        assert variant.seeded(RUN, k).seed == seed
        first = (seed * size) % (there - size)  # as data_and_noise takes them
        seeds.add(seed)
        rows.update(range(first, first + size))
    assert len(seeds) == len(members) and len(rows) == len(members) * size


def test_three_digits_tune_the_nets_of_two_runs_again_and_ten_those_of_all() -> None:
    numbers = [[(arm.tuning, k) for arm, k in config.members(config.variants[0])] for config in (TUNINGS, TEN)]
    assert numbers[0] == [*((0, k) for k in range(8)), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert numbers[1] == [(j, k) for j in range(2) for k in range(3)]
    assert [(arm.tuning, k) for arm, k in CPU.members(CPU.variants[0])] == [(0, k) for k in range(8)]


@pytest.mark.parametrize("config", [TEN, GIBBS, BASELINE, ADDERS, TUNINGS, TEN_SMOKE])
def test_a_stage_comes_after_stages_before_it_and_no_stage_is_there_twice(config: Config) -> None:
    before: set[str] = set()
    for stage in stages(config, RUN):
        assert stage.after is not None and set(stage.after) <= before and stage.name not in before
        before.add(stage.name)


def test_of_stages_that_are_there_already_none_changes_with_more_fine_tunings() -> None:
    ours = [
        {stage.name: stage.of for stage in stages(config, RUN)} for config in (replace(GPU, data=TUNINGS.data), TUNINGS)
    ]
    assert ours[0].items() <= ours[1].items() and len(ours[1]) == len(ours[0]) + 2 * 2 * 2 * 27


def test_a_run_counts_once_with_the_mean_of_its_fine_tunings_and_both_spreads_stand_beside(tmp_path: Path) -> None:
    collected = _Collected(TEN, Results(tmp_path))
    runs = [[{"exact": 0.1}, {"exact": 0.3}], [{"exact": 0.5}, {"exact": 0.5}], [{"exact": 0.9}, {"exact": 0.7}]]
    collected.over("arm/exact", "Exact.", runs, lambda one: one["exact"])
    found = {entry.name: entry.values for entry in collected.entries}
    assert found["arm/exact"] == pytest.approx((0.2, 0.5, 0.8))
    assert found["arm/exact/tuning-1"] == pytest.approx((0.3, 0.5, 0.7))
    assert found["arm/exact/within"] == pytest.approx(((0.04 / 3) ** 0.5,))  # two pairs 0.2 apart, three runs
    assert found["arm/exact/between"] == pytest.approx(((0.09 - 0.04 / 6) ** 0.5,))


def test_a_search_can_be_chosen_by_right_digits_where_no_answer_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    x = Format(1).encode(["3+4=00", "5+5=00", "8+1=99", "9+9=77"])

    def ending(text: str) -> Any:
        return lambda energy, x0, budget, stream: torch.cat(
            [x0[:, :5], Format(1).encode([text])[:, 5:].repeat(len(x0), 1)], dim=1
        )

    ways = {"none": ending("0+0=99"), "some": ending("0+0=19")}  # of 5+5=10 the first digit, of 3+4=07 none
    monkeypatch.setattr(evaluation, "searches", lambda n_digits: ways)
    options: dict[str, Any] = {"n_digits": 1, "budget": 0, "run": RUN, "name": "fake"}
    energy = lambda x: x.sum(dim=1).float()  # noqa: E731
    found = {
        by: evaluation.searched(energy, x[:2], x[2:], chosen_by=by, **options)[0] for by in ("exact", "correctness")
    }
    assert (found["exact"]["search"], found["correctness"]["search"]) == ("none", "some")
    assert TEN.chosen_by == "correctness" and CPU.chosen_by == "exact"
    with pytest.raises(ValueError, match="chosen_by: expected one of exact, correctness, got 'honest'"):
        replace(CPU, chosen_by="honest")


@pytest.mark.slow
def test_every_claim_of_ten_digits_names_an_endpoint_and_a_control_that_are_measured(found) -> None:
    _, values, claims = found
    assert TEN.claims == TEN_SMOKE.claims == BASELINE.claims and len(TEN.claims) == 4
    assert {claim.endpoint for claim in TEN.claims} | {claim.control for claim in TEN.claims} <= values.keys()
    assert claims["ten"] == [claim.name for claim in TEN.claims] and claims["baseline"] == ["ten/mask"]
    for claim in TEN.claims:
        assert len(values[claim.endpoint]) == TEN_SMOKE.n_runs
    goal, printed = values["claims/masked/printed/pooled/goal"], values["masked/printed/pooled/correctness"]
    assert goal == pytest.approx([value - 0.9 for value in printed])


@pytest.mark.slow
def test_the_adders_find_nets_and_noise_contrast_of_the_baseline_done(found) -> None:
    folder, values, _ = found
    before = {path: path.stat().st_mtime_ns for path in folder.rglob(RESULT)}
    new = values_of(reproduced(folder, ADDERS_SMOKE))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    name = "masked-x2/contrast/pooled/correctness"
    assert new[name] == values[name] and not reproduced(folder, ADDERS_SMOKE).claims
    assert {"masked-x2/printed/local/correctness", "masked-x2/grown/pooled/near"} <= new.keys()


@pytest.mark.slow
def test_fine_tunings_of_one_net_differ_and_a_run_is_their_mean(found) -> None:
    values = found[1]
    for arm in TEN_SMOKE.variants:
        pairs = zip(*(values[f"{arm.name}/correctness/tuning-{j}"] for j in range(2)), strict=True)
        assert values[f"{arm.name}/correctness"] == pytest.approx([sum(pair) / 2 for pair in pairs])
        assert 0 <= values[f"{arm.name}/near"][0] <= 1 and len(values[f"{arm.name}/distance"]) == 2
    trained = [ledger_rows(found[0], f"run-0/masked/printed/pooled{end}") for end in ("", "-tuning-1")]
    assert trained[0] != trained[1]
    assert {"accuracy_lm"} <= {name.rpartition("/")[2] for name in values if "baseline-rows" in name}
    assert "masked/printed/pooled/accuracy_lm" not in values  # no loss holds its level


def ledger_rows(folder: Path, stage: str) -> str:
    return (folder / stage / RESULT).read_text().partition('"result"')[2]


@pytest.mark.slow
def test_more_fine_tunings_in_a_folder_start_from_the_nets_that_are_there(tmp_path: Path) -> None:
    config = few(TEN_SMOKE, "masked/grown-distance/pooled")
    once = values_of(reproduced(tmp_path, replace(config, n_tunings=1)))
    there = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(RESULT)}
    more = reproduced(tmp_path, replace(config, n_tunings=3, n_tuned_again=1))
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())
    new = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob(RESULT) if path not in there}
    stage = "run-0/masked/grown-distance/pooled-tuning-"
    assert new == {f"{stage}{j}{end}" for j in (1, 2) for end in ("", "-measured")}
    name, values = "masked/grown-distance/pooled/correctness", values_of(more)
    assert values[f"{name}/tuning-0"] == once[name] and len(values[f"{name}/tuning-2"]) == 1
    assert values[name][1] == once[name][1]


@pytest.mark.slow
def test_fine_tunings_trained_side_by_side_have_the_numbers_of_fine_tunings_trained_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawing_nothing(n_digits: int) -> Any:
        return {name: search for name, search in searches(n_digits).items() if name != "annealed"}

    monkeypatch.setattr(evaluation, "searches", drawing_nothing)  # side by side its draws are others
    torch.set_default_dtype(torch.float64)  # or rounding may decide between two candidates
    try:
        both = replace(TEN_SMOKE, variants=(*TEN_SMOKE.variants, GIBBS_SMOKE.variant("masked/gibbs/pooled")))
        config = few(both, "masked/gibbs/pooled", "masked/grown-distance/pooled")
        longer = [replace(arm, config=replace(arm.config, n_epochs=5, rate=0.01)) for arm in config.variants]
        config = replace(config, variants=tuple(longer))
        alone, together = (
            reproduced(tmp_path / str(flag), replace(config, side_by_side=flag)) for flag in (False, True)
        )
    finally:
        torch.set_default_dtype(torch.float32)
    assert [entry.name for entry in alone.entries] == [entry.name for entry in together.entries]
    for one, other in zip(alone.entries, together.entries, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-6), one.name
    assert max(values_of(together)["masked/gibbs/pooled/attack_steps"]) > 0
