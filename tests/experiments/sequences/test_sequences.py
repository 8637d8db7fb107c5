"""The whole experiment at smoke size: every stage, killed and resumed, and the claims as comparisons that can fail."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.experiments.experiment import reproduce, small_checkpoints
from ebm_course.experiments.sequences import experiment
from ebm_course.experiments.sequences.config import CPU, NOTEBOOK, PAPER, SMOKE, Config
from ebm_course.experiments.sequences.experiment import EXPERIMENT, stages
from ebm_course.experiments.sequences.methods import methods
from ebm_course.experiments.stages import RESULT
from ebm_course.files import load_checkpoint
from ebm_course.recipes.sequences import residual_nce
from ebm_course.results.findings import Findings
from ebm_course.runtime import Run, setup
from ebm_course.storage import read_json

RUN = Run(torch.device("cpu"), 0)


def run_smoke(folder: Path, config: Config = SMOKE) -> Findings:
    return reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=folder, progress=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings]:
    folder = tmp_path_factory.mktemp("sequences")
    return folder, run_smoke(folder)


@pytest.mark.parametrize("config", [PAPER, CPU, NOTEBOOK, SMOKE])
def test_every_variant_is_trained_and_measured_in_every_run_that_it_has(config: Config) -> None:
    names = [stage.name for stage in stages(config, RUN)]
    assert len(set(names)) == len(names)
    for variant in config.variants:
        for k in range(1 if variant.once else config.n_runs):
            assert names.index(f"{variant.stage(k)}-measured") == names.index(variant.stage(k)) + 1


def test_every_preset_trains_all_methods_on_one_number_of_digits() -> None:
    for config in (PAPER, CPU, NOTEBOOK, SMOKE):
        parts = [config.lm, config.energy, config.short, *(variant.config for variant in config.variants)]
        assert {part.n_digits for part in parts} == {config.n_digits}
        assert [variant.name for variant in config.variants] == [variant.name for variant in PAPER.variants]
    assert (PAPER.n_digits, CPU.n_digits, NOTEBOOK.n_digits) == (10, 10, 3)
    fresh, grown = (CPU.variant(name).config for name in ("idea/grown-fresh", "grown"))
    updates = [c.n_epochs * c.n_rows // c.batch_size for c in (fresh, grown)]
    assert updates[0] == updates[1]  # equal budgets
    assert [variant.config.n_epochs for variant in PAPER.variants if not variant.once] == [5, 55, 55, 55, 55]
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
def test_a_finished_experiment_does_nothing_again_and_grows_by_a_run(found: tuple[Path, Findings]) -> None:
    folder, findings = found
    before = {file: file.stat().st_mtime_ns for file in folder.rglob(RESULT)}
    assert run_smoke(folder) == findings
    more = run_smoke(folder, dataclasses.replace(SMOKE, n_runs=SMOKE.n_runs + 1))
    after = {file: file.stat().st_mtime_ns for file in folder.rglob(RESULT)}
    assert {file: after[file] for file in before} == before
    new = {str(file.relative_to(folder)) for file in after.keys() - before.keys()}
    assert new and all(name.startswith(f"run-{SMOKE.n_runs}/") for name in new)
    assert len({entry.name: entry for entry in more.entries}["grown/literal/free/exact"].values) == SMOKE.n_runs + 1


@pytest.mark.slow
def test_a_part_finds_the_numbers_of_the_whole(found: tuple[Path, Findings], tmp_path: Path) -> None:
    part = run_smoke(tmp_path, dataclasses.replace(SMOKE, variants=(SMOKE.variant("grown"),)))
    whole, names = {entry.name: entry.values for entry in found[1].entries}, {entry.name for entry in part.entries}
    assert {"grown/literal/free/exact", "options/grown/gain/free", "equal/grown/Gibbs"} <= names
    assert all(entry.values == whole[entry.name] for entry in part.entries)
    assert not any(name.startswith(("adversarial", "claims")) for name in names)


@pytest.mark.slow
def test_a_killed_experiment_ends_with_the_same_numbers(
    found: tuple[Path, Findings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(residual_nce, "update", _kill)  # in the first training that needs the pretrained nets
        with pytest.raises(KeyboardInterrupt):
            run_smoke(tmp_path)
    resumed = run_smoke(tmp_path)
    assert [(e.name, e.values) for e in resumed.entries] == [(e.name, e.values) for e in found[1].entries]
    assert resumed.claims == found[1].claims
    assert resumed.curves == found[1].curves


@pytest.mark.slow
def test_small_checkpoints_hold_the_nets_in_half_precision(found: tuple[Path, Findings]) -> None:
    folder, _ = found
    small = small_checkpoints(EXPERIMENT, SMOKE, RUN, folder)
    assert sorted(small) == [
        f"arithmetic-1-{name}" for name in ("adversarial-0", "energy", "grown-0", "lm", "residual-0", "surprise-0")
    ]
    assert small["arithmetic-1-surprise-0"][1]["config"]["head"] == "energies.sequence_energies.SurpriseEnergy"
    state, note = small["arithmetic-1-grown-0"]
    whole, _ = load_checkpoint(folder / "run-0" / "grown" / "net.safetensors")
    assert (note["recipe"], note["config"]["n_digits"]) == ("recipes.sequences.adversarial.fit", 1)
    json.dumps(note)
    for key, value in state.items():
        assert value.dtype == torch.float16
        torch.testing.assert_close(value.float(), whole[key], rtol=2**-10, atol=1e-7)


@pytest.mark.slow
def test_runs_trained_side_by_side_give_the_numbers_of_runs_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    original = experiment.fit_side_by_side

    def watched(config: Any, runs: Any, **rest: Any) -> Any:
        trained.append(len(runs))
        return original(config, runs, **rest)

    monkeypatch.setattr(experiment, "fit_side_by_side", watched)
    torch.set_default_dtype(torch.float64)  # rounding is then too small to decide between two candidates
    try:
        small = dataclasses.replace(SMOKE, variants=tuple(v for v in SMOKE.variants if not v.once))
        alone = run_smoke(tmp_path / "alone", small)
        assert not trained
        beside = run_smoke(tmp_path / "beside", dataclasses.replace(small, side_by_side=True))
        assert trained == [SMOKE.n_runs] * 3  # Algorithm 1 without attack, as printed and grown
        for found, expected in zip(beside.entries, alone.entries, strict=True):
            assert found.name == expected.name and found.values == pytest.approx(expected.values, rel=1e-6, abs=1e-8)
        more = dataclasses.replace(small, side_by_side=True, n_runs=SMOKE.n_runs + 1)
        run_smoke(tmp_path / "beside", more)
        assert trained[3:] == [1] * 3  # what is trained stays
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "other, message",
    [
        (dataclasses.replace(SMOKE, n_samples=9), r"config\.shared\.n_samples: 8, expected 9"),
        (dataclasses.replace(SMOKE, lm=dataclasses.replace(SMOKE.lm, rate=0.5)), r"config\.shared\.lm\.rate"),
        (dataclasses.replace(SMOKE, variants=methods(1, n_rows=30)), "config.of.config"),
    ],
)
def test_another_experiment_in_the_same_folder_is_refused(
    found: tuple[Path, Findings], other: Config, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_smoke(found[0], other)


@pytest.mark.slow
def test_every_training_says_what_it_was_given(found: tuple[Path, Findings]) -> None:
    _, note = load_checkpoint(found[0] / "run-1" / "grown" / "fit.safetensors")
    origin = note["origin"]
    assert (origin["recipe"], origin["seed"]) == ("recipes.sequences.adversarial.fit", 1)
    assert set(origin["given"]) == {"pretrained", "noise"} and origin["data"].startswith("train ")
    result = read_json(found[0] / "run-1" / "grown" / RESULT)
    assert result["origin"]["config"]["of"]["fit"] == origin["recipe"]


def test_claims_are_declared_with_what_would_matter_and_a_control() -> None:
    for config in (PAPER, CPU, NOTEBOOK, SMOKE):
        assert [claim.name for claim in config.claims] == ["figure-1a", "figure-2", "figure-2/plain", "figure-1b"]
        assert all(claim.control for claim in config.claims)


def test_methods_take_only_changes_that_they_have_a_field_for() -> None:
    changed = {variant.name: variant.config for variant in methods(3, n_attack_steps=3, batch_size=7)}
    assert {config.batch_size for config in changed.values()} == {7}
    assert changed["adversarial"].n_attack_steps == changed["grown"].n_attack_steps == 3
    assert changed["no-attack"].n_attack_steps == 0
    assert {config.n_digits for config in changed.values()} == {3}


def _kill(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
