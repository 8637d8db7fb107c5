"""What goes beyond Algorithm 1, one option at a time: replay, averaged weights, no mask, another proposal, cycles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.core import Batch, Negatives
from ebm_course.energies.sequence_energies import LikelihoodEnergy, PooledEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences import adversarial as recipe
from ebm_course.recipes.sequences import language_model, pretraining
from ebm_course.recipes.sequences.algorithm_1 import Chains, make_step
from ebm_course.recipes.sequences.attack_budget import AttackBudget
from ebm_course.recipes.sequences.curves import attack_curve
from ebm_course.recipes.sequences.parts import sample_sequences
from ebm_course.runtime import Run
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.samplers.substitution_proposals import by_gain
from ebm_course.tasks.arithmetic import Format, arithmetic
from ebm_course.tasks.arithmetic_score import well_formed
from ebm_course.training.update import adamw

RUN = Run(torch.device("cpu"), 0)
CONFIG = replace(recipe.SMOKE, n_digits=1, objective=logistic, include_current=True)
ROWS = arithmetic(1, n_train=60, n_valid=2, n_test=2).train.x


def net() -> LikelihoodEnergy:
    torch.manual_seed(0)
    return LikelihoodEnergy(Transformer(16, Format(1).length, width=8, n_layers=1, n_heads=2, dropout=0.0))


def trained(config: recipe.Config) -> PooledEnergy:
    torch.manual_seed(1)
    energy = recipe.fit(config, RUN, pretrained=net(), noise=net(), progress=False).module
    assert isinstance(energy, PooledEnergy)
    return energy


def attacked(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What each call of the attack starts from."""
    starts: list[Tensor] = []
    original = recipe.attack

    def watched(energy: PooledEnergy, x_lm: Tensor, **rest: Any) -> Negatives:
        starts.append(x_lm.clone())
        return original(energy, x_lm, **rest)

    monkeypatch.setattr(recipe, "attack", watched)
    return starts


def one_step(buffer: ReplayBuffer | None, config: recipe.Config, draw: Any, seed: int = 0) -> None:
    energy = PooledEnergy(net().net)
    optimizer = adamw(energy, rate=1e-3, weight_decay=0.0, betas=(0.9, 0.95))
    chains = Chains(draw, config, Run(torch.device("cpu"), seed))
    chains.buffer = buffer
    step = make_step(recipe.OneEnergy(energy, optimizer, config), [chains], [AttackBudget(2, 0)])
    step(Batch(ROWS[:10]), torch.Generator())


def test_with_replay_one_chains_go_on_where_the_last_attack_left_them(monkeypatch: pytest.MonkeyPatch) -> None:
    starts, buffer = attacked(monkeypatch), ReplayBuffer(ROWS[:10])
    one_step(buffer, replace(CONFIG, replay=1.0), lambda n, generator: ROWS[40 : 40 + n])
    assert sorted(starts[0].tolist()) == sorted(ROWS[:10].tolist())  # none is fresh
    left = buffer.states.clone()
    assert not torch.equal(left, ROWS[:10])  # the buffer took the attacked states
    one_step(buffer, replace(CONFIG, replay=1.0), lambda n, generator: ROWS[40 : 40 + n])
    assert sorted(starts[1].tolist()) == sorted(left.tolist())


def test_with_replay_a_half_about_half_the_chains_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    starts, buffer = attacked(monkeypatch), ReplayBuffer(ROWS[:10])
    for seed in range(20):
        buffer.states.copy_(ROWS[:10])
        one_step(buffer, replace(CONFIG, replay=0.5), lambda n, generator: ROWS[40 : 40 + n], seed)
    fresh = [row in ROWS[40:50].tolist() for start in starts for row in start.tolist()]
    assert abs(sum(fresh) / len(fresh) - 0.5) < 5 * (0.25 / len(fresh)) ** 0.5  # 5 standard errors, 200 chains


def test_replay_changes_what_a_run_learns() -> None:
    plain, replayed = trained(CONFIG), trained(replace(CONFIG, replay=0.5))
    assert any(not torch.equal(a, b) for a, b in zip(plain.parameters(), replayed.parameters(), strict=True))


def test_averaged_weights_are_the_exponential_mean_of_the_weights_after_each_update() -> None:
    seen: list[Tensor] = []
    original = recipe.update

    def watched(*args: Any, **rest: Any) -> dict[str, Tensor]:
        log = original(*args, **rest)
        seen.append(args[1].head.weight.detach().clone())
        return log

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "update", watched)
        energy = trained(replace(CONFIG, ema=0.6))
    mean = seen[0]
    for weight in seen[1:]:
        mean = 0.6 * mean + 0.4 * weight
    torch.testing.assert_close(energy.head.weight.detach(), mean)
    assert not torch.allclose(energy.head.weight, seen[-1])


def test_without_the_mask_a_first_token_feels_the_last() -> None:
    for bidirectional in (False, True):
        energy = trained(replace(CONFIG, bidirectional=bidirectional))
        assert energy.net.causal is not bidirectional
        x, other = ROWS[:1], ROWS[:1].clone()
        other[0, -2] = 4 + (other[0, -2] - 3) % 10
        with torch.no_grad():
            first, changed = (energy.net.features(energy.embed(rows))[0, 0] for rows in (x, other))
        assert torch.equal(first, changed) is not bidirectional


def test_the_proposal_of_a_configuration_reaches_the_attack() -> None:
    energy = PooledEnergy(net().net)
    x = sample_sequences(net(), 20, n_digits=1, generator=RUN.generator("x"))
    moved = {
        p: recipe.attack(energy, x, n_steps=3, config=replace(CONFIG, propose=p)).x for p in (by_gain, CONFIG.propose)
    }
    assert not torch.equal(moved[by_gain], moved[CONFIG.propose])


def test_the_rate_rises_and_falls_once_a_cycle_and_ends_at_zero() -> None:
    config = replace(language_model.SMOKE, warm_up=0.2, decay=True, n_cycles=2)
    rates = [pretraining._rate(i, 100, config) for i in (0, 9, 10, 30, 49, 50, 59, 80, 100)]
    once = [pretraining._rate(i, 50, replace(config, n_cycles=1)) for i in (0, 9, 10, 30, 49, 0, 9, 30, 50)]
    assert rates == pytest.approx(once)
    assert rates[-1] == 0.0


@pytest.mark.slow
def test_the_shipped_ten_digit_likelihood_finds_answers_without_touching_operands() -> None:
    energy, lm = language_model.load("arithmetic-10-energy"), language_model.load("arithmetic-10-lm")
    x = sample_sequences(lm, 24, n_digits=10, generator=RUN.generator("x"))
    x = x[well_formed(x, 10)][:12]
    free = Format(10).answer_positions()
    first, last = attack_curve(energy, x, n_digits=10, at=(0, 100), free=free, position_memory=True)
    assert first["correctness"] < 0.3 and last["correctness"] > 0.9
    assert last["operands_moved"] == 0 and last["frozen"] == 1.0
