"""Who supplies negatives, at what cost, how far they lie from the data, and a budget that follows that distance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Negatives
from ebm_course.energies.potts import Potts
from ebm_course.energies.sequence_energies import LikelihoodEnergy, PooledEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences import adversarial, algorithm_1, suppliers
from ebm_course.recipes.sequences.algorithm_1 import Chains, make_step
from ebm_course.recipes.sequences.attack_budget import AttackBudget, DistanceBudget, budget_of
from ebm_course.recipes.sequences.distance import NEAR, distances, near
from ebm_course.recipes.sequences.suppliers import MOVES, Supplier, by_attack, by_gibbs
from ebm_course.runtime import Run
from ebm_course.samplers.substitution import substitution
from ebm_course.samplers.substitution_proposals import by_gain
from ebm_course.tasks.arithmetic import VOCABULARY, ZERO, Format, arithmetic, digit_synonyms
from ebm_course.training.update import adamw

RUN = Run(torch.device("cpu"), 0)
LAYOUT, V = Format(1), len(VOCABULARY)
CONFIG = replace(adversarial.SMOKE, n_digits=1, objective=logistic, supply=by_gibbs)
ROWS = arithmetic(1, n_train=60, n_valid=2, n_test=2).train.x


def potts(std: float = 0.5) -> Potts:
    stream = torch.Generator().manual_seed(0)
    return Potts.random(LAYOUT.length, V, field_std=std, coupling_std=std, generator=stream)


class Counting(nn.Module):
    """A Potts energy that counts rows: forward, and backward once more."""

    def __init__(self) -> None:
        super().__init__()
        self.potts, self.n_values, self.rows = potts(), V, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        e = self.potts(x)
        if x.ndim == 3 and e.requires_grad:
            e.register_hook(self._count)
        return e

    def _count(self, grad: Tensor) -> None:
        self.rows += len(grad)


def chains(energy: nn.Module, x: Tensor, n_steps: int, seed: int = 0, **changes: Any) -> Any:
    streams = [torch.Generator().manual_seed(seed)]
    return by_gibbs(energy, x, n_steps=n_steps, config=replace(CONFIG, **changes), streams=streams, keep_path=True)


def test_the_attack_is_the_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[dict[str, Any]] = []

    def noted(energy: Any, x: Tensor, **given: Any) -> Negatives:
        options.append(given)
        return substitution(energy, x, **given)

    monkeypatch.setattr(suppliers, "substitution", noted)
    how: dict[str, Any] = {"include_current": True, "position_memory": True, "propose": by_gain}
    by_attack(potts(), ROWS[:3], n_steps=2, config=replace(CONFIG, **how, answer_only=True), keep_path=True)
    (found,) = options
    assert torch.equal(found.pop("free"), LAYOUT.answer_positions())
    assert torch.equal(found.pop("synonyms"), digit_synonyms())
    assert found == {**how, "n_steps": 2, "keep_path": True}


def test_long_chains_are_draws_from_the_energy_over_all_hundred_answers() -> None:
    energy, n = potts(), 20_000
    start = LAYOUT.encode(["3+4=07"])
    answers = torch.cartesian_prod(torch.arange(10), torch.arange(10)) + ZERO  # (100, 2)
    states = start.repeat(100, 1)
    states[:, LAYOUT.first_answer : -1] = answers
    p = (-energy(states).detach()).softmax(dim=0)
    end = chains(energy, start.repeat(n, 1), 12, answer_only=True).x
    assert torch.equal(end[:, : LAYOUT.first_answer], start[:, : LAYOUT.first_answer].repeat(n, 1))
    drawn = (end[:, LAYOUT.first_answer : -1] - ZERO) @ torch.tensor([10, 1])
    share = torch.bincount(drawn, minlength=100) / n
    assert p.max() > 3 * p.min()  # a chain that draws uniformly would be seen
    assert bool(((share - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all())  # 5 standard errors of n draws


@pytest.mark.parametrize("supply, most", [(by_attack, lambda s: 11 * s), (by_gibbs, lambda s: 2 * MOVES * s + 3)])
@pytest.mark.parametrize("n_steps", [0, 1, 4])
def test_a_negative_costs_the_energy_evaluations_that_are_stated(supply: Supplier, most: Any, n_steps: int) -> None:
    energy, config = Counting(), replace(CONFIG, supply=supply)
    adversarial.attack(energy, ROWS[:7], n_steps=n_steps, config=config, streams=[torch.Generator().manual_seed(0)])
    free = 1 if n_steps == 0 and supply is by_attack else 0  # nothing is asked, and the energy where it stands returned
    assert 7 * (0.6 * most(n_steps)) <= energy.rows <= 7 * (most(n_steps) + free)
    if supply is by_gibbs:
        assert energy.rows == 7 * most(n_steps)


def test_signs_and_markers_stay_and_so_does_a_sample_with_no_digit_where_one_belongs() -> None:
    x = ROWS[:20].clone()
    x[3, 1] = x[3, 2]  # a plus sign where the first digit belongs
    end = chains(potts(0.1), x, 6).x
    digits = LAYOUT.digit_positions()
    assert torch.equal(end[:, ~digits], x[:, ~digits]) and torch.equal(end[3], x[3])
    moved = (end != x).any(dim=1)
    assert moved.sum() == 19 and bool(((end[moved][:, digits] >= ZERO) & (end[moved][:, digits] < ZERO + 10)).all())


def test_the_path_has_a_state_for_each_step_of_the_budget_and_says_what_info_says() -> None:
    found = chains(potts(3.0), ROWS[:40], 4)
    assert found.path.shape == (5, 40, LAYOUT.length)
    assert torch.equal(found.path[0], ROWS[:40]) and torch.equal(found.path[-1], found.x)
    assert torch.equal(found.info["frozen"], (found.path[-1] == found.path[-2]).all(dim=1))
    assert 0 < found.info["frozen"].sum() < 40
    back = (found.path[-1] == found.path[-3]).all(dim=1) & ~found.info["frozen"]
    assert torch.equal(found.info["toggling"], back)
    assert torch.equal(found.info["tokens_moved"], (found.path[-1] != found.path[0]).sum(dim=1))
    assert not chains(potts(3.0), ROWS[:40], 0).info["frozen"].any()


def test_draws_depend_on_run_and_update_alone() -> None:
    own, other = (Chains(lambda n, g: ROWS[:n], CONFIG, Run(torch.device("cpu"), seed)) for seed in (0, 1))
    draws = [tuple(torch.rand(3, generator=one.stream(i)).tolist()) for one, i in ((own, 0), (own, 1), (other, 0))]
    assert len(set(draws)) == 3
    assert draws[1] == tuple(torch.rand(3, generator=own.stream(1)).tolist())


def test_chains_that_draw_are_refused_in_several_processes() -> None:
    with pytest.raises(ValueError, match="by_gibbs: a stream of draws moves all chains in one process, got 2"):
        adversarial.fit(CONFIG, replace(RUN, n_processes=2), progress=False)


def test_distances_are_log_ratios_of_probability_and_near_is_ten_times_less_likely() -> None:
    e_data = torch.tensor([[0.0, 2.0], [5.0, 5.0]])
    e_negative = torch.tensor([[1.0, 1.0 + NEAR - 0.01, 1.0 + NEAR + 0.01, -9.0], [5.0, 6.0, 7.0, 8.0]])
    assert torch.equal(distances(e_data, e_negative), e_negative - torch.tensor([[1.0], [5.0]]))
    assert near(distances(e_data, e_negative)).tolist() == [0.75, 0.75]
    p_ratio = torch.tensor(10.0).log()
    assert float(p_ratio) == pytest.approx(NEAR)


def test_a_budget_by_distance_grows_where_negatives_are_far_and_shrinks_where_they_pass_below_the_data() -> None:
    budget, steps = DistanceBudget(3, 2, 2.0), []
    for distance in (1.9, 1.9, 2.0, 2.0, 3.0, 3.0, 0.5, -0.4, 0.3, -0.4, -1.0, -1.0):
        steps.append(budget.steps)
        budget.observe(torch.tensor(distance))
    # means of 2: 1.9 stays, 2 grows, 3 grows, .05 stays, -.05 shrinks, -1 shrinks
    assert steps == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 1, 1] and budget.steps == 0


def test_a_flat_energy_that_ranks_all_rightly_has_the_accuracy_to_grow_but_not_the_distance() -> None:
    e_data, e_negative = torch.zeros(1, 4), torch.full((1, 4), 1e-3)
    seen = algorithm_1._seen(e_data, e_negative)
    by_accuracy, by_distance = AttackBudget(5, 1, 0.7), DistanceBudget(5, 1, NEAR)
    for budget in (by_accuracy, by_distance):
        budget.observe(seen[budget.reads][0])
    assert (by_accuracy.steps, by_distance.steps) == (1, 0)


def test_a_tie_is_not_ranked_rightly() -> None:
    seen = algorithm_1._seen(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 3.0]]))  # a negative that is a row of data
    assert seen["accuracy"].tolist() == [0.5]


@pytest.mark.parametrize("changes", [{"grow_every": 0}, {"grow_every": 3, "grow_above": 0.7}])
def test_a_budget_that_looks_at_both_or_never_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="grow_beyond: a budget that grows by distance looks every grow_every"):
        replace(CONFIG, grow_beyond=1.0, **changes)


def test_the_configured_budget_reads_what_it_is_named_for() -> None:
    assert budget_of(replace(CONFIG, grow_every=3, grow_beyond=1.5)).reads == "distance"
    assert budget_of(replace(CONFIG, grow_every=3, grow_beyond=1.5)).grow_above == 1.5
    assert budget_of(replace(CONFIG, grow_every=3, grow_above=0.7)).reads == "accuracy"


def test_the_share_of_near_negatives_is_logged_as_it_was_before_the_update() -> None:
    torch.manual_seed(0)
    net = LikelihoodEnergy(Transformer(V, LAYOUT.length, width=8, n_layers=1, n_heads=2, dropout=0.0))
    energy = PooledEnergy(net.net)
    nn.init.normal_(energy.head.weight, std=30.0)  # so that some are near and some are not
    config, x_lm = replace(CONFIG, n_attack_steps=0), ROWS[30:40]
    apart = distances(energy(ROWS[:10]), energy(x_lm))
    learner = adversarial.OneEnergy(energy, adamw(energy, rate=1e-3, weight_decay=0.0, betas=(0.9, 0.95)), config)
    step = make_step(learner, [Chains(lambda n, g: x_lm, config, RUN)], [budget_of(config)])
    log = step(Batch(ROWS[:10]), torch.Generator())
    assert log["near"].item() == pytest.approx(float((apart <= NEAR).float().mean()))
    assert 0 < log["near"] < 1 and log["gap"].item() == pytest.approx(float(apart.mean()), rel=1e-4)
