"""The whole experiment at smoke size: every stage, killed and resumed, and the claims as comparisons that can fail."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.experiments.sequences import config as reproduction
from ebm_course.experiments.sequences.config import CPU, NOTEBOOK, PAPER, SMOKE, Config, plan, reproduce
from ebm_course.experiments.sequences.experiment import Experiment
from ebm_course.experiments.sequences.findings import _clearly_positive
from ebm_course.experiments.stages import Stages
from ebm_course.files import load_checkpoint
from ebm_course.recipes.sequences import residual_nce
from ebm_course.results.findings import Findings
from ebm_course.runtime import setup


def run_smoke(folder: Path, config: Config = SMOKE) -> Findings:
    return reproduce(config, setup(0, device="cpu", quiet=True), folder=folder, progress=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings]:
    folder = tmp_path_factory.mktemp("sequences")
    return folder, run_smoke(folder)


@pytest.mark.parametrize("config", [PAPER, CPU, NOTEBOOK, SMOKE])
def test_the_plan_names_every_stage_in_order(config: Config, tmp_path: Path) -> None:
    run = setup(0, device="cpu", quiet=True)
    stages = Stages(tmp_path, plan(config), config={}, run=run, progress=False)
    assert list(plan(config)) == list(Experiment(config, run, stages).in_order())


def test_every_preset_trains_all_methods_on_one_number_of_digits() -> None:
    for config in (PAPER, CPU, NOTEBOOK, SMOKE):
        parts = [config.lm, config.energy, config.short, *config.methods.values(), *config.ideas.values()]
        assert {part.n_digits for part in parts} == {config.n_digits}
        assert set(config.methods) == set(PAPER.methods)
        assert set(config.ideas) <= set(PAPER.ideas)
    assert set(SMOKE.ideas) == set(PAPER.ideas)
    assert (PAPER.n_digits, CPU.n_digits, NOTEBOOK.n_digits) == (10, 10, 3)
    fresh = CPU.ideas["grown-fresh"]
    updates = [c.n_epochs * c.n_rows // c.batch_size for c in (fresh, CPU.methods["grown"])]
    assert updates[0] == updates[1]  # equal budgets
    assert [PAPER.methods[name].n_epochs for name in PAPER.methods] == [5, 55, 55, 55, 55]
    assert PAPER.lm.n_epochs == PAPER.energy.n_epochs == 500


@pytest.mark.slow
def test_every_number_and_curve_is_found_and_finite(found: tuple[Path, Findings]) -> None:
    findings = found[1]
    names = [entry.name for entry in findings.entries]
    assert len(set(names)) == len(names)
    assert all(math.isfinite(v) for entry in findings.entries for v in entry.values)
    assert all(len(line) == len(curve.x) for curve in findings.curves for line in curve.runs)
    by_name = {entry.name: entry for entry in findings.entries}
    assert len(by_name["adversarial/literal/free/correctness"].values) == SMOKE.n_runs
    assert len(by_name["idea/grown-ema/memory/answer/exact"].values) == 1
    for attack in ("literal", "memory"):
        assert by_name[f"grown/{attack}/answer/operands_moved"].values == (0.0, 0.0)
    curves = {curve.name: curve for curve in findings.curves}
    start = curves["likelihood/literal/free"].runs[0][0]
    assert curves["equal/grown/Gibbs"].x[0] == 0
    assert all(line[0] == start for line in curves["adversarial/memory/answer"].runs)  # all begin at the same samples


@pytest.mark.slow
def test_a_finished_experiment_does_nothing_again_and_grows_by_a_run(
    found: tuple[Path, Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, findings = found
    again = run_smoke(folder)
    assert again == findings
    done = []
    original = Stages.do

    def watched(self: Stages, name: str, work: Callable[[Path], Any]) -> Any:
        return original(self, name, lambda path: (done.append(name), work(path))[1])

    monkeypatch.setattr(Stages, "do", watched)
    more = run_smoke(folder, dataclasses.replace(SMOKE, n_runs=SMOKE.n_runs + 1))
    assert done and all(name.startswith(f"run-{SMOKE.n_runs}/") for name in done)
    assert len({entry.name: entry for entry in more.entries}["grown/literal/free/exact"].values) == SMOKE.n_runs + 1


@pytest.mark.slow
def test_a_killed_experiment_ends_with_the_same_numbers(
    found: tuple[Path, Findings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(residual_nce, "fit_energy", _kill)  # in the first training that needs the pretrained nets
        with pytest.raises(KeyboardInterrupt):
            run_smoke(tmp_path)
    resumed = run_smoke(tmp_path)
    assert [(e.name, e.values, e.holds) for e in resumed.entries] == [
        (e.name, e.values, e.holds) for e in found[1].entries
    ]
    assert resumed.curves == found[1].curves


@pytest.mark.slow
def test_small_checkpoints_hold_the_nets_in_half_precision(found: tuple[Path, Findings]) -> None:
    folder, _ = found
    small = reproduction.small_checkpoints(SMOKE, folder)
    assert sorted(small) == [
        f"arithmetic-1-{name}" for name in ("adversarial-0", "energy", "grown-0", "lm", "residual-0", "surprise-0")
    ]
    assert small["arithmetic-1-surprise-0"][2]["head"] == "SurpriseEnergy"
    state, config, meta = small["arithmetic-1-grown-0"]
    whole, _ = load_checkpoint(folder / "run-0" / "grown" / "net.safetensors")
    assert config is SMOKE.methods["grown"] and meta["head"] == "PooledEnergy"
    for key, value in state.items():
        assert value.dtype == torch.float16
        torch.testing.assert_close(value.float(), whole[key], rtol=2**-10, atol=1e-7)


@pytest.mark.slow
def test_runs_trained_side_by_side_give_the_numbers_of_runs_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[int] = []
    original = sequence_experiment.fit_side_by_side

    def watched(config: Any, runs: Any, **rest: Any) -> Any:
        together.append(len(runs))
        return original(config, runs, **rest)

    monkeypatch.setattr(sequence_experiment, "fit_side_by_side", watched)
    torch.set_default_dtype(torch.float64)  # rounding is then too small to decide between two candidates
    try:
        small = dataclasses.replace(SMOKE, ideas={})
        alone = run_smoke(tmp_path / "alone", small)
        assert not together
        beside = run_smoke(tmp_path / "beside", dataclasses.replace(small, side_by_side=True))
        assert together == [SMOKE.n_runs] * 3  # Algorithm 1 without attack, as printed and grown
        for found, expected in zip(beside.entries, alone.entries, strict=True):
            assert found.name == expected.name and found.values == pytest.approx(expected.values, rel=1e-6, abs=1e-8)
        more = dataclasses.replace(small, side_by_side=True, n_runs=SMOKE.n_runs + 1)
        run_smoke(tmp_path / "beside", more)
        assert together[3:] == [1] * 3  # what is trained stays
    finally:
        torch.set_default_dtype(torch.float32)


def test_another_experiment_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    setup(0, device="cpu", quiet=True)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds an experiment with another"):
        run_smoke(tmp_path)


def test_a_difference_counts_where_it_is_above_twice_its_standard_error() -> None:
    assert _clearly_positive([0.1, 0.12, 0.11]) is True
    assert _clearly_positive([0.3, -0.1, 0.05]) is False
    assert _clearly_positive([-0.1, -0.12]) is False
    assert _clearly_positive([0.5]) is None


def test_methods_take_only_changes_that_they_have_a_field_for() -> None:
    changed = reproduction.methods(n_attack_steps=3, batch_size=7)
    assert {method.batch_size for method in changed.values()} == {7}
    assert changed["adversarial"].n_attack_steps == changed["grown"].n_attack_steps == 3  # type: ignore[union-attr]
    assert changed["no-attack"].n_attack_steps == 0  # type: ignore[union-attr]


def _kill(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
