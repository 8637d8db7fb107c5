"""Two processes on the CPU train the taggers that one process trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("taggings.py")
LAUNCH = [
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port"),
]
ENVIRONMENT = {**os.environ, "EBM_COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.slow
def test_two_processes_end_with_the_taggers_of_one(tmp_path: Path, free_port: Callable[[], str]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, command in ((one, [sys.executable]), (two, [*LAUNCH, free_port()])):
        folder.mkdir()
        done = subprocess.run(
            [*command, str(SCRIPT), str(folder)], env=ENVIRONMENT, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
    expected = load_file(one / "weights.safetensors")
    for key, value in load_file(two / "weights.safetensors").items():
        # Rounding of float32 in ten updates, and of Adam's quotient where a gradient is 0 but for rounding: a hundredth
        # of one update, whose size is 0.01.
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-4, msg=lambda m, key=key: f"{key}: {m}")
    rows, same = (json.loads((folder / "losses.json").read_text()) for folder in (two, one))
    for name, found in rows.items():
        for row, other in zip(found, same[name], strict=True):
            assert row == pytest.approx(other, rel=1e-3, abs=1e-5)
