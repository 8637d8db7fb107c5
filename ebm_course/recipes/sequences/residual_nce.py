r"""Residual noise contrast: tell data from samples of the language model. The negatives are never attacked.

The joint model is :math:`p(x) \propto P_{LM}(x) e^{-E(x)}`; binary NCE with noise P_LM then needs no log-probability
and its optimum is :math:`E = \log P_{LM} - \log p_{data}`. Sequences are improved by resampling with weights e^{-E}.
Source: Deng et al. (2020); the settings are those of Yin (2023), Section 3.2. Departure: none in the loss.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Step
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, SurpriseEnergy
from ebm_course.objectives.nce import residual_nce
from ebm_course.recipes.sequences import language_model
from ebm_course.recipes.sequences.parts import (
    Draw,
    adamw,
    energies_of_both,
    fixed_dump,
    load_shipped,
    sample_sequences,
    task_for,
    update,
)
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.samplers.ancestral import LanguageModel
from ebm_course.training.batches import Batches
from ebm_course.training.fit import fit


@dataclass(frozen=True)
class Config:
    """Section 3.2 of Yin (2023) by default."""

    n_digits: int = 10
    n_rows: int = 1_000  # Section 3.2: samples of the data
    n_noise: int = 1_000  # Section 3.2: samples of P_LM, drawn once
    n_epochs: int = 5  # Section 3.2; Algorithm 1 is given 55, so 55 are reported beside it
    batch_size: int = 100  # unsaid
    rate: float = 6e-4  # unsaid; that of pretraining
    weight_decay: float = 0.1  # unsaid; as the baseline's notebook
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    l2: float = 0.0  # anchor on the energies' scale, not in the paper
    patience: int | None = 3  # "early stopping", unsaid: epochs without a better validation loss
    keep_best: bool = True  # the weights of the best validation loss, or the last ones
    head: type[PooledEnergy] = PooledEnergy  # unsaid; CorrectedEnergy starts from the likelihood


PAPER = Config()
PAPER_LONG = replace(PAPER, n_epochs=55, patience=None)
NOTEBOOK = Config(n_digits=3, n_rows=1_000, n_noise=1_000)
NOTEBOOK_LONG = replace(NOTEBOOK, n_epochs=55, patience=None, keep_best=False)
NOTEBOOK_MATCHED = replace(NOTEBOOK_LONG, batch_size=50, keep_best=True)  # as many updates as Algorithm 1 has
SMOKE = Config(n_digits=1, n_rows=20, n_noise=20, n_epochs=2, batch_size=10)


def make_step(
    energy: nn.Module,
    optimizer: torch.optim.Optimizer,
    draw: Draw,
    *,
    clip: float,
    l2: float,
    run: Run = SINGLE_PROCESS,
) -> Step:
    """One update of noise contrast; ``draw`` supplies the noise, each process of ``run`` takes its share of both."""

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        x_noise = run.share(draw(len(batch), generator))
        energy.train()
        loss = residual_nce(*energies_of_both(energy, run.share(batch.x), x_noise), l2=l2)
        return update(loss, energy, optimizer, clip=clip, run=run)

    return step


def start_energy(net: LikelihoodEnergy, head: type[PooledEnergy]) -> PooledEnergy:
    """A new energy on a copy of a pretrained transformer; the pretrained net itself is left as it is."""
    return head(copy.deepcopy(net.net))


def fit_energy(
    config: Config,
    run: Run,
    *,
    pretrained: LikelihoodEnergy,
    noise: LanguageModel,
    folder: Path | None = None,
    progress: bool = True,
) -> tuple[PooledEnergy, list[dict[str, float]]]:
    """Fine-tune a copy of ``pretrained`` against samples of ``noise``; returns it in eval mode and the log's rows."""
    train, draw = data_and_noise(config, run, noise)
    valid = task_for(config.n_digits).valid.x.to(run.device)
    held_out = sample_sequences(noise, len(valid), n_digits=config.n_digits, generator=run.generator("valid noise"))
    energy = start_energy(pretrained, config.head).to(run.device)
    optimizer = adamw(energy, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    batches = Batches(train, config.batch_size, seed=run.seed)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        energy.eval()
        loss = residual_nce(*energies_of_both(energy, valid, held_out))
        return {"loss": float(loss.value), "accuracy": float(loss.terms["accuracy"])}

    rows = fit(
        make_step(energy, optimizer, draw, clip=config.clip, l2=config.l2, run=run),
        batches,
        n_steps=config.n_epochs * batches.steps_per_epoch,
        generator=run.generator("residual_nce"),
        validate=validate,
        validate_every=batches.steps_per_epoch,
        patience=config.patience,
        keep={"energy": energy, "optimizer": optimizer},
        keep_best=config.keep_best,
        log_every=batches.steps_per_epoch,
        folder=folder,
        save_every=batches.steps_per_epoch if folder else 0,
        progress=progress,
        run=run,
    )
    return energy.eval(), rows


def data_and_noise(config: Any, run: Run, noise: LanguageModel) -> tuple[Batch, Draw]:
    """The rows of data of this run's seed, and a draw from one fixed dump of the language model."""
    rows = task_for(config.n_digits).train
    first = (run.seed * config.n_rows) % max(1, len(rows) - config.n_rows)
    data = rows[first : first + config.n_rows].to(run.device)
    samples = sample_sequences(noise, config.n_noise, n_digits=config.n_digits, generator=run.generator("noise"))
    return data, fixed_dump(samples)


def train(
    config: Config, run: Run, *, folder: Path | None = None, progress: bool = True
) -> tuple[nn.Module, dict[str, Any]]:
    """Fine-tune the shipped nets of this many digits; the energy and what its checkpoint should say of it."""
    pretrained, noise = shipped_nets(config.n_digits)
    energy, rows = fit_energy(config, run, pretrained=pretrained, noise=noise, folder=folder, progress=progress)
    return energy, {"n_digits": config.n_digits, "head": config.head.__name__, "last_row": rows[-1]}


def shipped_nets(n_digits: int) -> tuple[LikelihoodEnergy, LanguageModel]:
    """The pretrained transformer and the noise distribution that ship with the package."""
    pretrained = language_model.load(f"arithmetic-{n_digits}-energy")
    assert isinstance(pretrained, LikelihoodEnergy)
    return pretrained, language_model.load(f"arithmetic-{n_digits}-lm")


def load(name: str) -> PooledEnergy:
    """A fine-tuned energy that ships with the package, for example ``"arithmetic-3-residual-0"``."""
    heads = {head.__name__: head for head in (PooledEnergy, CorrectedEnergy, SurpriseEnergy)}
    energy = load_shipped(name, lambda meta: start_energy(shipped_nets(meta["n_digits"])[0], heads[meta["head"]]))
    assert isinstance(energy, PooledEnergy)
    return energy
