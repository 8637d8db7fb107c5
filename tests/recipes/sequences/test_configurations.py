"""The numbers of a configuration reach the sequence recipes: nets, optimisers, streams, rows and validations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch
from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.pseudo_likelihood import PseudoLikelihoodEnergy
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.objectives.nce import residual_nce as residual_loss
from ebm_course.recipes.sequences import (
    adversarial,
    language_model,
    masked_language_model,
    parts,
    pretraining_side_by_side,
    residual_nce,
    side_by_side,
)
from ebm_course.recipes.sequences.parts import data_and_noise, sample_sequences, start_energy, task_for
from ebm_course.recipes.shared import energies_of_both
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic import VOCABULARY, Format
from ebm_course.training.batches import Batches

CPU = torch.device("cpu")
RUN = Run(CPU, 3)
V, L = len(VOCABULARY), Format(1).length
OPTIMISER: dict[str, Any] = {"rate": 0.012, "weight_decay": 0.34, "betas": (0.56, 0.78)}
TRANSFORMER = replace(language_model.SMOKE, n_heads=2, n_layers=3, dropout=0.25, **OPTIMISER, batch_size=5, n_epochs=4)
MASKED = replace(masked_language_model.SMOKE, n_layers=3, dropout=0.25, **OPTIMISER, batch_size=5, n_epochs=4)
FINE = {**OPTIMISER, "n_digits": 1, "batch_size": 5, "n_epochs": 4}


def net(*, dropout: float = 0.0, causal: bool = True) -> Transformer:
    torch.manual_seed(0)
    made = Transformer(V, L, width=8, n_layers=1, n_heads=2, dropout=dropout, causal=causal)
    for p in made.parameters():
        nn.init.normal_(p, std=0.3)
    return made


def given() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    return {"pretrained": LikelihoodEnergy(net()), "noise": LSTMLanguageModel(V, width=8)}


@dataclass
class Asked:
    """What the training loop was asked for, which trains nothing."""

    step: Any = None
    batches: Any = None
    rest: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()

    def fit(step: Any, batches: Any, *, last: dict[str, Any] | None = None, **rest: Any) -> list[Any]:
        found.step, found.batches, found.rest = step, batches, rest
        if last is not None:
            last.update({"model": {}, "energy": {}})
        return []

    monkeypatch.setattr("ebm_course.training.fit.fit", fit)
    return found


def of_optimiser(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    decayed = next(group for group in optimizer.param_groups if group["weight_decay"])
    start = decayed.get("initial_lr", decayed["lr"])  # of a schedule, which sets the rate at once
    return {"rate": start, "weight_decay": decayed["weight_decay"], "betas": decayed["betas"]}


def is_of(batches: Batches, rows: Tensor, seed: int) -> bool:
    return torch.equal(batches[0].x, Batches(Batch(rows), 5, seed=seed)[0].x)


@pytest.mark.parametrize("config", [TRANSFORMER, MASKED], ids=["next token", "hidden digits"])
def test_pretraining_is_the_configurations(config: language_model.Config, asked: Asked) -> None:
    recipe: ModuleType = masked_language_model if isinstance(config, masked_language_model.Config) else language_model
    model = recipe.fit(config, RUN, progress=False).module
    assert len(model.net.blocks) == 3 and model.net.dropout == model.net.blocks[2].dropout == 0.25
    assert of_optimiser(asked.rest["keep"]["optimizer"]) == OPTIMISER
    assert asked.rest["n_steps"] == 4 * 4 and asked.rest["validate_every"] == asked.rest["log_every"] == 4
    assert is_of(asked.batches, task_for(1).train.x[:20], seed=3)
    for keep_best in (False, True):
        fitted = recipe.fit(replace(config, keep_best=keep_best), RUN, progress=False)
        assert asked.rest["keep_best"] is keep_best and (fitted.last is not None) is keep_best


def test_an_lstm_has_the_configurations_layers() -> None:
    model = language_model.build(replace(language_model.SMOKE, n_layers=3))
    assert isinstance(model, LSTMLanguageModel) and model.lstm.num_layers == 3


@pytest.mark.parametrize("config", [TRANSFORMER, MASKED], ids=["next token", "hidden digits"])
def test_pretraining_is_validated_on_held_out_rows_without_dropout(config: Any, asked: Asked) -> None:
    recipe: ModuleType = masked_language_model if isinstance(config, masked_language_model.Config) else language_model
    model = recipe.fit(config, RUN, progress=False).module.train()
    (name, found), *_ = asked.rest["validate"]().items()
    assert name == "nll" and not model.training
    per_row = len(Format(1).answer_positions().nonzero()) if recipe is masked_language_model else L - 1
    assert found == pytest.approx(float(model(task_for(1).valid.x).mean().detach()) / per_row)


def test_the_loss_of_a_language_model_is_the_mean_over_tokens_that_are_predicted() -> None:
    model, x = LikelihoodEnergy(net()), task_for(1).train.x[:6]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    expected = nn.functional.cross_entropy(model.net.logits(x)[:, :-1].flatten(0, 1), x[:, 1:].flatten())
    log = language_model.make_step(model, optimizer, schedule, clip=1e9)(Batch(x), torch.Generator())
    assert log["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def masked_step(model: Any, optimizer: Any) -> Any:
    return masked_language_model.make_step(model, optimizer, of_constant(optimizer), config=MASKED)


def of_constant(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.ConstantLR(optimizer)


def adversarial_step(energy: PooledEnergy, optimizer: torch.optim.Optimizer) -> Any:
    config = replace(adversarial.SMOKE, n_digits=1)
    chains = adversarial.Chains(lambda n, generator: task_for(1).train.x[20 : 20 + n], config, RUN)
    learner = adversarial.OneEnergy(energy, optimizer, config)
    return adversarial.make_step(learner, [chains], [adversarial.budget_of(config)])


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "next token": lambda m, o: language_model.make_step(m, o, of_constant(o), clip=1.0),
    "hidden digits": masked_step,
    "residual": lambda m, o: residual_nce.make_step(m, o, lambda n, g: task_for(1).train.x[20 : 20 + n], clip=1, l2=0),
    "Algorithm 1": adversarial_step,
}


@pytest.mark.parametrize("name", STEPS)
def test_what_a_validation_left_in_eval_mode_learns_in_train_mode(name: str) -> None:
    model: Any = PooledEnergy(net(dropout=0.25))
    if name == "next token":
        model = LikelihoodEnergy(net(dropout=0.25))
    elif name == "hidden digits":
        hidden = net(dropout=0.25, causal=False)
        model = PseudoLikelihoodEnergy(hidden, Format(1).answer_positions(), mask_value=masked_language_model.MASK)
    modes = list[bool]()
    model.net.norm.register_forward_hook(lambda module, *_: modes.append(module.training))
    step = STEPS[name](model.eval(), torch.optim.SGD(model.parameters(), lr=0.1))
    step(Batch(task_for(1).train.x[:10]), torch.Generator())
    assert modes[-1] and not any(modes[:-1])  # an attack sees the energy without dropout


@pytest.mark.parametrize("name", ["next token", "hidden digits", "Algorithm 1"])
def test_runs_side_by_side_are_the_configurations_learn_with_dropout_and_are_validated_without(
    name: str, asked: Asked
) -> None:
    runs = [RUN, Run(CPU, 4)]
    if name == "Algorithm 1":
        nets, config = given(), replace(adversarial.SMOKE, **FINE, n_attack_steps=1, keep_best=True)  # type: ignore[arg-type]
        for block in nets["pretrained"].net.blocks:  # type: ignore[union-attr]
            block.dropout = 0.5  # type: ignore[assignment]
        side_by_side.fit_side_by_side(config, runs, progress=False, **nets)  # type: ignore[arg-type]
    else:
        of_name = {"next token": TRANSFORMER, "hidden digits": MASKED}[name]
        pretraining_side_by_side.fit_side_by_side(replace(of_name, n_layers=1), runs, progress=False)
    keep = asked.rest["keep"]
    assert of_optimiser(keep["optimizer"]) == OPTIMISER and asked.rest["n_steps"] == 4 * 4
    assert asked.rest["validate_every"] == asked.rest["log_every"] == 4
    for before in (True, False):  # whatever mode it was left in
        keep["ensemble"].train(before)
        values = [asked.rest["validate"]() for _ in range(2)]
        assert not keep["ensemble"].training and values[0] == values[1]
    batch = asked.batches(0)
    assert len(batch) == 2 * 5
    log = asked.step(batch, asked.rest["generator"])
    assert keep["ensemble"].training and {"loss/0", "loss/1"} <= set(log)


def test_the_clip_and_the_penalty_of_a_configuration_reach_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    x, clips, penalties = task_for(1).train.x[:4], list[float](), list[float]()

    def update(loss: Any, *_: Any, clip: float, **rest: Any) -> dict[str, Tensor]:
        clips.append(clip)
        return {}

    def objective(e_data: Tensor, e_negative: Tensor, *, l2: float) -> Any:
        penalties.append(l2)
        return residual_loss(e_data, e_negative, l2=l2)

    for recipe in (language_model, masked_language_model, residual_nce, adversarial):
        monkeypatch.setattr(recipe, "update", update)
    monkeypatch.setattr(residual_nce, "residual_nce", objective)
    steps = dict[str, Any]()
    monkeypatch.setattr("ebm_course.training.fit.fit", lambda step, *_, **rest: steps.update({"last": step}) or [])
    for recipe, config in ((language_model, TRANSFORMER), (masked_language_model, MASKED)):
        recipe.fit(replace(config, clip=0.37, keep_best=False), RUN, progress=False)
        steps["last"](Batch(x), torch.Generator())
    options: dict[str, Any] = {"n_digits": 1, "clip": 0.37, "l2": 0.019, "keep_best": False}
    residual_nce.fit(replace(residual_nce.SMOKE, **options), RUN, progress=False, **given())  # type: ignore[arg-type]
    steps["last"](Batch(x), torch.Generator())
    options["objective"] = objective
    energy = PooledEnergy(net())
    learner = adversarial.OneEnergy(energy, torch.optim.SGD(energy.parameters()), replace(adversarial.SMOKE, **options))
    learner.descend(energy(x), energy(x))
    assert clips == [0.37] * 4 and penalties == [0.019] * 2


@pytest.mark.parametrize("recipe", [residual_nce, adversarial])
def test_fine_tuning_is_the_configurations(recipe: Any, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(recipe.SMOKE, **FINE, head=CorrectedEnergy, keep_best=True)
    rows = task_for(1).train[:20]
    monkeypatch.setattr(recipe, "data_and_noise", lambda *_: (rows, lambda n, generator: rows.x[:n]))
    energy = recipe.fit(config, RUN, progress=False, **given()).module
    assert type(energy) is CorrectedEnergy and of_optimiser(asked.rest["keep"]["optimizer"]) == OPTIMISER
    assert asked.rest["n_steps"] == 4 * 4 and asked.rest["validate_every"] == asked.rest["log_every"] == 4
    assert is_of(asked.batches, task_for(1).train.x[:20], seed=3) and asked.rest["keep_best"]
    assert recipe.fit(replace(config, keep_best=False), RUN, progress=False, **given()).last is None
    assert not asked.rest["keep_best"]
    if recipe is residual_nce:
        for patience in (7, None):
            recipe.fit(replace(config, patience=patience), RUN, progress=False, **given())
            assert asked.rest["patience"] == patience


@pytest.mark.parametrize("recipe", [residual_nce, adversarial])
def test_fine_tuning_is_validated_on_held_out_rows_and_samples_without_dropout(recipe: Any, asked: Asked) -> None:
    nets = given()
    nets["pretrained"].net.dropout = 0.25
    energy = recipe.fit(replace(recipe.SMOKE, **FINE, keep_best=True), RUN, progress=False, **nets).module.train()
    found, valid = asked.rest["validate"](), task_for(1).valid.x
    held_out = sample_sequences(nets["noise"], len(valid), n_digits=1, generator=RUN.generator("valid noise"))
    assert not energy.training
    with torch.no_grad():
        e_data, e_noise = energies_of_both(energy, valid, held_out)
    if recipe is residual_nce:
        value = float(residual_loss(e_data, e_noise).value)
    else:  # 1 - the share of pairs in which the data are lower
        below, tied = e_data[:, None] < e_noise, e_data[:, None] == e_noise
        value = 1 - float((below.double() + tied.double() / 2).mean())
    assert next(iter(found.values())) == pytest.approx(value, abs=1e-6)  # the first chooses what is kept


def test_runs_see_rows_of_their_own_and_held_out_samples_are_other_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    task, config = task_for(2), replace(residual_nce.SMOKE, n_digits=2, n_rows=20, n_noise=5)
    noise = LSTMLanguageModel(V, width=4)
    for seed in (0, 3):
        data, _ = data_and_noise(config, Run(CPU, seed), noise)
        assert torch.equal(data.x, task.train.x[20 * seed : 20 * seed + 20])
    seeds, original = list[int](), sample_sequences

    def noted(model: Any, n: int, *, n_digits: int, generator: torch.Generator) -> Tensor:
        seeds.append(generator.initial_seed())
        return original(model, n, n_digits=n_digits, generator=generator)

    def fit(*_: Any, generator: torch.Generator, **rest: Any) -> list[Any]:
        seeds.append(generator.initial_seed())
        return []

    for module in (parts, residual_nce, adversarial):
        monkeypatch.setattr(module, "sample_sequences", noted)
    monkeypatch.setattr("ebm_course.training.fit.fit", fit)
    for recipe in (residual_nce, adversarial):
        options = {"n_digits": 1, "keep_best": False} | ({"replay": 0.5} if recipe is adversarial else {})
        recipe.fit(replace(recipe.SMOKE, **options), RUN, progress=False, **given())  # type: ignore[attr-defined]
        assert len(set(seeds)) == len(seeds) == 3, "noise, held-out noise and steps have streams of their own"
        seeds.clear()


def test_samples_have_the_length_of_a_row_and_begin_as_one() -> None:
    x = sample_sequences(LSTMLanguageModel(V, width=4), 3, n_digits=1, generator=torch.Generator().manual_seed(0))
    assert x.shape == (3, L) and torch.equal(x[:, 0], task_for(1).train.x[:3, 0])


def test_chains_replay_from_a_stream_apart_and_draw_on_from_one_update_to_the_next() -> None:
    config, seeds = replace(adversarial.SMOKE, n_digits=1, replay=0.5, n_noise=12), list[int]()

    def draw(n: int, generator: torch.Generator) -> Tensor:
        seeds.append(generator.initial_seed())
        return torch.randint(V, (n, L), generator=generator)

    chains = adversarial.Chains(draw, config, RUN)
    chains.buffer, of_buffer = None, seeds.pop()
    assert not torch.equal(chains.start(4), chains.start(4)) and seeds[0] == seeds[1] != of_buffer


def test_a_causal_net_alone_loses_its_mask_and_what_training_starts_from_stays() -> None:
    for causal in (True, False):
        own = LikelihoodEnergy(net(causal=causal))
        for bidirectional in (False, True):
            energy = start_energy(own, PooledEnergy, bidirectional=bidirectional)
            assert energy.net is not own.net and energy.net.causal is (causal and not bidirectional)
        assert own.net.causal is causal


def test_algorithm_1_goes_on_from_an_energy_that_stays_as_it_was(asked: Asked) -> None:
    noise, start = given()["noise"], PooledEnergy(net())
    for bidirectional in (False, True):
        config = replace(adversarial.SMOKE, **FINE, bidirectional=bidirectional)  # type: ignore[arg-type]
        energy = adversarial.fit(config, RUN, noise=noise, start=start, progress=False).module
        assert energy is not start and start.net.causal and energy.net.causal is not bidirectional
        assert all(torch.equal(p, q) for p, q in zip(energy.parameters(), start.parameters(), strict=True))
