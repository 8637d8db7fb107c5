"""Speed is measured: clocks and bytes against hand values, laws against synthetic ones, all of it at smoke size."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.core import Batch, Negatives
from ebm_course.experiments.clock import exponent, median_seconds, medians_in_turn, peak_bytes
from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.speed import attack, processes, training
from ebm_course.experiments.speed.config import CPU, PAPER, SMOKE, SWEEPS, Config, sizes
from ebm_course.experiments.speed.experiment import EXPERIMENT, stages
from ebm_course.experiments.speed.findings import collected
from ebm_course.experiments.speed.workload import random_equations
from ebm_course.experiments.stages import RESULT
from ebm_course.recipes.sequences import language_model
from ebm_course.results.findings import Findings
from ebm_course.runtime import Run, setup
from ebm_course.tasks.arithmetic import Format
from ebm_course.training.batches import Batches

RUN = Run(torch.device("cpu"), 0)
DEVICE = RUN.device


def run_smoke(folder: Path, config: Config = SMOKE) -> Findings:
    return reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=folder, progress=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings]:
    folder = tmp_path_factory.mktemp("speed")
    return folder, run_smoke(folder)


def test_the_exponent_of_a_law_is_recovered() -> None:
    x = [16, 32, 64, 128]
    assert exponent(x, [3.0 * v**1.5 for v in x]) == pytest.approx(1.5, abs=1e-12)
    assert exponent(x, [1.0, 1.0, 2.0, 4.0], last=3) == pytest.approx(1.0, abs=1e-12)
    assert exponent(x, [1.0, 1.0, 2.0, 4.0]) == pytest.approx(0.7, abs=1e-12)  # by hand, in powers of 2


@pytest.mark.parametrize(
    "x, y",
    [([2], [1.0]), ([2, 2], [1.0, 1.0]), ([1, 2], [0.0, 1.0]), ([1, 2], [1.0]), ([1, 2], [1.0, math.nan])],
)
def test_no_exponent_is_made_up(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="two sizes or more"):
        exponent(x, y)


def test_bytes_are_those_of_tensors_alive_at_once() -> None:
    x = torch.zeros(1000)

    def act() -> None:
        a = x + 1  # 4,000 bytes
        b = a * 2  # 8,000
        del a  # 4,000
        c = (b + 1).view(10, 100)[:, :50]  # 8,000: a view takes nothing
        c.add_(1)  # nor does a change in place
        c + 1  # 10,000, at once given back
        b.exp()  # 12,000

    assert peak_bytes(act, DEVICE) == 12_000


def test_bytes_of_a_graph_are_kept_until_it_is_gone() -> None:
    w = torch.zeros(1000, requires_grad=True)

    def act() -> None:
        y = (w * 2).exp()  # exp keeps its result, the product may go
        (y * y).sum()  # 4,000 each for y and its square, 4 for the sum

    assert 8_004 <= peak_bytes(act, DEVICE) < 8_100  # the numbers 2 and 1 are tensors while they are used


def test_seconds_are_the_median_after_a_first_call_and_a_long_call_is_made_once() -> None:
    waits = iter([0.0, 0.05, 0.0, 0.01])
    assert 0.01 <= median_seconds(lambda: time.sleep(next(waits)), DEVICE, n_repeats=3) < 0.05
    calls: list[int] = []

    def slow() -> None:
        calls.append(1)
        time.sleep(0.02)

    assert median_seconds(slow, DEVICE, n_repeats=3, long=0.01) >= 0.02
    assert len(calls) == 1


def test_the_call_that_warms_up_is_no_part_of_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([9.0, 1.0, 3.0, 2.0, 4.0])
    monkeypatch.setattr("ebm_course.experiments.clock.seconds", lambda act, device: next(taken))
    assert median_seconds(lambda: None, DEVICE, n_repeats=4) == 2.5


def test_calls_that_are_compared_run_in_turn() -> None:
    calls: list[str] = []
    names = medians_in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, DEVICE, n_repeats=2)
    assert calls == ["a", "b"] * 3 and set(names) == {"a", "b"}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_takes_one_step_at_the_size_it_names(sweep: str) -> None:
    for k, size in enumerate(sizes(SMOKE)[sweep]):
        act: Any = attack.step_of(sweep, k, SMOKE, RUN)
        out = act()
        assert isinstance(out, Negatives) and int(out.info["tokens_moved"].max()) == 1
        energy, x = act.args
        seen = {"length": x.shape[1], "batch": len(x), "max-rows": act.keywords.get("max_rows")}
        assert seen.get(sweep, energy.n_values) == size


def test_random_equations_have_the_layout_of_equations() -> None:
    text = Format(2).decode(random_equations(3, 2, RUN))
    assert all(len(line) == 9 and line[2] == "+" and line[5] == "=" for line in text)
    assert len(set(text)) == 3


def test_the_plain_loop_and_the_recipe_make_the_same_updates() -> None:
    config = dataclasses.replace(SMOKE.pretraining, dropout=0.0, weight_decay=0.0)
    x = random_equations(20, config.n_digits, RUN)
    batches = Batches(Batch(x), config.batch_size, seed=0)
    torch.manual_seed(0)
    start = language_model.build(config)
    nets: list[Any] = [copy.deepcopy(start), copy.deepcopy(start)]
    training.plain_loop(nets[0], config, batches, 2)()
    training.recipe_loop(nets[1], config, batches, 2, RUN)()
    for name, p in nets[0].named_parameters():
        assert not torch.equal(p, start.get_parameter(name)) or "qkv.bias" in name
        # Adam divides rounding by rounding where a gradient is 0 but for it: a tenth of one update, 1e-3.
        torch.testing.assert_close(nets[1].get_parameter(name), p, rtol=0, atol=1e-4)


def test_the_tokens_that_are_counted_are_those_that_are_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "medians_in_turn", lambda acts, device, n_repeats: dict.fromkeys(acts, 2.0))
    rows = SMOKE.pretraining_updates * SMOKE.pretraining.batch_size
    a_row = Format(SMOKE.pretraining.n_digits).length - 1  # the first token is given
    assert set(training.tokens_a_second(SMOKE, RUN).values()) == {rows * a_row / 2}


def test_numbers_and_ratios_come_from_what_was_measured() -> None:
    rates = {"plain": 100.0, "bfloat16": 250.0}
    attacks = {"freezes/neither": 6.0, "freezes/both": 2.0}
    run = {
        "machine": {"float32": 2e11},
        "seconds/length": [1.0, 1.0, 4.0, 16.0],
        "pretraining": rates,
        "processes": {"1": 3.0, "2": 2.0},
        "attack": attacks,
    }
    all_found = collected([run, run], {"length": [2**20, 2**20, 2**21, 2**22]}, {"length": [5, 10, 20, 40]})
    value = {entry.name: entry.values for entry in all_found.entries}
    assert value["machine/float32"] == (200.0, 200.0)
    assert value["exponent/length/seconds"] == pytest.approx((1.4, 1.4))  # of all sizes, the first among them
    assert value["exponent-large/length/seconds"] == pytest.approx((2.0, 2.0))
    assert value["exponent/length/bytes"] == pytest.approx((0.7,))
    assert value["exponent-large/length/bytes"] == pytest.approx((1.0,))
    assert value["largest/length/seconds"] == (16.0, 16.0) and value["largest/length/bytes"] == (4.0,)
    assert value["pretraining-ratio/bfloat16"] == (2.5, 2.5) and "pretraining-ratio/plain" not in value
    assert value["processes-ratio/2"] == (1.5, 1.5) and value["attack-ratio/freezes/both"] == (3.0, 3.0)
    assert {curve.name: curve.runs for curve in all_found.curves} == {
        "seconds/length": [[1.0, 1.0, 4.0, 16.0]] * 2,
        "MiB/length": [[1.0, 1.0, 2.0, 4.0]],
    }


@pytest.mark.slow
def test_every_number_and_curve_is_found_and_finite(found: tuple[Path, Findings]) -> None:
    all_found = found[1]
    names = [entry.name for entry in all_found.entries]
    assert len(set(names)) == len(names)
    assert all(math.isfinite(v) for entry in all_found.entries for v in entry.values)
    assert all(len(line) == len(curve.x) for curve in all_found.curves for line in curve.runs)
    assert {curve.name for curve in all_found.curves} == {f"{y}/{s}" for y in ("seconds", "MiB") for s in SWEEPS}
    by_name = {entry.name: entry for entry in all_found.entries}
    assert len(by_name["largest/batch/seconds"].values) == SMOKE.n_runs
    assert min(by_name["processes/1"].values) > 0 and min(by_name["pretraining/bfloat16"].values) > 0


@pytest.mark.slow
def test_what_was_measured_is_not_measured_again_and_a_run_may_be_added(found: tuple[Path, Findings]) -> None:
    folder, first = found
    before = {file: file.stat().st_mtime_ns for file in folder.rglob(RESULT)}
    assert run_smoke(folder) == first
    more = run_smoke(folder, dataclasses.replace(SMOKE, n_runs=SMOKE.n_runs + 1))
    after = {file: file.stat().st_mtime_ns for file in folder.rglob(RESULT)}
    assert {file: after[file] for file in before} == before
    new = {str(file.relative_to(folder)) for file in after.keys() - before.keys()}
    assert new and all(name.startswith(f"run-{SMOKE.n_runs}/") for name in new)
    values, grown = (next(e.values for e in f.entries if e.name == "attack/freezes/both") for f in (first, more))
    assert grown[:-1] == values


@pytest.mark.parametrize("config", [PAPER, CPU, SMOKE])
def test_every_run_measures_everything(config: Config) -> None:
    names = [stage.name for stage in stages(config, RUN)]
    assert len(set(names)) == len(names) == len(SWEEPS) + config.n_runs * (4 + len(SWEEPS))


@pytest.mark.slow
def test_another_device_is_refused_in_the_folder_of_the_first(found: tuple[Path, Findings]) -> None:
    folder = found[0]
    with pytest.raises(ValueError, match=r"config\.of: 'cpu', expected 'meta'"):
        reproduce(EXPERIMENT, SMOKE, Run(torch.device("meta"), 0), folder=folder, progress=False)


@pytest.mark.slow
def test_two_processes_are_launched_and_timed(tmp_path: Path) -> None:
    taken = processes.seconds_by_processes((1, 2), SMOKE.training, SMOKE.pretraining, tmp_path)
    assert set(taken) == {"1", "2"} and min(taken.values()) > 0


def test_a_launch_that_fails_says_what_it_wrote(tmp_path: Path) -> None:
    broken = dataclasses.replace(SMOKE.training, batch_size=10**6)
    with pytest.raises(RuntimeError, match=r"training in 1 processes failed(.|\n)*batch"):
        processes.seconds_by_processes((1,), broken, SMOKE.pretraining, tmp_path)


def test_several_processes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="launches others itself"):
        reproduce(EXPERIMENT, SMOKE, Run(DEVICE, 0, n_processes=2), folder=tmp_path)
