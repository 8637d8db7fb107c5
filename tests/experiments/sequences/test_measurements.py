"""What is measured of an energy of sequences and what becomes of it: the right rows, streams, budgets and ends."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.core import Negatives
from ebm_course.experiments.sequences import equal_evaluations, evaluation, measurements
from ebm_course.experiments.sequences.config import SMOKE
from ebm_course.experiments.sequences.findings import findings
from ebm_course.experiments.stages import Results
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic import Format

RUN = Run(torch.device("cpu"), 3)
LAYOUT = Format(1)
DATA, LM, ATTACKED = (
    LAYOUT.encode(rows) for rows in (["1+2=03", "2+2=04"], ["1+2=00", "2+2=04"], ["1+2=03", "2+2=99"])
)


def by_row(energies: dict[str, float]) -> Any:
    """An energy that is looked up by the text of a row."""
    return lambda x: torch.tensor([energies[text] for text in LAYOUT.decode(x)])


def told(**energies: float) -> dict[str, float]:
    return evaluation.discrimination(by_row(energies), DATA, LM, ATTACKED, n_digits=1)


def test_rows_that_are_right_are_left_out_of_the_set_that_they_belong_to() -> None:
    # Of P_LM's samples the first is wrong, of the attacked ones the second: each stands above all data.
    found = told(**{"1+2=03": 1.0, "2+2=04": 2.0, "1+2=00": 3.0, "2+2=99": 3.0})
    assert found == {"auroc_lm": 1.0, "auroc_attacked": 1.0, "fooled": 0.0}
    below = told(**{"1+2=03": 1.0, "2+2=04": 2.0, "1+2=00": 0.0, "2+2=99": 0.0})
    assert below == {"auroc_lm": 0.0, "auroc_attacked": 0.0, "fooled": 0.5}


def test_what_fools_lies_below_the_median_of_the_data_and_not_of_the_samples() -> None:
    # The median of two is the lower one: 1 of the data, 5 of the samples, and the wrong attacked row has 3.
    found = told(**{"1+2=03": 1.0, "2+2=04": 5.0, "1+2=00": 9.0, "2+2=99": 3.0})
    assert found["fooled"] == 0.0


def test_data_are_told_from_the_ends_of_the_attack_with_memory_and_every_digit_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = {
        (memory, n): LAYOUT.encode([f"1+2={i}{i}"]) for i, (memory, n) in enumerate(((0, 4), (0, 2), (1, 4), (1, 2)))
    }

    def attacked(energy: Any, x0: Tensor, *, free: Tensor, **options: Any) -> tuple[list[Any], Tensor]:
        return [], ends[int(options.get("position_memory", False)), int(free.sum())][None]

    seen: list[Tensor] = []
    monkeypatch.setattr(evaluation, "attack_path", attacked)
    monkeypatch.setattr(evaluation, "discrimination", lambda energy, data, lm, x, n_digits: seen.append(x))
    evaluation.measure(torch.nn.Identity(), LM, DATA, n_digits=1, at=(0, 1), run=RUN)
    assert torch.equal(seen[0], ends[1, 4])


def test_the_rows_to_tell_from_are_held_out_and_each_run_resamples_with_a_stream_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds, data = list[int](), list[Tensor]()
    valid = LAYOUT.encode(["1+1=02"])
    task = SimpleNamespace(valid=SimpleNamespace(x=valid))
    monkeypatch.setattr(measurements, "task_for", lambda n_digits: task)
    monkeypatch.setattr(measurements, "measure", lambda energy, x, x_data, **options: data.append(x_data) or {})
    monkeypatch.setattr(
        measurements, "resampling_curve", lambda *_, generator, **options: seeds.append(generator.initial_seed())
    )
    nets: Any = SimpleNamespace(config=SMOKE, run=RUN, noise=lambda results, kind="best": None)
    nets.samples = lambda noise, stream, n=2: LM
    nets.trained = lambda *_: None
    for k in range(2):
        measurements.of_variant(nets, SMOKE.variant("residual"), k)(Path(), {})
    assert seeds == [Run(RUN.device, RUN.seed + k).generator("resampling").initial_seed() for k in range(2)]
    assert all(torch.equal(x, valid) for x in data)


@pytest.mark.parametrize("name", ["attack", "attack with memory", "attack, then resampling"])
def test_the_steps_of_an_attack_and_the_choice_among_its_ends_cost_no_more_than_the_budget(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[int] = []

    def attacked(energy: Any, x: Tensor, *, n_steps: int, **options: Any) -> Negatives:
        then = 1 if "then" in name else 0  # the energy of each end is asked once more
        spent.append(len(x) * (n_steps * (2 + 9) + then))  # a gradient, and one for each other digit
        return Negatives(x)

    monkeypatch.setattr(equal_evaluations, "substitution", attacked)
    monkeypatch.setattr(equal_evaluations, "resampling", lambda energy, x, group_size, generator: Negatives(x))
    starts, draw = LM[:1].expand(8, -1)[None], torch.Generator()
    for budget in range(1, 200):
        equal_evaluations.samplers(1)[name](lambda x: x.sum(dim=1).float(), starts, budget, draw)
        assert budget - 4 * (2 + 9 + 1) < spent[-1] <= budget


def test_a_step_of_gibbs_costs_ten_evaluations_and_one_with_gradients_two(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: dict[str, list[int]] = {"gibbs": [], "gibbs_with_gradients": []}
    for name, found in steps.items():

        def sampled(energy: Any, y: Tensor, *, n_steps: int, found: list[int] = found, **options: Any) -> Negatives:
            found.append(n_steps)
            return Negatives(y)

        monkeypatch.setattr(equal_evaluations, name, sampled)
    ways, budgets = equal_evaluations.samplers(1), range(60)
    for budget in budgets:
        for way in ("Gibbs", "Gibbs with gradients"):
            ways[way](lambda x: x.sum(dim=1).float(), LM[:1][None], budget, torch.Generator())
    assert steps == {"gibbs": [b // 10 for b in budgets], "gibbs_with_gradients": [b // 2 for b in budgets]}


def test_every_sampler_draws_from_a_stream_of_its_own_at_every_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def sampler(energy: Any, starts: Tensor, budget: int, generator: torch.Generator) -> Tensor:
        seeds.append(generator.initial_seed())
        return starts[:, 0]

    monkeypatch.setattr(equal_evaluations, "samplers", lambda n_digits: dict.fromkeys(("one", "other"), sampler))
    options: dict[str, Any] = {"n_digits": 1, "budgets": (0, 10, 20), "run": RUN}
    for name in ("an energy", "another"):
        found = equal_evaluations.quality_against_evaluations(torch.nn.Identity(), LM[None], name=name, **options)
    assert len(set(seeds)) == len(seeds) == 12 and found == dict.fromkeys(("one", "other"), [0.5] * 3)


def curve(*correctness: float) -> list[dict[str, Any]]:
    rest = dict.fromkeys(("exact", "valid", "unique", "tokens_moved", "operands_moved", "frozen", "toggling"), 0.0)
    return [{"steps": k, "correctness": value, **rest} for k, value in enumerate(correctness)]


def measured(before: float, middle: float, after: float) -> dict[str, Any]:
    """An energy under which the paper's attack goes so, any other attack ends at 0.99."""
    other = {f"{way}/{place}": curve(0.0, 0.0, 0.99) for way in ("literal", "memory") for place in ("free", "answer")}
    resampled = [{"correctness": value, "oracle": 1.0} for value in (before, middle, after)]
    told = dict.fromkeys(("auroc_lm", "auroc_attacked", "fooled"), 0.5)
    return {"attack": other | {"literal/free": curve(before, middle, after)}, "told": told, "resampling": resampled}


def test_claims_are_differences_of_the_right_ends_of_the_right_curves() -> None:
    names = ("adversarial", "no-attack", "grown", "residual", "residual-long")
    variants = tuple(SMOKE.variant(name) for name in names)
    config = dataclasses.replace(
        SMOKE, n_runs=2, variants=variants, attack_steps=(0, 1, 2), group_sizes=(1, 2, 4), budgets=(0,)
    )
    lm_row = dict.fromkeys(("nll", "correctness", "exact", "valid", "recited", "distance"), 0.0)
    net = {"nll": 0.0, "columns": [0.1], "presentations": 100}
    made: dict[str, Any] = {"lm": {"best": lm_row, "last": lm_row, "valid_nll": [0.0]}, "energy": net, "short": net}
    made |= {"likelihood": measured(0.2, 0.3, 0.45), "short-likelihood": measured(0.1, 0.1, 0.1)}
    ends = {"adversarial": 0.5, "no-attack": 0.4, "grown": 0.7, "residual": 0.6, "residual-long": 0.625}
    for variant in variants:
        for k in range(1 if variant.once else 2):
            made[variant.stage(k)] = {"rows": [{"loss": 1.0}]}
            made[f"{variant.stage(k)}-measured"] = measured(0.2, 0.3, ends[variant.name] + k / 10)
    results = Results(Path("folder"))
    for name, result in made.items():
        results.add(name, {"result": result, "files": {}, "made_from": {}, "attempts": []})
    values = {entry.name: list(entry.values) for entry in findings(config, results).entries}
    expected = {
        "figure-1a": [0.3, 0.4],  # above samples of P_LM as they are, before any attack
        "figure-2": [0.1, 0.1],
        "figure-2/plain": [0.2, 0.3],
        "grown": [0.3, 0.3],
        "grown/long": [0.075, 0.075],
        "figure-1b/residual": [0.4, 0.5],  # out of 4 minus out of 1
        "figure-1b/residual-long": [0.425, 0.525],
    }
    for name, differences in expected.items():
        assert values[f"claims/{name}"] == pytest.approx(differences[: len(values[f"claims/{name}"])]), name
        assert len(values[f"claims/{name}"]) == 2
