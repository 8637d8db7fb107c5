"""Threads are counted by what a process may use: the processors it is bound to, and the quota of its container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ebm_course import processors
from ebm_course.processors import usable_memory, usable_processors
from ebm_course.runtime import setup

ROOT = Path(__file__).parents[1]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of sixteen processors."""
    monkeypatch.setattr(processors.os, "cpu_count", lambda: 16)
    if sys.platform == "linux":
        monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _: set(range(16)))


def machine(root: Path, listing: str, **files: str) -> Path:
    """Files as Linux shows them; two underscores stand for a folder, one for a dot."""
    for name, text in {"proc__self__cgroup": listing, **files}.items():
        path = root / Path(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


CPU_MAX = "sys__fs__cgroup__{}cpu.max"
V1 = "sys__fs__cgroup__cpu__{}cpu.cfs_{}_us"


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    "listing, files, expected",
    [
        ("0::/\n", {CPU_MAX.format(""): "200000 100000\n"}, 2),
        ("0::/\n", {CPU_MAX.format(""): "250000 100000\n"}, 2),
        ("0::/\n", {CPU_MAX.format(""): "50000 100000\n"}, 1),
        ("0::/\n", {CPU_MAX.format(""): "max 100000\n"}, 16),
        ("0::/\n", {CPU_MAX.format(""): "6400000 100000\n"}, 16),  # more than there are
        ("0::/a/b\n", {CPU_MAX.format("a__b__"): "max 100000", CPU_MAX.format("a__"): "300000 100000"}, 3),
        ("0::/a/b\n", {CPU_MAX.format("a__b__"): "400000 100000", CPU_MAX.format("a__"): "700000 100000"}, 4),
        ("4:cpu,cpuacct:/a\n", {V1.format("a__", "quota"): "200000", V1.format("a__", "period"): "100000"}, 2),
        ("4:cpu,cpuacct:/host/a\n", {V1.format("", "quota"): "200000", V1.format("", "period"): "50000"}, 4),
        ("4:cpu:/\n", {V1.format("", "quota"): "-1", V1.format("", "period"): "100000"}, 16),
        ("4:cpuset:/\n", {V1.format("", "quota"): "100000", V1.format("", "period"): "100000"}, 16),
        ("0::/\n", {CPU_MAX.format(""): "nonsense"}, 16),
        ("0::/\n", {CPU_MAX.format(""): "100000 0"}, 16),
        ("0::/\n", {}, 16),
        ("nonsense\n", {CPU_MAX.format(""): "100000 100000"}, 16),
    ],
)
def test_a_quota_is_read_where_the_system_shows_it(
    listing: str, files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    assert usable_processors(machine(tmp_path, listing, **files)) == expected


@pytest.mark.usefixtures("many")
def test_without_such_files_the_processors_are_counted(tmp_path: Path) -> None:
    assert usable_processors(tmp_path) == 16


@pytest.mark.parametrize(
    "listing, files, expected",
    [
        ("0::/a\n", {"sys__fs__cgroup__a__memory.max": "1000\n"}, 1000),
        ("0::/a\n", {"sys__fs__cgroup__a__memory.max": "max\n", "sys__fs__cgroup__memory.max": "2000"}, 2000),
        ("3:memory:/a\n", {"sys__fs__cgroup__memory__memory.limit_in_bytes": "3000\n"}, 3000),
        ("3:cpu:/a\n", {"sys__fs__cgroup__memory__memory.limit_in_bytes": "3000\n"}, None),
        ("0::/\n", {"sys__fs__cgroup__memory.max": "nonsense"}, None),
    ],
)
def test_a_containers_memory_is_read_where_the_system_shows_it(
    listing: str, files: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    whole = usable_memory(tmp_path / "nowhere")
    assert whole > 2**20 and usable_memory(machine(tmp_path, listing, **files)) == (expected or whole)


@pytest.mark.parametrize("asked, expected", [(None, 1), ("", 1), ("3", 3)])
def test_setup_lets_torch_have_as_many_threads_as_can_run_unless_the_reader_says_how_many(
    asked: str | None, expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr("ebm_course.runtime.usable_processors", lambda: 1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        setup(device="cpu")
        assert torch.get_num_threads() == expected
        assert f"cpu, {expected} thread" in capsys.readouterr().out
        monkeypatch.setattr("ebm_course.runtime.usable_processors", lambda: 8)
        setup(device="cpu", quiet=True)
        assert torch.get_num_threads() == expected, "setup never asks for more"
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="binds a process to a processor")
def test_a_process_bound_to_one_processor_has_one_thread() -> None:
    program = (
        "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "import torch\ntorch.set_num_threads(4)\nfrom ebm_course.runtime import setup\nsetup()\n"
        "assert torch.get_num_threads() == 1"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"PYTHONPATH": str(ROOT), "EBM_COURSE_DEVICE": "cpu"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "cpu, 1 thread" in done.stdout
