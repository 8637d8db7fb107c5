"""What the course's algorithms cost on a machine, measured: rates, growth laws, and what saves work.

A run measures everything once, each number as the median of a few calls after one that warms up; several runs show the
spread. Nothing else should work on the machine meanwhile. It knows no result of training: weights are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ebm_course.experiments.clock import matrix_rate
from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.speed import attack, processes, training
from ebm_course.experiments.speed.config import PRESETS, SWEEPS, Config
from ebm_course.experiments.speed.findings import findings
from ebm_course.experiments.stages import Results, Stage
from ebm_course.recipes.shared import check_memory
from ebm_course.runtime import Run

SECONDS = dict(zip(SWEEPS, (10.0, 10.0, 30.0, 3.0, 10.0), strict=True))
"""Of a sweep at the ``cpu`` preset on two cores."""


def stages(config: Config, run: Run) -> list[Stage]:
    """Every stage; costs are seconds of the ``cpu`` preset on two cores.

    Raises:
        ValueError: several processes were launched.

    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> names = [stage.name for stage in stages(PRESETS["smoke"], SINGLE_PROCESS)]
    >>> names[:2], [name for name in names if name.startswith("run-1/") and "seconds" not in name]
    (['bytes/length', 'bytes/batch'], ['run-1/machine', 'run-1/attack', 'run-1/pretraining', 'run-1/processes'])
    """
    if run.n_processes > 1:
        raise ValueError(
            f"speed is measured from one process, which launches others itself: got {run.n_processes}. "
            f"Start it without accelerate or torchrun."
        )
    check_memory(
        config,
        run,
        matrix_side=3 * 4 * config.matrix_side**2,
        width=4 * 12 * config.n_layers * config.width**2,
        vocabularies=4 * 2 * config.width * max(config.vocabularies),
    )
    device = str(run.device)
    found = [Stage(f"bytes/{name}", _bytes(name, config, run), cost / 3, device) for name, cost in SECONDS.items()]
    for k in range(config.n_runs):
        own = replace(run, seed=run.seed + k)
        for name, (cost, work) in _measurements(config, own).items():
            found.append(Stage(f"run-{k}/{name}", work, cost, device))
    return found


def _measurements(config: Config, run: Run) -> dict[str, tuple[float, Callable[[Path, Results], Any]]]:
    """Name -> cost and work of all that one run measures."""
    sweeps = {f"seconds/{name}": (cost, _seconds(name, config, run)) for name, cost in SECONDS.items()}
    return {
        "machine": (2.0, _without_folder(lambda: _machine(config, run))),
        **sweeps,
        "attack": (25.0, _without_folder(lambda: attack.seconds_of_attacks(config, run))),
        "pretraining": (60.0, _without_folder(lambda: training.tokens_a_second(config, run))),
        "processes": (25.0, lambda folder, _: _processes(config, folder)),
    }


def _machine(config: Config, run: Run) -> dict[str, float]:
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    options = {"n_repeats": config.n_repeats}
    return {name: matrix_rate(config.matrix_side, dtype, run.device, **options) for name, dtype in dtypes.items()}


def _processes(config: Config, folder: Path) -> dict[str, float]:
    return processes.seconds_by_processes(config.processes, config.training, config.pretraining, folder)


def _seconds(sweep: str, config: Config, run: Run) -> Callable[[Path, Results], Any]:
    return _without_folder(lambda: attack.seconds_of_steps(sweep, config, run))


def _bytes(sweep: str, config: Config, run: Run) -> Callable[[Path, Results], Any]:
    return _without_folder(lambda: attack.bytes_of_steps(sweep, config, run))


def _without_folder(act: Callable[[], Any]) -> Callable[[Path, Results], Any]:
    return lambda folder, results: act()


EXPERIMENT = Experiment(
    name="speed",
    title="What the algorithms of the course cost on a machine: rates, growth laws, and what saves work.",
    presets=PRESETS,
    stages=stages,
    findings=findings,
)
