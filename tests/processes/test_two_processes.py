"""Two processes on the CPU train what one process trains, at the same global minibatch."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

TRAININGS = Path(__file__).with_name("trainings.py")
LAUNCH = [
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port"),
]
ENVIRONMENT = {**os.environ, "EBM_COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
# In exact arithmetic the bare difference has no gradient in a constant added to all energies: Adam divides rounding by
# rounding there, and the level of the energy wanders, up to the learning rate an update. Only differences are learned.
LEVEL = {"printed.head.bias", "printed.net.norm.bias"}
# CARL logs a mean over negatives, of which the rows of two processes have other numbers: the mean of two means.
LEFT_OUT = {"printed": {"e_data", "e_negative", "gradient_norm"}, "carl": {"others"}}

NAMES = ["lstm", "transformer", "residual", "grown", "printed", "joint", "robust", "carl", "rar"]

Result = tuple[dict[str, Tensor], dict]


def start(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


def trained(folder: Path, *command: str) -> Result:
    done = start(*command, TRAININGS, folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("torch") == 1, "only the main process prints"
    return load_file(folder / "weights.safetensors"), json.loads((folder / "facts.json").read_text())


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return trained(tmp_path_factory.mktemp("one"), sys.executable)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], str]) -> Result:
    return trained(tmp_path_factory.mktemp("two"), *LAUNCH, free_port())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_end_with_the_weights_of_one(one: Result, two: Result, name: str) -> None:
    keys = [key for key in one[0] if key.startswith(name) and key not in LEVEL]
    for key in keys:
        # Rounding of float32, and of Adam's quotient where a gradient is 0 but for rounding (biases of attention's
        # keys): a hundredth of one update, whose size is the learning rate, 6e-4 or 1e-3.
        torch.testing.assert_close(two[0][key], one[0][key], rtol=1e-5, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}")
    assert len(keys) > 4


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_log_the_values_of_one(one: Result, two: Result, name: str) -> None:
    rows, same = two[1]["logs"][name], one[1]["logs"][name]
    assert len(rows) == len(same) == 4
    left_out = LEFT_OUT.get(name, set())
    for row, expected in zip(rows, same, strict=True):
        # float32 over eight updates
        assert {k: v for k, v in row.items() if k not in left_out} == pytest.approx(
            {k: v for k, v in expected.items() if k not in left_out}, rel=1e-4, abs=1e-6
        )


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2])
def test_shares_means_and_saved_states_are_what_they_should_be(one: Result, two: Result, n: int) -> None:
    found = (one, two)[n - 1][1]
    assert found["processes"] == n
    assert [fact for fact, holds in found["facts"].items() if not holds] == []
    assert len(found["facts"]) == 10


@pytest.mark.slow
def test_two_processes_of_which_one_was_killed_go_on_and_end_with_the_weights_of_one(
    tmp_path: Path, free_port: Callable[[], str]
) -> None:
    script, two, one = TRAININGS.with_name("killed.py"), tmp_path / "two", tmp_path / "one"
    one.mkdir()
    two.mkdir()
    assert start(*LAUNCH, free_port(), script, two, "kill").returncode != 0
    assert (two / "state" / "fit.safetensors").is_file() and not (two / "weights.safetensors").exists()
    for command, folder in (([*LAUNCH, free_port()], two), ([sys.executable], one)):
        assert start(*command, script, folder).returncode == 0
    expected = load_file(one / "weights.safetensors")
    for key, value in load_file(two / "weights.safetensors").items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-5)  # as above


@pytest.mark.slow
def test_the_command_line_in_two_processes_writes_one_checkpoint(tmp_path: Path, free_port: Callable[[], str]) -> None:
    out = tmp_path / "lm.safetensors"
    command = ["-m", "ebm_course", "train", "sequences.language_model", "--preset", "smoke", "--out", out]
    done = start(*LAUNCH, free_port(), *command)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("2 processes") == 1 and done.stdout.count(str(out)) == 1
    assert done.stderr.count("  0%|") == 1, "one bar, that of the main process"
    two = load_file(out)
    assert start(sys.executable, *command).returncode == 0
    for key, value in load_file(out).items():
        torch.testing.assert_close(two[key], value, rtol=1e-5, atol=1e-5)  # as above


def test_the_trainings_would_notice_a_difference() -> None:
    """Attack budgets grow and gradients are clipped in them, so both are compared."""
    names = runpy.run_path(str(TRAININGS))
    _, logs = names["train_all"](names["Run"](torch.device("cpu"), 0))
    assert logs["grown"][-1]["attack_steps"] > logs["grown"][0]["attack_steps"]
    assert max(row["gradient_norm"] for row in logs["residual"]) > names["RESIDUAL"].clip
