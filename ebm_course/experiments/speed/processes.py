"""Algorithm 1 in one process and in several, on the CPU, one thread each; run as a program it is one of the processes.

``python -m ebm_course.experiments.speed.processes FILE``, alone or launched several times by ``torch.distributed.run``,
reads a configuration from the file and the main process writes the seconds of its training there.

>>> from tempfile import TemporaryDirectory
>>> from unittest.mock import patch
>>> from ebm_course.experiments.speed.config import SMOKE
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> asked, n_threads = (SMOKE.training, SMOKE.pretraining), torch.get_num_threads()
>>> train_once(*asked, SINGLE_PROCESS) > 0
True
>>> def here(command, **options):  # in the place of a process of its own
...     work(Path(command[-1]))
...     return subprocess.CompletedProcess(command, returncode=0)
>>> with TemporaryDirectory() as folder, patch("subprocess.run", here):
...     taken = seconds_by_processes((1,), *asked, Path(folder))
>>> torch.set_num_threads(n_threads)
>>> list(taken), taken["1"] > 0
(['1'], True)
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ebm_course.experiments.clock import seconds
from ebm_course.recipes.sequences import adversarial, language_model
from ebm_course.runtime import Run, setup
from ebm_course.storage import write_atomically

PLAIN = {"n_digits", "n_rows", "n_noise", "n_epochs", "n_attack_steps", "batch_size"}
"""The fields that are handed over; all others keep their defaults."""


def seconds_by_processes(
    counts: tuple[int, ...], config: adversarial.Config, net: language_model.Config, folder: Path
) -> dict[str, float]:
    """Seconds of the same training in so many processes; more than one only where accelerate is installed.

    Raises:
        RuntimeError: a launch failed; the message ends with what it wrote.
    """
    together = importlib.util.find_spec("accelerate") is not None
    return {str(n): _launched(n, config, net, folder) for n in counts if n == 1 or together}


def train_once(config: adversarial.Config, net: language_model.Config, run: Run) -> float:
    """Seconds of a training of fresh nets, after one that warms up."""
    pretrained, noise = language_model.build(net), language_model.build(replace(net, n_heads=0))

    def act() -> None:
        adversarial.fit(config, run, pretrained=pretrained, noise=noise, progress=False)  # type: ignore[arg-type]

    act()
    run.wait()
    return seconds(act, run.device)


def _launched(n: int, config: adversarial.Config, net: language_model.Config, folder: Path) -> float:
    file = folder / f"{n}-processes.json"
    asked = {"config": {name: getattr(config, name) for name in sorted(PLAIN)}, "net": asdict(net)}
    write_atomically(file, json.dumps(asked).encode())
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)] if n > 1 else []
    command = [sys.executable, *launch, "-m", __name__, str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"training in {n} processes failed, expected exit code 0: {done.stderr[-2000:]}")
    return float(json.loads(file.read_text())["seconds"])


def work(file: Path) -> None:
    """One of the processes."""
    torch.set_num_threads(1)
    run = setup(0, device="cpu", quiet=True)
    asked: dict[str, Any] = json.loads(file.read_text())
    config = adversarial.Config(**asked["config"])
    net = language_model.Config(**asked["net"] | {"betas": tuple(asked["net"]["betas"])})
    taken = train_once(config, net, run)
    if run.is_main:
        write_atomically(file, json.dumps({"seconds": taken}).encode())


if __name__ == "__main__":
    work(Path(sys.argv[1]))
