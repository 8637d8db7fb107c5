"""Stages are done once each, whatever happens between them, and say what made them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.experiments import attempts
from ebm_course.experiments import stages as stages_module
from ebm_course.experiments.attempts import ATTEMPTS, attempts_of
from ebm_course.experiments.stages import AT_WORK, RESULT, Results, Stage, run_stages
from ebm_course.origin import Origin
from ebm_course.runtime import Run
from ebm_course.storage import locked, read_tensors, write_json, write_tensors

ORIGIN = Origin("experiments.fake", {"a": 1, "b": 2}, 0)
RUN = Run(torch.device("cpu"), 0)


def run(stages: Sequence[Stage], folder: Path, origin: Origin = ORIGIN) -> Results:
    return run_stages(stages, folder, origin=origin, run=RUN, progress=False)


def noting(calls: list[str], result: Any = 1) -> Callable[[Path, Results], Any]:
    def work(folder: Path, results: Results) -> Any:
        calls.append(f"{folder.name} after {', '.join(results) or 'nothing'}")
        return result

    return work


def killed(folder: Path, results: Results) -> None:
    raise KeyboardInterrupt


def test_stages_are_done_in_order_once_and_see_the_results_before_them(tmp_path: Path) -> None:
    calls: list[str] = []
    stages = [Stage("one", noting(calls, {"values": (1.5, None)})), Stage("two", noting(calls))]
    first, second = run(stages, tmp_path), run(stages, tmp_path)
    assert calls == ["one after nothing", "two after one"]
    assert dict(first) == dict(second) == {"one": {"values": [1.5, None]}, "two": 1}


def test_a_killed_stage_is_done_again_and_its_lost_seconds_count(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run([Stage("one", killed)], tmp_path)
    (lost,) = attempts_of(tmp_path / "one" / ATTEMPTS)
    results = run([Stage("one", lambda folder, _: 3), Stage("two", lambda folder, _: 4)], tmp_path)
    assert results.attempts("one")[0] == lost and len(results.attempts("one")) == 2
    assert results.seconds("one") > lost.seconds > 0
    assert results.seconds() == pytest.approx(results.seconds("one") + results.seconds("two"))


@pytest.mark.slow
def test_the_seconds_of_a_stage_survive_sigkill(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import time
            from pathlib import Path

            import torch

            from ebm_course.experiments import attempts
            from ebm_course.experiments.stages import Stage, run_stages
            from ebm_course.origin import Origin
            from ebm_course.runtime import Run

            attempts.EVERY = 0.2
            stage = Stage("one", lambda folder, results: time.sleep(60))
            options = {{"origin": Origin("experiments.fake", {{"a": 1, "b": 2}}, 0), "progress": False}}
            run_stages([stage], Path({str(tmp_path / "work")!r}), run=Run(torch.device("cpu"), 0), **options)
            """
        )
    )
    process = subprocess.Popen([sys.executable, str(script)])
    file = tmp_path / "work" / "one" / ATTEMPTS
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (file.is_file() and attempts_of(file)[0].seconds > 0.5):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (lost,) = attempts_of(file)
    assert lost.seconds > 0.5 and lost.commit and "cpu" in lost.hardware
    results = run([Stage("one", lambda folder, _: 3)], tmp_path / "work")  # the system has taken the lock back
    assert results.attempts("one")[0] == lost and results.seconds("one") > lost.seconds


@pytest.mark.parametrize(
    "other, message",
    [
        (replace(ORIGIN, config={"a": 1, "b": 3}), "config.shared.b: 2, expected 3"),
        (replace(ORIGIN, seed=4), "seed: 0, expected 4"),
        (replace(ORIGIN, version="99.0"), "version: .*, expected '99.0'"),
        (replace(ORIGIN, recipe="experiments.other"), "recipe: 'experiments.fake', expected"),
    ],
)
def test_what_another_origin_has_made_is_refused_before_any_work(other: Origin, message: str, tmp_path: Path) -> None:
    run([Stage("two", lambda folder, _: 1)], tmp_path)
    calls: list[str] = []
    with pytest.raises(ValueError, match=message):
        run([Stage("one", noting(calls)), Stage("two", noting(calls))], tmp_path, other)
    assert not calls


def test_a_stage_of_another_variant_is_refused_and_others_may_be_added(tmp_path: Path) -> None:
    run([Stage("one", lambda folder, _: 1, of={"rate": 0.1})], tmp_path)
    more = [Stage("zero", lambda folder, _: 0), Stage("one", lambda folder, _: 2, of={"rate": 0.1})]
    assert dict(run(more, tmp_path)) == {"zero": 0, "one": 1}
    with pytest.raises(ValueError, match=r"config\.of\.rate: 0\.1, expected 0\.2"):
        run([Stage("one", lambda folder, _: 1, of={"rate": 0.2})], tmp_path)


def test_a_damaged_result_is_named_and_not_read(tmp_path: Path) -> None:
    run([Stage("one", lambda folder, _: 0.25)], tmp_path)
    file = tmp_path / "one" / RESULT
    file.write_text(file.read_text().replace("0.25", "0.75"))
    with pytest.raises(ValueError, match=r"one.result\.json .*another SHA-256"):
        run([Stage("one", lambda folder, _: 1)], tmp_path)
    file.write_text("")
    with pytest.raises(ValueError, match=r"one.result\.json \(0 bytes\) is cut short"):
        run([Stage("one", lambda folder, _: 1)], tmp_path)


def test_a_folder_in_which_another_run_works_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(BlockingIOError, match="is in use by another run"):
        run([Stage("one", lambda folder, _: 1)], tmp_path)
    assert dict(run([Stage("one", lambda folder, _: 1)], tmp_path)) == {"one": 1}


def test_a_result_that_is_not_finite_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        run([Stage("one", lambda folder, _: float("nan"))], tmp_path)
    assert dict(run([Stage("one", lambda folder, _: 1.0)], tmp_path)) == {"one": 1.0}


def test_two_stages_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected each once"):
        run([Stage("one", killed), Stage("one", killed)], tmp_path)


def test_time_is_noted_while_a_stage_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "EVERY", 0.01)
    seen: list[float] = []

    def work(folder: Path, results: Results) -> int:
        for _ in range(20):
            time.sleep(0.02)
            seen.append(attempts_of(folder / ATTEMPTS)[-1].seconds)
        return 1

    run([Stage("one", work)], tmp_path)
    assert seen[-1] > 0.1 and seen == sorted(seen)


def test_a_stage_made_from_a_result_that_is_another_now_is_refused(tmp_path: Path) -> None:
    def double(folder: Path, results: Results) -> Any:
        return 2 * results["one"]

    stages = [Stage("one", lambda folder, _: 1), Stage("two", double), Stage("apart", lambda folder, _: 5)]
    run(stages, tmp_path)
    shutil.rmtree(tmp_path / "one")
    assert dict(run(stages, tmp_path)) == {"one": 1, "two": 2, "apart": 5}  # done again to the same result
    shutil.rmtree(tmp_path / "one")
    changed = [Stage("one", lambda folder, _: 3), *stages[1:]]
    with pytest.raises(ValueError, match="two was made from another one than the one that is there now"):
        run(changed, tmp_path)
    shutil.rmtree(tmp_path / "two")
    assert dict(run(changed, tmp_path)) == {"one": 3, "two": 6, "apart": 5}


def test_a_file_that_a_stage_left_is_missed_and_a_changed_one_is_seen(tmp_path: Path) -> None:
    def work(folder: Path, results: Results) -> int:
        write_tensors(folder / "net.safetensors", {"x": torch.zeros(2)}, {})
        return 1

    def reads(folder: Path, results: Results) -> float:
        return float(read_tensors(results.folder("one") / "net.safetensors")[0]["x"].sum())

    stages, more = [Stage("one", work), Stage("two", reads)], [Stage("three", reads)]
    run(stages, tmp_path)
    file = tmp_path / "one" / "net.safetensors"
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(ValueError, match=r"net\.safetensors is missing or not what its stage wrote\. Delete .*one"):
        run([*stages, *more], tmp_path)
    assert dict(run([*stages, Stage("apart", lambda folder, _: 5, after=("two",))], tmp_path))["apart"] == 5
    write_tensors(file, {"x": torch.ones(2)}, {})
    with pytest.raises(ValueError, match="not what its stage wrote"):
        run(stages, tmp_path)
    file.write_bytes(whole)
    assert dict(run(stages, tmp_path)) == {"one": 1, "two": 0.0}


def test_another_files_content_in_place_of_attempts_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run([Stage("one", killed)], tmp_path)
    write_json(tmp_path / "one" / ATTEMPTS, ["something else"])
    with pytest.raises(ValueError, match=r"attempts\.json holds no attempts at a stage"):
        run([Stage("one", lambda folder, _: 1)], tmp_path)


def test_a_stage_may_read_only_what_it_says_it_comes_after(tmp_path: Path) -> None:
    def reads(folder: Path, results: Results) -> Any:
        return results["one"]

    stages = [Stage("one", lambda folder, _: 1), Stage("two", reads, after=())]
    with pytest.raises(ValueError, match="a stage reads one, which it does not come after"):
        run(stages, tmp_path)
    assert dict(run([stages[0], replace(stages[1], after=("one",))], tmp_path)) == {"one": 1, "two": 1}


JOINING = """
import sys, time
from pathlib import Path

import torch

from ebm_course.experiments.stages import Stage, run_stages
from ebm_course.origin import Origin
from ebm_course.runtime import Run

root = Path(sys.argv[1])

def work(name):
    def act(folder, results):
        with (root / "calls").open("a") as file:
            file.write(f"{name} {sys.argv[2]}\\n")
        time.sleep(0.3)
        return sum(results[f"leaf-{i}"] for i in range(6)) if name == "sum" else 1
    return act

stages = [Stage("sum", work("sum"), after=tuple(f"leaf-{i}" for i in range(6)))]
stages += [Stage(f"leaf-{i}", work(f"leaf-{i}"), after=()) for i in range(6)]
(root / f"ready-{sys.argv[2]}").touch()
while len(list(root.glob("ready-*"))) < 3:  # on a crowded machine one would be done before another has begun
    time.sleep(0.01)
options = {"origin": Origin("experiments.fake", {"a": 1, "b": 2}, 0), "progress": False, "join": True}
results = run_stages(stages, root / "work", run=Run(torch.device("cpu"), 0), **options)
assert dict(results) == {"sum": 6, **{f"leaf-{i}": 1 for i in range(6)}} and list(results)[0] == "sum"
"""


@pytest.mark.slow
def test_runs_that_join_do_every_stage_once_and_all_see_all_results(tmp_path: Path) -> None:
    script = tmp_path / "joining.py"
    script.write_text(JOINING)
    processes = [subprocess.Popen([sys.executable, str(script), str(tmp_path), str(k)]) for k in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    names, workers = zip(*(line.split() for line in (tmp_path / "calls").read_text().splitlines()), strict=True)
    assert sorted(names) == [*(f"leaf-{i}" for i in range(6)), "sum"] and names[-1] == "sum"
    assert len(set(workers)) > 1


def test_a_run_that_joins_is_refused_where_another_has_the_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages_module, "PATIENCE", 0.05)
    with locked(tmp_path), pytest.raises(BlockingIOError, match="is in use by another run"):
        run_stages([], tmp_path, origin=ORIGIN, run=RUN, progress=False, join=True)


def test_a_stage_that_another_run_is_at_is_left_to_it(tmp_path: Path) -> None:
    with locked(tmp_path / "one", AT_WORK), pytest.raises(BlockingIOError, match="is in use by another run"):
        run([Stage("one", lambda folder, _: 1)], tmp_path)
