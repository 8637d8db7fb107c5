r"""Residual noise contrast: tell data from samples of the language model. The negatives are never attacked.

The joint model is :math:`p(x) \propto P_{LM}(x) e^{-E(x)}`; binary NCE with noise P_LM then needs no log-probability
and its optimum is :math:`E = \log P_{LM} - \log p_{data}`. Sequences are improved by resampling with weights e^{-E}.
Source: Deng et al. (2020); the settings are those of Yin (2023), Section 3.2. Departure: none in the loss.

>>> config: Config = replace(SMOKE, n_epochs=1)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [name for name in fitted.rows[-1] if name.startswith("valid")]
['valid_loss', 'valid_accuracy']
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Step
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, SurpriseEnergy
from ebm_course.objectives.nce import residual_nce
from ebm_course.recipes.sequences.language_model import shipped_nets
from ebm_course.recipes.sequences.parts import data_and_noise, sample_sequences, start_energy, task_for
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges, energies_of_both, load_shipped, origin_of
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.samplers.ancestral import LanguageModel
from ebm_course.training import fit as loop
from ebm_course.training.batches import Batches, Draw
from ebm_course.training.update import adamw, update


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

    def __post_init__(self) -> None:
        check_ranges(
            self,
            counts="n_digits n_rows n_noise batch_size",
            counts_or_none="patience",
            whole="n_epochs",
            positive="clip",
            not_negative="rate weight_decay l2",
            pairs="betas",
            functions="head",
        )


PAPER = Config()
PAPER_LONG = replace(PAPER, n_epochs=55, patience=None)
NOTEBOOK = Config(n_digits=3, n_rows=1_000, n_noise=1_000)
NOTEBOOK_LONG = replace(NOTEBOOK, n_epochs=55, patience=None, keep_best=False)
NOTEBOOK_MATCHED = replace(NOTEBOOK_LONG, batch_size=50, keep_best=True)  # as many updates as Algorithm 1 has
SMOKE = Config(n_digits=3, n_rows=20, n_noise=20, n_epochs=2, batch_size=10)
PRESETS = {
    "paper": PAPER,
    "paper-long": PAPER_LONG,
    "notebook": NOTEBOOK,
    "notebook-long": NOTEBOOK_LONG,
    "notebook-matched": NOTEBOOK_MATCHED,
    "smoke": SMOKE,
}


def make_step(
    energy: nn.Module,
    optimizer: torch.optim.Optimizer,
    draw: Draw,
    *,
    clip: float,
    l2: float,
    run: Run = SINGLE_PROCESS,
) -> Step:
    """One update of noise contrast; ``draw`` supplies the noise, each process of ``run`` takes its share of both.

    >>> from ebm_course.energies.potts import Potts
    >>> from ebm_course.tasks.arithmetic import Format
    >>> from ebm_course.training.batches import with_replacement
    >>> data, noise = Format(1).encode(["2+3=05"]), Format(1).encode(["2+3=06"])
    >>> energy = Potts(length=8, n_values=16)
    >>> optimizer = torch.optim.SGD(energy.parameters(), lr=0.1)
    >>> step = make_step(energy, optimizer, with_replacement(noise), clip=1.0, l2=0.0)
    >>> round(float(step(Batch(data), torch.Generator())["loss"]), 3)  # 2 log 2: nothing is told apart yet
    1.386
    >>> bool(energy(data) < energy(noise))
    True
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        x_noise = run.share(draw(len(batch), generator))
        energy.train()
        loss = residual_nce(*energies_of_both(energy, run.share(batch.x), x_noise), l2=l2)
        return update(loss, energy, optimizer, clip=clip, run=run)

    return step


@a_recipe
def fit(
    config: Config,
    run: Run,
    *,
    pretrained: LikelihoodEnergy | None = None,
    noise: LanguageModel | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> Fitted:
    """Fine-tune a copy of ``pretrained`` against samples of ``noise``; one row of the log an epoch.

    Args:
        pretrained: the net that gets a new head, left as it is; with ``noise`` by default the nets that ship.
        noise: the language model.
    """
    nets = shipped_nets(config.n_digits, run) if pretrained is None or noise is None else {}
    pretrained = nets["pretrained"] if pretrained is None else pretrained
    noise = nets["noise"] if noise is None else noise
    train, draw = data_and_noise(config, run, noise)
    valid = task_for(config.n_digits).valid.to(run.device)
    held_out = sample_sequences(noise, len(valid), n_digits=config.n_digits, generator=run.generator("valid noise"))
    energy = start_energy(pretrained, config.head).to(run.device)
    optimizer = adamw(energy, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    batches = Batches(train, config.batch_size, seed=run.seed)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        energy.eval()
        loss = residual_nce(*energies_of_both(energy, valid.x, held_out))
        return {"loss": float(loss.value), "accuracy": float(loss.terms["accuracy"])}

    last: dict[str, Any] = {}
    origin = origin_of(fit, config, run, data={"train": train, "valid": valid}, pretrained=pretrained, noise=noise)
    rows = loop.fit(
        make_step(energy, optimizer, draw, clip=config.clip, l2=config.l2, run=run),
        batches,
        n_steps=config.n_epochs * batches.steps_per_epoch,
        generator=run.generator("residual_nce"),
        validate=validate,
        validate_every=batches.steps_per_epoch,
        patience=config.patience,
        keep={"energy": energy, "optimizer": optimizer},
        keep_best=config.keep_best,
        last=last,
        log_every=batches.steps_per_epoch,
        folder=folder,
        save_every=batches.steps_per_epoch if folder else 0,
        origin=origin,
        progress=progress,
        run=run,
    )
    return Fitted(energy.eval(), rows, last["energy"] if config.keep_best else None, origin)


def load(name: str) -> PooledEnergy:
    """A fine-tuned energy that ships with the package, for example ``"arithmetic-3-residual-0"``.

    >>> from ebm_course.tasks.arithmetic import Format
    >>> energy = load("arithmetic-3-residual-0")
    >>> type(energy).__name__, energy(Format(3).encode(["123+456=0579"])).shape
    ('PooledEnergy', torch.Size([1]))
    """
    heads = {head.__name__: head for head in (PooledEnergy, CorrectedEnergy, SurpriseEnergy)}

    def rebuilt(meta: dict[str, Any]) -> PooledEnergy:
        n_digits, head = meta["config"]["n_digits"], meta["config"]["head"].rpartition(".")[2]
        return start_energy(shipped_nets(n_digits, SINGLE_PROCESS)["pretrained"], heads[head])

    energy = load_shipped(name, rebuilt)
    assert isinstance(energy, PooledEnergy)
    return energy
