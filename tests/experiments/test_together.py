"""Work on several runs at once: done by the first run's stage, for all of them, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.experiments.stages import RESULT, Results, Stage, run_stages
from ebm_course.experiments.together import done_together
from ebm_course.origin import Origin
from ebm_course.runtime import Run

ORIGIN = Origin("experiments.fake", {}, 0)


def stages(n_runs: int, calls: list[range], rate: float = 0.1) -> list[Stage]:
    def work(k: int) -> Any:
        numbers = range(k, n_runs)

        def act(folder: Path, results: Results) -> list[int]:
            calls.append(numbers)
            return [10 * j for j in numbers]

        names = {j: f"run-{j}/arm" for j in numbers}
        return done_together(names, act, origin=lambda j: Origin("arm", {"rate": rate}, j))

    return [Stage(f"run-{k}/arm", work(k)) for k in range(n_runs)]


def run(stages: list[Stage], folder: Path) -> dict[str, Any]:
    return dict(run_stages(stages, folder, origin=ORIGIN, run=Run(torch.device("cpu"), 0), progress=False))


def test_the_first_stage_does_the_work_of_all_and_further_runs_only_their_own(tmp_path: Path) -> None:
    calls: list[range] = []
    assert run(stages(2, calls), tmp_path) == {"run-0/arm": 0, "run-1/arm": 10}
    assert run(stages(4, calls), tmp_path) == {f"run-{k}/arm": 10 * k for k in range(4)}
    assert calls == [range(2), range(2, 4)]


def test_what_other_settings_have_left_for_a_run_is_refused(tmp_path: Path) -> None:
    run(stages(2, []), tmp_path)
    (tmp_path / "run-1" / "arm" / RESULT).unlink()
    with pytest.raises(ValueError, match=r"found\.json.*rate"):
        run(stages(2, [], rate=0.2), tmp_path)
