"""Runs trained side by side are the runs trained alone: weights, logs, and after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ebm_course.energies.ensemble import Ensemble
from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.local_energy import LocalEnergy
from ebm_course.energies.pseudo_likelihood import PseudoLikelihoodEnergy
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, SurpriseEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.objectives.contrastive import contrastive
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences import adversarial, side_by_side
from ebm_course.recipes.sequences.adversarial import SMOKE, Config
from ebm_course.recipes.sequences.members import clip_each, rows_of_run
from ebm_course.recipes.sequences.parts import start_energy, task_for
from ebm_course.recipes.sequences.side_by_side import attack_each, fit_side_by_side
from ebm_course.recipes.sequences.suppliers import Supplier, by_attack, by_gibbs
from ebm_course.recipes.shared import Fitted
from ebm_course.runtime import Run, setup
from ebm_course.samplers.substitution_proposals import by_gain, by_short_list
from ebm_course.tasks.arithmetic import VOCABULARY, Format

SEEDS = (0, 1, 2)
RUNS = [Run(torch.device("cpu"), seed) for seed in SEEDS]
V, L = len(VOCABULARY), Format(1).length
BASE = replace(SMOKE, n_digits=1, objective=logistic, n_epochs=4, rate=3e-3)  # 8 updates
GROWING = replace(BASE, n_attack_steps=3, grow_every=1, grow_above=0.45)
CONFIGS: dict[str, Config] = {
    "logistic": BASE,
    "no attack": replace(BASE, n_attack_steps=0),
    "freezing": replace(BASE, include_current=True, n_attack_steps=4),
    "growing": GROWING,
    "l2 and a tight clip": replace(BASE, l2=0.01, clip=0.1),
    "replay": replace(BASE, replay=0.5),
    "averaged": replace(BASE, ema=0.8),
    "bidirectional, pairs": replace(BASE, bidirectional=True, propose=by_gain),
    "surprise": replace(BASE, head=SurpriseEnergy),
    "corrected, answer only": replace(BASE, head=CorrectedEnergy, answer_only=True, l2=0.01),
    "memory": replace(BASE, position_memory=True, answer_only=True, include_current=True, n_attack_steps=3),
    "local": replace(BASE, head=LocalEnergy),
    "best validation": replace(BASE, keep_best=True, rate=0.03),
    "best validation, averaged": replace(BASE, keep_best=True, ema=0.8, rate=0.03),
    "growing by distance": replace(BASE, n_attack_steps=3, grow_every=1, grow_beyond=0.002),
    "Gibbs": replace(BASE, supply=by_gibbs),
    "Gibbs, growing": replace(GROWING, supply=by_gibbs),
}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    """Rounding is then too small to decide between two candidates or to tip a first step of Adam."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def nets(float64: None) -> dict[str, nn.Module]:
    """An untrained energy, wide enough that attacks move, and an untrained language model."""
    torch.manual_seed(0)
    net = Transformer(V, L, width=8, n_layers=1, n_heads=2, dropout=0.0)
    for p in net.parameters():
        nn.init.normal_(p, std=0.3)
    return {"pretrained": LikelihoodEnergy(net), "noise": LSTMLanguageModel(V, width=8)}


def alone(config: Config, seed: int, nets: dict) -> Fitted:
    run = setup(seed, device="cpu", quiet=True)
    return adversarial.fit(config, run, progress=False, **nets)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_member_has_the_weights_and_the_log_of_the_run_alone(name: str, nets: dict) -> None:
    config = CONFIGS[name]
    together = fit_side_by_side(config, RUNS, progress=False, **nets)
    assert len(together) == len(RUNS)
    for seed, (energy, rows, *_) in zip(SEEDS, together, strict=True):
        expected, expected_rows, *_ = alone(config, seed, nets)
        assert not energy.training and energy.net.causal == expected.net.causal
        for (key, p), q in zip(energy.named_parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-7, atol=1e-9, msg=lambda text, key=key: f"{key}: {text}")
        for row, other in zip(map(dict, rows), map(dict, expected_rows), strict=True):
            if config.position_memory:  # side by side a chain counts as frozen though it may have a position to try
                del row["frozen"], other["frozen"]
            assert row == pytest.approx(other, rel=1e-7, abs=1e-9)


def test_every_member_may_have_nets_of_its_own_and_keeps_the_weights_of_its_own_best_validation(nets: dict) -> None:
    layout, config, each = Format(1), replace(GROWING, keep_best=True, rate=0.03, head=LocalEnergy), []
    for seed in SEEDS:
        torch.manual_seed(seed)
        net = Transformer(V, L, width=8, n_layers=1, n_heads=2, dropout=0.0, causal=False)
        for p in net.parameters():
            nn.init.normal_(p, std=0.3)
        energy = PseudoLikelihoodEnergy(net, layout.answer_positions(), mask_value=0)
        each.append({"pretrained": energy, "noise": LSTMLanguageModel(V, width=8)})
    together = fit_side_by_side(config, RUNS, progress=False, **{name: [n[name] for n in each] for name in nets})
    moments = []
    for seed, own, found in zip(SEEDS, each, together, strict=True):
        expected = alone(config, seed, own)
        assert found.last is not None and expected.last is not None
        for (key, p), q in zip(found.module.named_parameters(), expected.module.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-7, atol=1e-9)
            torch.testing.assert_close(found.last[key], expected.last[key], rtol=1e-7, atol=1e-9)
        losses = [row["valid_misranked"] for row in found.rows]
        assert losses == pytest.approx([row["valid_misranked"] for row in expected.rows])
        moments.append(losses.index(min(losses)))
    assert min(moments) < len(losses) - 1, "or the last weights are the best ones and nothing is told apart"
    assert len(set(moments)) > 1, "or one moment for all would do"


def test_other_numbers_of_nets_than_of_runs_are_refused(nets: dict) -> None:
    with pytest.raises(ValueError, match="pretrained: expected one net for all runs or 3, one each, got 2"):
        fit_side_by_side(BASE, RUNS, progress=False, noise=nets["noise"], pretrained=[nets["pretrained"]] * 2)


def test_by_the_bare_difference_members_equal_the_runs_alone_but_for_their_level(nets: dict) -> None:
    # The gradient of a level, such as the head's bias, is rounding alone, and Adam makes whole steps of it.
    config, x = replace(BASE, objective=contrastive, rate=0.03), task_for(1).train.x
    for seed, (energy, *_) in zip(SEEDS, fit_side_by_side(config, RUNS, progress=False, **nets), strict=True):
        found, expected = energy(x), alone(config, seed, nets)[0](x)
        torch.testing.assert_close(found - found.mean(), expected - expected.mean(), rtol=1e-6, atol=1e-8)
        assert expected.std() > 1e-3  # the tolerance is small beside the differences it compares


@pytest.mark.parametrize("name", ["growing", "growing by distance", "Gibbs, growing"])
def test_growing_budgets_of_the_runs_tested_differ_between_runs(name: str, nets: dict) -> None:
    together = fit_side_by_side(CONFIGS[name], RUNS, progress=False, **nets)
    steps = {tuple(row["attack_steps"] for row in rows) for _, rows, *_ in together}
    assert len(steps) > 1, "or the test above shows nothing about budgets of unequal length"


@pytest.mark.parametrize("supply", [by_attack, by_gibbs])
def test_a_member_with_a_smaller_budget_ends_where_it_would_alone(supply: Supplier, nets: dict) -> None:
    config, steps = replace(BASE, include_current=True, supply=supply), (0, 3, 1)
    energies = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        energies.append(start_energy(nets["pretrained"], PooledEnergy).eval())
    x = task_for(1).train.x[:24]
    streams = [run.generator("chains") for run in RUNS]
    found, shares = attack_each(Ensemble(energies), x, n_steps=steps, config=config, streams=streams)
    for k, (energy, rows, t) in enumerate(zip(energies, x.split(8), steps, strict=True)):
        own = [RUNS[k].generator("chains")]
        expected = adversarial.attack(energy, rows, n_steps=t, config=config, streams=own)
        assert torch.equal(found[k], expected.x)
        for name, values in shares.items():
            assert values[k].item() == expected.info[name].float().mean().item()
    assert bool((shares["tokens_moved"][1:] > 0).all())


def test_a_runs_log_is_told_from_that_of_a_run_whose_number_begins_with_its_own() -> None:
    rows = [{"step": 5.0, "loss/1": 0.25, "loss/10": 0.5}]
    assert [rows_of_run(k, rows) for k in (1, 10)] == [[{"step": 5.0, "loss": 0.25}], [{"step": 5.0, "loss": 0.5}]]


def test_each_members_gradient_is_clipped_by_its_own_norm() -> None:
    torch.manual_seed(0)
    linears = [nn.Linear(3, 2) for _ in SEEDS]
    ensemble = Ensemble(linears)
    for scale, linear in zip((0.01, 1.0, 100.0), linears, strict=True):
        for p in linear.parameters():
            p.grad = scale * torch.randn(p.shape)
    for name, p in ensemble.module.named_parameters():
        p.grad = torch.stack([dict(linear.named_parameters())[name.removeprefix("energy.")].grad for linear in linears])
    norms = clip_each(ensemble, 0.5)
    for r, linear in enumerate(linears):
        torch.testing.assert_close(norms[r], nn.utils.clip_grad_norm_(linear.parameters(), 0.5))
        for p, q in zip(ensemble.module.parameters(), linear.parameters(), strict=True):
            torch.testing.assert_close(p.grad[r], q.grad)


def test_a_killed_training_side_by_side_ends_with_the_same_weights(
    nets: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(GROWING, replay=0.5, keep_best=True, rate=0.03)
    calls, clip = iter(range(4)), side_by_side.clip_each
    fit = partial(fit_side_by_side, runs=RUNS, progress=False, **nets)

    def dying(*args: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return clip(*args)

    with monkeypatch.context() as patch:
        patch.setattr(side_by_side, "clip_each", dying)  # in the third of four epochs
        with pytest.raises(KeyboardInterrupt):
            fit(config, folder=tmp_path)
    for (one, rows, *_), (two, other, *_) in zip(fit(config, folder=tmp_path), fit(config), strict=True):
        assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))
        assert rows == other


def test_pretraining_is_left_as_it_was(nets: dict) -> None:
    before = [p.clone() for p in nets["pretrained"].parameters()]
    fit_side_by_side(replace(BASE, n_epochs=1), RUNS, progress=False, **nets)
    assert all(torch.equal(p, q) for p, q in zip(before, nets["pretrained"].parameters(), strict=True))


def test_what_cannot_be_trained_side_by_side_is_refused_in_words(nets: dict) -> None:
    with pytest.raises(ValueError, match="got 0 runs"):
        fit_side_by_side(BASE, [], progress=False, **nets)
    with pytest.raises(ValueError, match="of up to 2 processes"):
        fit_side_by_side(BASE, [replace(RUNS[0], n_processes=2)], progress=False, **nets)
    short = replace(BASE, propose=partial(by_short_list, n_candidates=2))
    with pytest.raises(ValueError, match="by_short_list reads one table"):
        fit_side_by_side(short, RUNS, progress=False, **nets)
