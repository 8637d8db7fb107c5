"""The whole sequence experiment in two processes finds the numbers that one process finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebm_course.results import ledger
from ebm_course.results.record import Record

COMMAND = ["-m", "ebm_course", "reproduce", "sequences", "--preset", "smoke", "--quiet"]
LAUNCH = [
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),  # a free port
]


def recorded(folder: Path, *launch: str) -> Record:
    environment = {**os.environ, "EBM_COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, *launch, *COMMAND, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return ledger.read_file(folder / "sequences-smoke.json")


@pytest.mark.slow
def test_two_processes_record_what_one_records(tmp_path: Path) -> None:
    one, two = recorded(tmp_path / "one"), recorded(tmp_path / "two", *LAUNCH)
    assert len(one.entries) == len(two.entries) > 100
    for entry, other in zip(one.entries, two.entries, strict=True):
        assert entry.name == other.name
        assert other.values == pytest.approx(entry.values, rel=1e-4, abs=1e-4), entry.name  # float32, a few updates
    for curve, other_curve in zip(one.curves, two.curves, strict=True):
        for line, other_line in zip(curve.runs, other_curve.runs, strict=True):
            assert other_line == pytest.approx(line, rel=1e-4, abs=1e-4), curve.name
