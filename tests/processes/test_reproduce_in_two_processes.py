"""The whole sequence experiment in two processes finds the numbers that one process finds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ebm_course.results import ledger
from ebm_course.results.record import Record

COMMAND = ["-m", "ebm_course", "reproduce", "sequences", "--preset", "smoke", "--quiet"]
PLAIN = ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
LAUNCHERS = {
    "a process for each device": ["--multi_gpu", "--main_process_port", "PORT"],
    "MPI": ["--cpu", "--mpirun_hostfile", "hosts"],
}


def recorded(folder: Path, *launch: str) -> Record:
    environment = {**os.environ, "EBM_COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # as in a container
    folder.mkdir()
    (folder / "hosts").write_text("localhost slots=2\n")
    command = [sys.executable, *launch, *COMMAND, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return ledger.read_file(folder / "sequences-smoke.json")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return recorded(tmp_path_factory.mktemp("one") / "process")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_record_what_one_records(
    one: Record, tmp_path: Path, launcher: str, free_port: Callable[[], str]
) -> None:
    if launcher == "MPI" and not shutil.which("mpirun"):
        pytest.skip("no MPI is installed")
    options = [free_port() if option == "PORT" else option for option in LAUNCHERS[launcher]]
    two = recorded(tmp_path / "two", "-m", "accelerate.commands.launch", *PLAIN, *options)
    assert "2 processes" in two.hardware and "2 processes" not in one.hardware
    assert len(one.entries) == len(two.entries) > 100
    elsewhere = 0
    for entry, other in zip(one.entries, two.entries, strict=True):
        assert entry.name == other.name
        same = other.values == pytest.approx(entry.values, rel=1e-4, abs=1e-4)  # float32, a few updates
        elsewhere += not same  # where rounding decides between two tokens, one sample of 80 ends elsewhere
        assert same or other.values == pytest.approx(entry.values, abs=1 / 80 + 1e-4), entry.name
    assert elsewhere <= len(one.entries) // 50
    for curve, other_curve in zip(one.curves, two.curves, strict=True):
        for line, other_line in zip(curve.runs, other_curve.runs, strict=True):
            assert other_line == pytest.approx(line, rel=1e-4, abs=1e-4), curve.name
