"""What the course's algorithms cost on a machine, measured: rates, growth laws, and what saves work.

A run measures everything once, each number as the median of a few calls after one that warms up; several runs show the
spread. Every measurement is a stage of its own, so that a run killed at any point goes on where it was. Nothing else
should work on the machine meanwhile. It knows no result of training: weights are drawn.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ebm_course.experiments.clock import matrix_rate
from ebm_course.experiments.speed import attack, processes, training
from ebm_course.experiments.speed.findings import findings
from ebm_course.experiments.stages import Stages
from ebm_course.recipes.sequences import adversarial, language_model
from ebm_course.results.findings import Findings
from ebm_course.runtime import Run

SWEEPS = ("length", "batch", "vocabulary-all", "vocabulary-short", "max-rows")


@dataclass(frozen=True)
class Config:
    """Sizes for two CPU cores by default: all of it in about eight minutes."""

    n_runs: int = 3
    n_repeats: int = 3  # timed calls of a measurement
    long: float = 3.0  # seconds; what takes longer is timed once
    width: int = 128  # Yin (2023), Table 1, as the next two
    n_layers: int = 2
    n_heads: int = 4
    n_digits: int = 10
    matrix_side: int = 2_048
    digits: tuple[int, ...] = (4, 10, 20, 40, 80)  # sequences of 3 d + 5 tokens
    length_chains: int = 16
    chains: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)
    vocabularies: tuple[int, ...] = (16, 64, 256, 1_024, 4_096, 16_384, 50_000)
    vocabulary_length: int = 4  # a likelihood reads V logits a token for each of V candidates
    vocabulary_chains: int = 1
    vocabulary_rows: int = 64  # sequences scored at once: what bounds the memory
    n_candidates: int = 8  # of the short list
    max_rows: tuple[int, ...] = (16, 64, 256, 1_024, 4_096)
    max_rows_chains: int = 128
    attack_chains: int = 16
    attack_steps: int = 40
    pretraining: language_model.Config = language_model.PAPER_ENERGY
    modes: tuple[str, ...] = ("float32", "bfloat16", "compiled")  # see training.MODES
    pretraining_updates: int = 2
    processes: tuple[int, ...] = (1, 2)
    training: adversarial.Config = processes.TRAINING


CPU = Config()
PAPER = Config(
    n_repeats=20,
    matrix_side=8_192,
    digits=(4, 10, 20, 40, 80, 160),
    length_chains=256,
    chains=(8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096),
    vocabulary_length=16,
    vocabulary_chains=4,
    vocabulary_rows=1_024,
    max_rows=(64, 256, 1_024, 4_096, 16_384, 65_536),
    max_rows_chains=4_096,
    attack_chains=1_024,
    modes=("float32", "bfloat16", "compiled", "bfloat16-compiled"),
    pretraining_updates=20,
    processes=(1, 2, 4),
)
SMOKE = Config(
    n_runs=2,
    n_repeats=1,
    width=8,
    n_layers=1,
    n_heads=2,
    n_digits=1,
    matrix_side=16,
    digits=(1, 2, 3),
    length_chains=2,
    chains=(2, 4),
    vocabularies=(16, 32),
    n_candidates=2,
    max_rows=(2, 4),
    max_rows_chains=2,
    attack_chains=2,
    attack_steps=2,
    pretraining=replace(language_model.SMOKE, n_heads=2, width=8),
    modes=("float32", "bfloat16"),
    pretraining_updates=1,
    processes=(1,),
    training=adversarial.SMOKE,
)


def reproduce(config: Config, run: Run, *, folder: Path, progress: bool = True) -> Findings:
    """Measure all of it and return what was found; what was measured before in ``folder`` is not measured again.

    Args:
        config: a preset; ``n_runs`` may grow from one call to the next, everything else has to stay.
        run: device and first seed; seeds name the random sequences and weights.
        folder: results of all stages; one for each machine.
        progress: show one bar over all stages, with the time left.

    Raises:
        ValueError: the folder holds another experiment, or several processes were launched.
    """
    if run.n_processes > 1:
        raise ValueError(
            f"speed is measured from one process, which launches others itself: got {run.n_processes}. "
            f"Start it without accelerate or torchrun."
        )
    asked = json.loads(json.dumps(asdict(config), default=_named)) | {"seed": run.seed, "device": str(run.device)}
    del asked["n_runs"]
    stages = Stages(folder, plan(config), config=asked, run=run, progress=progress)
    try:
        bytes_ = {sweep: stages.do(f"bytes/{sweep}", _bytes(sweep, config, run)) for sweep in SWEEPS}
        runs = [_measure_run(k, config, replace(run, seed=run.seed + k), stages) for k in range(config.n_runs)]
    finally:
        stages.close()
    return findings(runs, bytes_, attack.sizes(config), stages.seconds)


def plan(config: Config) -> dict[str, float]:
    """The stages in order, with their share of the work in seconds of the ``cpu`` preset on two cores."""
    sweeps = dict(zip(SWEEPS, (10.0, 10.0, 30.0, 3.0, 10.0), strict=True))
    stages = {f"bytes/{name}": cost / 3 for name, cost in sweeps.items()}
    for k in range(config.n_runs):
        stages[f"run-{k}/machine"] = 2.0
        stages |= {f"run-{k}/seconds/{name}": cost for name, cost in sweeps.items()}
        stages |= {f"run-{k}/attack": 25.0, f"run-{k}/pretraining": 60.0, f"run-{k}/processes": 25.0}
    return stages


def _measure_run(k: int, config: Config, run: Run, stages: Stages) -> dict[str, Any]:
    """All measurements of one run by name."""
    rate, device = config.matrix_side, run.device
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    measured: dict[str, Callable[[Path], Any]] = {
        "machine": lambda _: {
            name: matrix_rate(rate, dtype, device, n_repeats=config.n_repeats) for name, dtype in dtypes.items()
        },
        **{f"seconds/{sweep}": _seconds(sweep, config, run) for sweep in SWEEPS},
        "attack": lambda _: attack.seconds_of_attacks(config, run),
        "pretraining": lambda _: training.tokens_a_second(config, run),
        "processes": lambda folder: processes.seconds_by_processes(
            config.processes, config.training, config.pretraining, folder
        ),
    }
    return {name: stages.do(f"run-{k}/{name}", work) for name, work in measured.items()}


def _seconds(sweep: str, config: Config, run: Run) -> Callable[[Path], Any]:
    return lambda _: attack.seconds_of_steps(sweep, config, run)


def _bytes(sweep: str, config: Config, run: Run) -> Callable[[Path], Any]:
    return lambda _: attack.bytes_of_steps(sweep, config, run)


def _named(value: Any) -> str:
    return getattr(value, "__qualname__", str(value))
