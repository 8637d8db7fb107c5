"""What is measured of an energy and what becomes of it, on rows whose energies are written down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.core import Negatives
from ebm_course.experiments.ablation import evaluation, measurements, searches
from ebm_course.experiments.ablation.config import CPU, SHARES, SMOKE
from ebm_course.experiments.ablation.findings import _Collected
from ebm_course.experiments.stages import Results
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic import Format

RUN = Run(torch.device("cpu"), 3)
LAYOUT = Format(1)


def by_row(energies: dict[str, float]) -> Any:
    """An energy that is looked up by the text of a row."""
    return lambda x: torch.tensor([energies[text] for text in LAYOUT.decode(x)])


def test_nats_to_go_are_a_mean_over_all_ends_and_those_below_the_right_answer_fool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = {"1+2=00": "1+2=03", "2+2=00": "2+2=05", "3+3=00": "3+3=07", "4+4=00": "4+4=09", "9+9=00": "9+9=18"}
    right = dict.fromkeys(("1+2=03", "2+2=04", "3+3=06", "4+4=08"), 1.0)
    energy = by_row(right | {"2+2=05": 3.0, "3+3=07": 0.0, "4+4=09": 1.5})

    def search(energy: Any, x: Tensor, budget: int, generator: torch.Generator) -> Tensor:
        return LAYOUT.encode([ends[text] for text in LAYOUT.decode(x)])

    monkeypatch.setattr(evaluation, "searches", lambda n_digits: {"one": search})
    *scored, chosen = (LAYOUT.encode([text]) for text in ends)
    options: dict[str, Any] = {"n_digits": 1, "budget": 1, "run": RUN, "name": "written"}
    [found] = evaluation.searched(energy, chosen, torch.cat(scored), **options)
    assert (found["exact"], found["fooled"], found["nats_to_go"]) == (0.25, 0.25, (2.0 + 0.5) / 4)
    assert found["chosen"] == {"one": 1.0} and found["correctness"] == 0.625


def test_the_accuracy_is_that_on_samples_as_they_come_and_not_where_the_attack_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, x0, x = (LAYOUT.encode([f"1+2={end}", f"2+2={end}"]) for end in ("03", "00", "99"))
    energies = {"1+2=03": -1.0, "2+2=03": 1.0, "1+2=00": 2.0, "2+2=00": 3.0, "1+2=99": -5.0, "2+2=99": -6.0}
    monkeypatch.setattr(evaluation, "attack_path", lambda *_, **options: ([], torch.stack([x0, x0, x0, x])))
    [found] = evaluation.attacked(by_row(energies), x0, data, n_digits=1)
    assert found["accuracy_lm"] == (0.5 + 1.0) / 2
    assert (found["auroc_lm"], found["auroc_attacked"]) == (1.0, 0.0)
    assert [row["steps"] for row in found["rows"]] == list(evaluation.ATTACK_STEPS)
    assert found["rows"][0]["tokens_moved"] == 0.0 and found["rows"][-1]["tokens_moved"] == 2.0


@pytest.mark.parametrize("at", [0, 1])
def test_annealing_keeps_the_best_state_that_it_came_through(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def moved(energy: Any, y: Tensor, **options: Any) -> Negatives:
        calls.append(1)
        return Negatives(torch.tensor([[0, 3] if len(calls) == 1 + at else [7, 7]]))

    monkeypatch.setattr(searches, "gibbs_with_gradients", moved)
    energy = by_row({"1+2=03": 0.0, "1+2=77": 20.0, "1+2=13": 10.0})
    x = searches.searches(1)["annealed"](energy, LAYOUT.encode(["1+2=13"]), 200, torch.Generator())
    assert LAYOUT.decode(x) == ["1+2=03"] and len(calls) == len(searches.SCHEDULE) > 2


def test_each_run_resamples_with_a_stream_of_its_own_and_data_are_test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds, data, bench = list[int](), list[Tensor](), measurements.Bench(SMOKE, RUN)

    def curve(energy: Any, x: Tensor, *, generator: torch.Generator, **options: Any) -> list[dict[str, float]]:
        seeds.append(generator.initial_seed())
        return [{"correctness": 0.25}, {"correctness": 0.75}]

    monkeypatch.setattr(measurements, "sample_sequences", lambda *_, **options: LAYOUT.encode(["1+2=03"]))
    monkeypatch.setattr(measurements, "resampling_curve", curve)
    monkeypatch.setattr(measurements, "attacked", lambda energy, x0, x_data, **options: data.append(x_data))
    for k in range(2):
        assert bench._resampled(torch.nn.Identity(), None, k) == {"before": 0.25, "after": 0.75}
    assert seeds == [Run(RUN.device, RUN.seed + k).generator("resampling").initial_seed() for k in range(2)]
    bench._attacked([torch.nn.Identity()], [(LAYOUT.encode(["1+2=03"]),) * 3])
    assert torch.equal(data[0], measurements.task_for(SMOKE.n_digits).test.x)


def test_the_loss_of_pretraining_is_that_of_the_best_validation(tmp_path: Path) -> None:
    config, results = replace(SMOKE, n_runs=1, data=("masked",), variants=()), Results(tmp_path)
    rows = [{"valid_nll": 0.5}, {"loss": 0.1}, {"valid_nll": 0.25}, {"valid_nll": 0.75}]
    name = config.pretraining("masked").stage(0)
    results.add(name, {"result": {"rows": rows}, "files": {}, "made_from": {}, "attempts": []})
    collected = _Collected(config, results)
    collected.kind("masked")
    assert {entry.name: entry.values for entry in collected.entries} == {"masked/nll": (0.25,)}


def test_exact_answers_are_drawn_over_the_share_of_pretraining_that_they_had(tmp_path: Path) -> None:
    kinds = [("masked" if share == 1 else f"masked-{share}") for share in SHARES]
    config = replace(CPU, n_runs=2, data=tuple(kinds), variants=())
    collected = _Collected(config, Results(tmp_path))
    for share, kind in zip(SHARES, kinds, strict=True):
        collected.add(f"{kind}/likelihood/exact", "Exact.", [1 / share, 2 / share])
    collected.against_pretraining()
    [curve] = collected.curves
    assert curve.name == "exact/masked/likelihood" and curve.x == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0]
    assert curve.runs == [curve.x, [2 * x for x in curve.x]]
