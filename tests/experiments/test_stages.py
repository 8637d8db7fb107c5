"""Stages are done once each, whatever happens between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ebm_course.experiments.stages import Stages
from ebm_course.runtime import Run

PLAN = {"first": 1.0, "second": 2.0}


def stages(folder: Path, config: object = None) -> Stages:
    return Stages(folder, PLAN, config=config or {"a": 1}, run=Run(torch.device("cpu"), 0), progress=False)


def test_a_stage_that_is_done_is_read_and_not_done_again(tmp_path: Path) -> None:
    calls = []

    def work(folder: Path) -> dict[str, object]:
        calls.append(folder.name)
        return {"values": (1.5, None)}

    assert stages(tmp_path).do("first", work) == {"values": [1.5, None]}
    assert stages(tmp_path).do("first", work) == {"values": [1.5, None]}
    assert calls == ["first"]


def test_a_killed_stage_is_done_again_and_its_lost_seconds_count(tmp_path: Path) -> None:
    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages(tmp_path).do("first", killed)
    lost = float((tmp_path / "first" / "seconds.json").read_text())
    again = stages(tmp_path)
    assert again.do("first", lambda _: 3) == 3
    assert again.seconds("first") > lost > 0
    assert again.seconds("second") == 0 and again.seconds() == again.seconds("first", "second")
    assert again.seconds("fir") == 0  # no stage of that name


def test_another_configuration_is_refused_by_the_name_of_what_differs(tmp_path: Path) -> None:
    stages(tmp_path, {"a": 1, "b": 2})
    with pytest.raises(ValueError, match="another b:"):
        stages(tmp_path, {"a": 1, "b": 3})


def test_a_result_that_is_not_finite_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        stages(tmp_path).do("first", lambda _: float("nan"))
    assert stages(tmp_path).do("first", lambda _: 1.0) == 1.0


def test_a_stage_outside_the_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="third"):
        stages(tmp_path).do("third", lambda _: 1)
