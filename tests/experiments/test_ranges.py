"""Settings of experiments that are out of their range, or that no machine has room for, are refused before any work."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ebm_course.experiments.carry import experiment as carry
from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.images import experiment as images
from ebm_course.experiments.likelihood import experiment as likelihood
from ebm_course.experiments.sequences import experiment as sequences
from ebm_course.experiments.speed import experiment as speed
from ebm_course.experiments.text import experiment as text
from ebm_course.recipes import shared
from ebm_course.runtime import setup

SMOKE = {module: module.EXPERIMENT.presets["smoke"] for module in (likelihood, sequences, speed)}
COUNTS = [name for name, value in vars(SMOKE[speed]).items() if type(value) is int]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [-1, float("nan"), 10**9])
def test_every_count_of_the_speed_experiment_has_a_range(name: str, value: float) -> None:
    if name == "attack_steps" and value == 10**9:
        pytest.skip("long, and no question of room")
    with pytest.raises(ValueError, match=f"^{name}[: ].*expected"):
        dataclasses.replace(SMOKE[speed], **{name: value})


@pytest.mark.parametrize("name", ["digits", "chains", "vocabularies", "max_rows", "processes"])
@pytest.mark.parametrize("value", [(), (0, 1), (2, 1), (1, 1)])
def test_every_sweep_of_the_speed_experiment_rises(name: str, value: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"^{name} rises from 1 or more"):
        dataclasses.replace(SMOKE[speed], **{name: value})


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        *((images, "radii", value) for value in ((), (-0.1, 0.1), (0.0,), (0.3, 0.1), (0.1, 0.1), (0.1, math.inf))),
        *((images, "grid_radii", value) for value in ((), (-0.1, 0.0, 0.5), (0.0, 0.5, math.nan), (0.0, 0.5, 0.5))),
        *((images, "grid_contrasts", value) for value in ((1.0, 0.8, 0.0), (1.0, 1.0, 0.8))),
        (images, "step_size", math.inf),
        (text, "radii", (0.1, math.inf)),
        (text, "relative_step", math.inf),
        *((carry, "n_samples", value) for value in (0, -1)),
        *((speed, "modes", value) for value in ((), ("float64",), ("float32", "float32"))),
    ],
)
def test_what_would_stop_or_mislead_a_measurement_is_refused(module: ModuleType, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        dataclasses.replace(module.EXPERIMENT.presets["smoke"], **{name: value})


@pytest.mark.parametrize("module", SMOKE)
@pytest.mark.parametrize("n_runs", [0, -1, 10**9])
def test_a_number_of_runs_that_nobody_lives_to_see_is_refused(module: ModuleType, n_runs: int) -> None:
    with pytest.raises(ValueError, match=rf"n_runs counts independent runs: expected 1 to 10,000, got {n_runs}"):
        dataclasses.replace(SMOKE[module], n_runs=n_runs)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (speed, "matrix_side", 10**7),
        (speed, "width", 10**6),
        *((sequences, name, 10**8) for name in ("n_samples", "n_proposals", "n_chains")),
    ],
)
def test_sizes_that_no_machine_has_are_refused_before_the_first_stage(
    module: ModuleType, name: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "usable_memory", lambda: 4e9)
    config = dataclasses.replace(SMOKE[module], **{name: value})
    with pytest.raises(ValueError, match=f"^{name}: {value} asks for .* GB of memory or more"):
        reproduce(module.EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())
