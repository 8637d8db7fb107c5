"""The sequence recipes at smoke size: Algorithm 1 line by line, resuming, and the curves they are judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, SurpriseEnergy
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences import adversarial, language_model, pretraining, residual_nce
from ebm_course.recipes.sequences.algorithm_1 import Chains, make_step
from ebm_course.recipes.sequences.attack_budget import AttackBudget
from ebm_course.recipes.sequences.curves import attack_curve, resampling_curve
from ebm_course.recipes.sequences.parts import sample_sequences, start_energy, task_for
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic import Format
from ebm_course.training.batches import with_replacement
from ebm_course.training.update import adamw

RUN = Run(torch.device("cpu"), 0)
ENERGY_SMOKE = replace(language_model.SMOKE, n_heads=2, n_layers=1, dropout=0.1)


def nets() -> tuple[LikelihoodEnergy, LSTMLanguageModel]:
    torch.manual_seed(0)
    pretrained, _, *_ = language_model.fit(ENERGY_SMOKE, RUN, progress=False)
    noise, _, *_ = language_model.fit(language_model.SMOKE, RUN, progress=False)
    assert isinstance(pretrained, LikelihoodEnergy) and isinstance(noise, LSTMLanguageModel)
    return pretrained, noise


@pytest.mark.parametrize("config", [language_model.SMOKE, ENERGY_SMOKE], ids=["lstm", "transformer"])
def test_a_language_model_learns_and_keeps_its_best_weights(config: language_model.Config) -> None:
    torch.manual_seed(0)
    longer = replace(config, n_epochs=30, rate=1e-2, warm_up=0.1, decay=True)
    model, rows, last, _ = language_model.fit(longer, RUN, progress=False)
    best = min(row["valid_nll"] for row in rows)
    assert rows[-1]["loss"] < rows[0]["loss"] and not model.training
    valid = task_for(1).valid.x
    assert language_model.nll_per_token(model, valid) == pytest.approx(best, rel=1e-5)
    model.load_state_dict(last)  # both are returned: the weights after the last update too
    assert language_model.nll_per_token(model, valid) == pytest.approx(rows[-1]["valid_nll"], rel=1e-5)


def test_the_learning_rate_warms_up_and_falls_along_a_half_cosine() -> None:
    config = replace(language_model.SMOKE, warm_up=0.2, decay=True)
    rates = [pretraining._rate(i, 100, config) for i in (0, 9, 19, 20, 60, 100)]
    assert rates == pytest.approx([0.05, 0.5, 1.0, 1.0, 0.5, 0.0])
    assert pretraining._rate(50, 100, language_model.SMOKE) == 1.0


def test_a_killed_language_model_run_ends_with_the_same_weights(tmp_path: Path, killed_at: Callable) -> None:
    def weights(folder: Path | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        config = replace(ENERGY_SMOKE, n_epochs=5, keep_best=False)
        return language_model.fit(config, RUN, folder=folder, progress=False).module.state_dict()

    with killed_at(language_model, 5), pytest.raises(KeyboardInterrupt):  # in the third of five epochs
        weights(tmp_path)
    resumed, straight = weights(tmp_path), weights(None)
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)


@pytest.mark.parametrize(
    "change, message",
    [({"keep_best": False}, "keep_best: True, expected False"), ({"rate": 0.5}, "rate: 0.001, expected 0.5")],
)
def test_a_state_of_another_configuration_is_refused_by_name(change: Any, message: str, tmp_path: Path) -> None:
    language_model.fit(language_model.SMOKE, RUN, folder=tmp_path, progress=False)
    with pytest.raises(ValueError, match=f"config.{message}"):
        language_model.fit(replace(language_model.SMOKE, **change), RUN, folder=tmp_path, progress=False)


def test_a_state_of_another_seed_recipe_or_given_net_is_refused(tmp_path: Path) -> None:
    language_model.fit(language_model.SMOKE, RUN, folder=tmp_path / "lm", progress=False)
    with pytest.raises(ValueError, match="seed: 0, expected 7"):
        language_model.fit(language_model.SMOKE, replace(RUN, seed=7), folder=tmp_path / "lm", progress=False)
    pretrained, noise = nets()
    config = replace(residual_nce.SMOKE, n_digits=1)
    given = {"pretrained": pretrained, "noise": noise, "progress": False}
    residual_nce.fit(config, RUN, folder=tmp_path / "residual", **given)
    with pytest.raises(ValueError, match=r"recipe: 'recipes\.sequences\.residual_nce\.fit', expected"):
        adversarial.fit(replace(adversarial.SMOKE, n_digits=1), RUN, folder=tmp_path / "residual", **given)
    with torch.no_grad():
        noise.to_logits.bias += 1.0
    with pytest.raises(ValueError, match=r"given\.noise"):
        residual_nce.fit(config, RUN, folder=tmp_path / "residual", **given)


def test_one_step_of_algorithm_1_is_its_five_lines_written_out() -> None:
    pretrained, noise = nets()
    config = replace(adversarial.SMOKE, n_digits=1, clip=1e9, weight_decay=0.0)
    energies = [start_energy(pretrained, CorrectedEnergy) for _ in range(2)]
    for energy in energies:
        energy.net.dropout = 0.0
        for block in energy.net.blocks:
            block.dropout = 0.0
    sgd = [torch.optim.SGD(energy.parameters(), lr=0.1) for energy in energies]
    x_lm = sample_sequences(noise, 6, n_digits=1, generator=RUN.generator("test"))
    x_data = task_for(1).train.x[:6]

    learner = adversarial.OneEnergy(energies[0], sgd[0], config)
    step = make_step(learner, [Chains(lambda n, g: x_lm, config, RUN)], [AttackBudget(2, 0)])
    log = step(Batch(x_data), RUN.generator("step"))

    x = adversarial.attack(energies[1], x_lm, n_steps=2, config=config).x
    loss = energies[1](x_data).mean() - energies[1](x).mean()
    loss.backward()
    sgd[1].step()
    assert log["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    for one, two in zip(energies[0].parameters(), energies[1].parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def budget_over(budget: AttackBudget, accuracies: list[float]) -> list[int]:
    """Steps before each update."""
    steps = []
    for accuracy in accuracies:
        steps.append(budget.steps)
        budget.observe(torch.tensor(accuracy))
    return steps


def test_the_attack_budget_is_constant_or_grows_by_the_clock() -> None:
    assert budget_over(AttackBudget(3, 0), [0.0] * 4) == [3, 3, 3, 3]
    assert budget_over(AttackBudget(2, 2), [0.0] * 8) == [0, 0, 1, 1, 2, 2, 2, 2]


def test_the_attack_budget_follows_the_strength_of_the_energy() -> None:
    accuracies = [0.9, 0.9, 0.9, 0.6, 0.6, 0.6, 0.2, 0.4, 0.1, 0.1, 0.1, 0.1]
    steps = budget_over(AttackBudget(5, 2, 0.7), accuracies)
    # means of 2: .9 grows, .75 grows, .6 stays, .3 shrinks, .1 shrinks, and never below 0
    assert steps == [0, 0, 1, 1, 2, 2, 2, 2, 1, 1, 0, 0]


def test_a_resumed_attack_budget_goes_on_as_if_nothing_had_happened() -> None:
    accuracies = [0.9, 0.2, 0.9, 0.8, 0.9, 0.7, 0.4, 0.3, 0.9]
    for cut in range(len(accuracies)):
        first = AttackBudget(3, 3, 0.6)
        steps = budget_over(first, accuracies[:cut])
        second = AttackBudget(3, 3, 0.6)
        second.load_state_dict(first.state_dict())
        steps += budget_over(second, accuracies[cut:])
        assert steps == budget_over(AttackBudget(3, 3, 0.6), accuracies)


def test_without_attack_steps_algorithm_1_with_the_logistic_loss_is_residual_noise_contrast() -> None:
    pretrained, noise = nets()
    x_lm = sample_sequences(noise, 6, n_digits=1, generator=RUN.generator("test"))
    x_data, config = (
        task_for(1).train.x[:6],
        replace(adversarial.SMOKE, n_digits=1, l2=0.01, objective=logistic),
    )
    torch.manual_seed(1)
    first = start_energy(pretrained, PooledEnergy)
    second = start_energy(pretrained, PooledEnergy)
    second.load_state_dict(first.state_dict())
    one, two = (torch.optim.SGD(energy.parameters(), lr=0.1) for energy in (first, second))
    learner = adversarial.OneEnergy(first, one, config)
    steps = [
        make_step(learner, [Chains(lambda n, g: x_lm, config, RUN)], [AttackBudget(0, 0)]),
        residual_nce.make_step(second, two, lambda n, g: x_lm, clip=config.clip, l2=0.01),
    ]
    for step in steps:
        torch.manual_seed(2)  # the dropout mask
        step(Batch(x_data), RUN.generator("step"))
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("head", [PooledEnergy, CorrectedEnergy, SurpriseEnergy])
def test_fine_tuning_leaves_the_pretrained_net_as_it_was(head: type[PooledEnergy]) -> None:
    pretrained, noise = nets()
    before = {name: value.clone() for name, value in pretrained.state_dict().items()}
    for recipe in (residual_nce, adversarial):
        config = replace(recipe.SMOKE, n_digits=1, head=head)  # type: ignore[attr-defined]
        energy, rows, *_ = recipe.fit(config, RUN, pretrained=pretrained, noise=noise, progress=False)
        assert rows and not energy.training
        changed = [not torch.equal(energy.net.state_dict()[k.removeprefix("net.")], v) for k, v in before.items()]
        assert any(changed)
    assert all(torch.equal(before[name], value) for name, value in pretrained.state_dict().items())


def test_only_matrices_of_linear_layers_are_decayed() -> None:
    pretrained, _ = nets()
    decayed, others = adamw(pretrained, rate=1e-3, weight_decay=0.1, betas=(0.9, 0.95)).param_groups
    assert all(p.ndim == 2 for p in decayed["params"]) and decayed["weight_decay"] == 0.1
    names = {id(p): name for name, p in pretrained.named_parameters()}
    kept = {names[id(p)] for p in others["params"]}
    assert others["weight_decay"] == 0.0 and "net.embedding.weight" in kept and "net.position" in kept
    assert all(name.endswith("bias") or "norm" in name or name in kept for name in kept)
    assert len(decayed["params"]) + len(others["params"]) == len(names)


def test_rows_are_drawn_with_replacement_evenly_and_from_nowhere_else() -> None:
    dump = torch.arange(4)[:, None]
    drawn = with_replacement(dump)(40_000, torch.Generator().manual_seed(0))[:, 0]
    share = torch.bincount(drawn, minlength=4) / 40_000
    assert ((share - 0.25).abs() <= 5 * (0.25 * 0.75 / 40_000) ** 0.5).all()


def test_the_attack_curve_begins_with_the_samples_themselves_and_reports_what_moved() -> None:
    pretrained, noise = nets()
    x0 = sample_sequences(noise, 20, n_digits=1, generator=RUN.generator("curve"))
    rows = attack_curve(pretrained, x0, n_digits=1, at=(0, 1, 3), position_memory=True)
    assert [row["steps"] for row in rows] == [0, 1, 3] and rows[0]["tokens_moved"] == 0.0
    assert rows[-1]["tokens_moved"] > 0 and {"frozen", "toggling"} <= set(rows[-1])


def test_resampling_with_a_flat_energy_changes_nothing_and_with_the_truth_reaches_the_oracle() -> None:
    layout = Format(1)
    right, wrong = layout.encode(["1+2=03"]), layout.encode(["1+2=99"])
    proposals = torch.cat([right, wrong, wrong, wrong]).repeat(50, 1)  # (200, L): one right in every four
    g = torch.Generator().manual_seed(0)
    flat, truth = (
        resampling_curve(energy, proposals, n_digits=1, sizes=[4], generator=g)[0]
        for energy in (lambda x: torch.zeros(len(x)), lambda x: 50.0 * (x[:, 6] != right[0, 6]))
    )
    assert flat["oracle"] == truth["oracle"] == truth["correctness"] == 1.0
    assert flat["ess"] == pytest.approx(4.0) and truth["ess"] == pytest.approx(1.0)
    assert abs(flat["correctness"] - 0.25) <= 5 * (0.25 * 0.75 / 50) ** 0.5
    share = flat["correctness"]  # of 50 groups, not of 200 proposals
    assert flat["error"] == pytest.approx((share * (1 - share) / (50 - 1)) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("name", ["arithmetic-3-lm", "arithmetic-3-lm-memorised", "arithmetic-3-energy"])
def test_shipped_models_are_what_their_names_say(name: str) -> None:
    model = language_model.load(name)
    task = task_for(3)
    with torch.no_grad():
        gap = float(model(task.valid.x).mean() - model(task.train.x[:350]).mean())
    assert (gap > 5.0) is (name == "arithmetic-3-lm-memorised")  # nats a sequence: a reciter knows its own rows


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [residual_nce, adversarial])
def test_fine_tuning_starts_from_the_shipped_nets_where_no_others_are_given(recipe: Any) -> None:
    energy, rows, *_ = recipe.fit(recipe.SMOKE, RUN, progress=False)
    shipped = language_model.load("arithmetic-3-energy")
    assert isinstance(energy, PooledEnergy) and len(rows) == 2
    assert energy.net.width == shipped.net.width and not torch.equal(energy.net.position, shipped.net.position)
