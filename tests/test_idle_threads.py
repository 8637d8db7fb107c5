"""Idle threads of torch cost next to nothing, whichever was imported first."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ebm_course.processors import usable_processors

CODE = """
import json, time, sys
{imports}
from ebm_course.idle_threads import let_idle_threads_sleep
from ebm_course.runtime import setup
torch.set_num_threads(2)
x = torch.ones(1 << 20)

def seconds():
    start = time.process_time()
    for _ in range(40):
        x.add_(1)
        time.sleep(0.02)
    return time.process_time() - start

before = seconds()
setup(quiet=True)
print(json.dumps([let_idle_threads_sleep(), torch.get_num_threads(), before, seconds()]))
"""
ORDERS = {"torch": "import torch, ebm_course", "course": "import ebm_course, torch"}
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch has another OpenMP"),
    pytest.mark.skipif(usable_processors() < 2, reason="on one processor nothing is idle"),
]


def run(first: str, **asked: str) -> list:
    """What ``CODE`` prints where this was imported first."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", CODE.format(imports=ORDERS[first])]
    done = subprocess.run(command, env=kept | asked, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_where_torch_came_first_its_idle_threads_stop_spinning_at_setup():
    called_for, n_threads, before, after = run("torch")
    assert called_for
    assert n_threads == 2  # as many as there were
    assert after < before / 5  # measured: 0.02 and 0.45 s


@pytest.mark.parametrize(
    ("first", "asked"),
    [("course", {}), ("torch", {"OMP_WAIT_POLICY": "PASSIVE"}), ("torch", {"GOMP_SPINCOUNT": "300000"})],
)
def test_nothing_is_started_where_the_course_came_first_or_something_was_asked_for(first: str, asked: dict[str, str]):
    assert not run(first, **asked)[0]
