"""The search over Langevin steps: equal gradients, every move its own steps, a choice blind to the score."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.energies.joint import Joint
from ebm_course.experiments.configs import shared
from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.images import searching
from ebm_course.experiments.images.config import CPU, SMOKE
from ebm_course.experiments.images.experiment import EXPERIMENT, stages
from ebm_course.experiments.images.measurements import Bench
from ebm_course.experiments.images.quality import Reference
from ebm_course.experiments.images.sampling import Starts
from ebm_course.experiments.images.search_presets import SEARCH, SEARCH_SMOKE
from ebm_course.experiments.images.searching import best, gradients, score_best, search, settings
from ebm_course.runtime import Run, setup
from ebm_course.tasks.images import digits

CONFIG = replace(SMOKE, moves=((0.1, 0.0), (0.5, 0.0)), grid_contrasts=(1.0, 0.8))


def begin(value: float = 0.1, n: int = 8) -> Starts:
    x = torch.full((n, 1, 2, 2), value)
    return Starts(x, x, torch.zeros(n, dtype=torch.int64))


def reference(slope: nn.Module, n: int = 8) -> Reference:
    held_out = 2 * torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(1)) - 1
    return Reference(slope, held_out, -held_out)


def keeping(seen: list[Tensor]) -> Any:
    """A measure that keeps what it is shown."""

    def quality(self: Reference, x: Tensor, *, nearest: bool = True) -> dict[str, float]:
        seen.append(x)
        return {"distance": 0.0}

    return quality


def test_no_setting_costs_more_gradients_and_both_kinds_may_spend_them_all() -> None:
    most = SEARCH.n_attack_steps + SEARCH.n_many
    spent: dict[bool, set[int]] = {False: set(), True: set()}
    for setting in settings(SEARCH):
        spent[setting.radius > 0].add(gradients(setting, SEARCH))
    assert most == 70 and spent == {False: {10, 30, 50, 70}, True: {30, 50, 70}}
    shapes = {kind: {s[2:] for s in settings(SEARCH) if (s.radius > 0) == kind} for kind in (False, True)}
    assert shapes[True] < shapes[False]  # contrast, energy and steps: what an attack may have, its absence may


def test_every_move_makes_steps_of_its_own_length(slope: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(Reference, "quality", keeping(seen))
    rows = search(Joint(slope), reference(slope), begin(), CONFIG, torch.Generator().manual_seed(0))
    ends = {
        (row["step_size"], *(row[f] for f in searching.Setting._fields)): x for row, x in zip(rows, seen, strict=True)
    }
    for step in (0.1, 0.5):
        for n in (1, 2, 3, 4):  # class 0 has logit s: each step adds its length to every pixel
            x = ends[step, "gaussians", 0.0, 0.8, "class", n]
            assert torch.allclose(x, torch.full_like(x, 0.8 * 0.1 + n * step))
        x = ends[step, "gaussians", 0.5, 1.0, "class", 2]
        assert torch.allclose(x, torch.full_like(x, 0.1 + 0.5 + 2 * step))


def test_a_search_sees_validation_images_and_its_best_is_scored_on_held_out_ones_from_other_starts(
    slope: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, arm = Bench(SEARCH_SMOKE, Run(torch.device("cpu"), 0)), SEARCH_SMOKE.variants[0]
    seen = list[tuple[Tensor, Starts, int]]()

    def searched(joint: Joint, shown: Reference, start: Starts, config: Any, generator: torch.Generator) -> Any:
        seen.append((shown.held_out, start, generator.initial_seed()))
        return [{"radius": radius, "distance": 1.0} for radius in (0.0, 0.5)]

    def scored(
        joint: Joint, row: Any, shown: Reference, start: Starts, config: Any, generator: torch.Generator, **_: Any
    ) -> None:
        seen.append((shown.held_out, start, generator.initial_seed()))

    monkeypatch.setattr(bench, "judge", lambda *_: slope)
    monkeypatch.setattr(bench, "joint", lambda *_: Joint(slope))
    monkeypatch.setattr(searching, "search", searched)
    monkeypatch.setattr(searching, "score_best", scored)
    bench.search(arm, 0)(Path(), {arm.stage(0): {}})  # type: ignore[arg-type]
    (chosen_on, start, _), *scores = seen
    task = digits(seed=0)
    assert torch.equal(chosen_on, task.valid.x[: SEARCH_SMOKE.n_samples_of_grid]) and len(scores) == 2
    for held_out, other, _ in scores:
        assert torch.equal(held_out, task.test.x[: SEARCH_SMOKE.n_images])
        assert not torch.equal(other.gaussians[:5], start.gaussians[:5])
    assert len({seed for _, _, seed in seen}) == 3, "each has a stream of its own"


def test_what_is_scored_has_the_steps_of_the_row_that_was_chosen(
    slope: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(Reference, "quality", keeping(seen))
    row = searching.Setting("gaussians", 0.0, 1.0, "class", 3)._asdict() | {"step_size": 0.5, "noise_std": 0.0}
    options: dict[str, Any] = {"config": CONFIG, "generator": torch.Generator(), "chosen_on": begin(0.3)}
    score_best(Joint(slope), row, reference(slope), begin(0.1), **options)
    assert torch.allclose(seen[0], torch.full_like(seen[0], 0.1 + 3 * 0.5))
    with pytest.raises(ValueError, match="chosen on other samples than those scored"):
        score_best(Joint(slope), row, reference(slope), begin(0.3), **options)


def test_the_best_of_a_kind_is_not_taken_from_the_other() -> None:
    rows = [{"radius": r, "distance": d} for r, d in ((0.0, 5.0), (0.0, 4.0), (0.3, 3.0), (0.1, 7.0))]
    assert best(rows, attacked=False)["distance"] == 4.0 and best(rows, attacked=True)["distance"] == 3.0


@pytest.mark.parametrize("moves", [((0.0, 0.1),), ((0.1, -0.1),), ((math.nan, 0.1),), ((0.1, math.inf),)])
def test_moves_without_a_length_or_with_a_noise_below_0_are_refused(moves: Any) -> None:
    with pytest.raises(ValueError, match="moves: expected pairs of a length above 0 and a noise of 0 or more"):
        replace(SMOKE, moves=moves)


def test_the_search_has_the_arms_of_the_record_and_leaves_its_stages_as_they_were() -> None:
    assert all(variant == CPU.variant(variant.name) for variant in SEARCH.variants)
    assert "moves" not in shared(CPU) and len(shared(SEARCH)["moves"]) == 10
    tied = [(length, noise) for length, noise in SEARCH.moves if abs(noise - math.sqrt(2 * length)) < 1e-4]
    assert tied == [(0.01, 0.1414), (0.001, 0.0447)]  # Langevin steps of p itself: the others are of colder densities
    names = {stage.name for stage in stages(SEARCH, Run(torch.device("cpu"), 0))}
    assert "run-4/digits/robust-jem-searched" in names and not any("measured" in n or "combined" in n for n in names)


def test_another_arm_makes_another_search() -> None:
    arm = SEARCH_SMOKE.variant("digits/robust-jem")
    other = replace(arm, config=replace(arm.config, rate=2e-3))
    found = [
        next(
            stage.of
            for stage in stages(config, Run(torch.device("cpu"), 0))
            if stage.name == f"{arm.stage(0)}-searched"
        )
        for config in (SEARCH_SMOKE, replace(SEARCH_SMOKE, variants=(other,)))
    ]
    assert found[0] != found[1]


@pytest.mark.slow
def test_at_smoke_size_both_claims_are_judged_by_differences_of_logarithms(tmp_path: Path) -> None:
    found = reproduce(EXPERIMENT, SEARCH_SMOKE, setup(0, device="cpu", quiet=True), folder=tmp_path, progress=False)
    values = {entry.name: entry.values for entry in found.entries}
    assert {judged.claim.name for judged in found.claims} == {claim.name for claim in SEARCH_SMOKE.claims}
    for arm in ("robust-jem", "robust-classifier"):
        one, other = (values[f"digits/{arm}/{kind}/distance"] for kind in searching.KINDS)
        wanted = [math.log10(a) - math.log10(b) for a, b in zip(one, other, strict=True)]
        assert values[f"claims/digits/search-{arm}"] == pytest.approx(wanted)
        assert len(values[f"digits/{arm}/search/step-0.3/noise-0.01/radius-0.5"]) == SEARCH_SMOKE.n_runs
