"""The watch on the energy gap: what it stops, what it puts back, and that it resumes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from ebm_course.core import Batch
from ebm_course.recipes.images import jem
from ebm_course.recipes.images.gap_watch import DivergedError, GapWatch
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.training.resume import states_of

BATCH, GENERATOR = Batch(torch.zeros(1, 1)), torch.Generator()
CAUSE = "Lower step_size."


class Scripted:
    """A step that adds 1 to the net and to the buffer, and logs the gaps it is told, or raises where told so."""

    def __init__(self, gaps: list[float | None]):
        self.net, self.buffer, self.gaps = nn.Linear(1, 1), ReplayBuffer(torch.zeros(2, 1)), iter(gaps)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        nn.init.zeros_(self.net.weight)
        nn.init.zeros_(self.net.bias)
        self.kept: dict[str, Any] = {"net": self.net, "optimizer": self.optimizer, "buffer": self.buffer}

    def __call__(self, batch: Batch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        gap = next(self.gaps)
        if gap is None:
            raise FloatingPointError("a state is not finite.")
        self.net.weight.grad, self.net.bias.grad = -torch.ones(1, 1), -torch.ones(1)
        self.optimizer.step()
        self.buffer.push(torch.arange(2), self.buffer.states + 1)
        return {"energy_gap": torch.tensor(gap)}


def watched(gaps: list[float | None], *, every: int = 1, restarts: int = 0) -> tuple[Scripted, GapWatch]:
    step = Scripted(gaps)
    return step, GapWatch(step, step.kept, limit=100.0, every=every, restarts=restarts, cause=CAUSE)


def run(watch: GapWatch, n: int) -> list[dict[str, torch.Tensor]]:
    return [watch(BATCH, GENERATOR) for _ in range(n)]


def momentum(states: dict[str, Any]) -> torch.Tensor:
    found: torch.Tensor = states["optimizer"]["state"][0]["momentum_buffer"]
    return found


@pytest.mark.parametrize("gap", [101.0, -101.0, float("nan"), float("inf")])
def test_a_gap_out_of_its_limits_stops_the_run_and_says_why(gap: float) -> None:
    _, watch = watched([0.1, gap])
    run(watch, 1)
    with pytest.raises(DivergedError, match=rf"^update 2: the largest energy gap.*{abs(gap):.3g}.*100\. Lower step_"):
        run(watch, 1)


def test_a_gap_between_two_looks_is_not_missed() -> None:
    _, watch = watched([0.1, 500.0, 0.1, 0.1], every=4)
    run(watch, 3)
    with pytest.raises(DivergedError, match=r"update 4: .* 500 nats"):
        run(watch, 1)


def test_the_device_is_read_at_looks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    _, watch = watched([0.1] * 10, every=5)
    reads = []
    original = torch.Tensor.__float__

    def noted(x: torch.Tensor) -> float:
        reads.append(watch.updates)
        return original(x)

    monkeypatch.setattr(torch.Tensor, "__float__", noted)
    run(watch, 10)
    assert reads == [5, 10]


def test_what_a_sampler_finds_infinite_is_a_divergence_too() -> None:
    _, watch = watched([None])
    with pytest.raises(DivergedError, match=r"^update 1: a state is not finite\. Lower step_size\.$"):
        run(watch, 1)


def test_a_restart_puts_back_net_optimiser_and_buffer_but_not_the_rate() -> None:
    step, watch = watched([0.1, 0.1, 0.1, 500.0, 0.1], restarts=1)
    run(watch, 3)
    good = copy.deepcopy(states_of(step.kept))
    step.optimizer.param_groups[0]["lr"] = 0.05  # as a schedule does
    assert run(watch, 1) == [{}] and watch.done == 1
    found = states_of(step.kept)
    assert torch.equal(found["net"]["weight"], good["net"]["weight"])
    assert torch.equal(found["buffer"]["states"], good["buffer"]["states"])
    assert torch.equal(momentum(found), momentum(good))
    assert found["optimizer"]["param_groups"][0]["lr"] == 0.05
    assert run(watch, 1)[0]["energy_gap"] > 0


def test_a_state_is_good_only_where_its_gap_is_far_from_the_limit() -> None:
    step, watch = watched([0.1, 50.0, 50.0, 500.0], restarts=1)
    run(watch, 1)
    good = step.net.weight.clone()
    run(watch, 3)
    assert torch.equal(step.net.weight, good)


def test_a_gap_that_has_fallen_again_makes_a_later_state_good() -> None:
    step, watch = watched([50.0, 0.1, 500.0], restarts=1)
    run(watch, 3)
    torch.testing.assert_close(step.net.weight, torch.tensor([[0.1 + 0.19]]))  # two updates, with momentum


class Doubling(type(SINGLE_PROCESS)):  # type: ignore[misc]
    """One of two processes, the other of which has three times its numbers."""

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def test_the_gap_that_counts_is_the_mean_over_processes() -> None:
    step = Scripted([60.0])
    there = Doubling(torch.device("cpu"), 0)
    watch = GapWatch(step, step.kept, limit=100.0, every=1, restarts=0, cause=CAUSE, run=there)
    with pytest.raises(DivergedError, match="was 120 nats"):
        run(watch, 1)


def test_two_restarts_begin_at_the_same_state_and_the_third_fault_stops() -> None:
    step, watch = watched([0.1, 50.0, 500.0, 50.0, None, 50.0, 500.0], restarts=2)
    run(watch, 1)
    good = copy.deepcopy(states_of(step.kept))
    for _ in range(2):
        run(watch, 2)
        found = states_of(step.kept)
        assert torch.equal(found["net"]["weight"], good["net"]["weight"])
        assert torch.equal(momentum(found), momentum(good))
    with pytest.raises(DivergedError, match="It went back 2 times already"):
        run(watch, 2)


def test_a_resumed_watch_goes_on_as_if_nothing_had_happened() -> None:
    gaps: list[float | None] = [0.1, 0.1, 50.0, 500.0, 0.1, 0.2, 500.0, 0.1]
    straight, watch = watched(list(gaps), every=2, restarts=2)
    run(watch, len(gaps))
    for cut in range(len(gaps)):
        first, one = watched(gaps[:cut], every=2, restarts=2)
        run(one, cut)
        second, two = watched(gaps[cut:], every=2, restarts=2)
        for name, state in copy.deepcopy(states_of(first.kept)).items():
            second.kept[name].load_state_dict(state)
        two.load_state_dict(copy.deepcopy(one.state_dict()))
        run(two, len(gaps) - cut)
        assert torch.equal(second.net.weight, straight.net.weight) and two.done == watch.done == 2


def test_a_state_that_was_read_from_a_file_is_put_on_the_run_s_device() -> None:
    _, saved = watched([0.1])
    step = Scripted([0.1])
    run_there = Run(torch.device("meta"), 0)
    watch = GapWatch(step, step.kept, limit=1e3, every=1, restarts=0, cause=CAUSE, run=run_there)
    watch.load_state_dict(saved.state_dict())
    assert watch.largest.is_meta and saved.largest.device.type == "cpu"


def test_without_restarts_no_copy_is_kept() -> None:
    _, watch = watched([0.1])
    run(watch, 1)
    assert watch.state_dict()["good"] == {}


def test_it_looks_after_the_last_update_too() -> None:
    def watch(last: int | None) -> GapWatch:
        step = Scripted([0.2, 7e3])
        return GapWatch(step, step.kept, limit=1e3, every=10, restarts=0, cause=CAUSE, last=last)

    for last in (None, 3):
        unseen = watch(last)
        unseen(BATCH, GENERATOR), unseen(BATCH, GENERATOR)
    ending = watch(2)
    ending(BATCH, GENERATOR)
    with pytest.raises(DivergedError, match=r"update 2: the largest energy gap, .* was 7e\+03 nats"):
        ending(BATCH, GENERATOR)


def test_a_short_run_whose_gap_leaves_its_limits_does_not_end_as_if_it_had_gone_well() -> None:
    with pytest.raises(DivergedError, match="update 6: the largest energy gap"):
        jem.fit(replace(jem.SMOKE, step_size=1e3), SINGLE_PROCESS, progress=False)
