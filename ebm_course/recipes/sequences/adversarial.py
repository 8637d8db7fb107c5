r"""Algorithm 1: push the energy down on data and up on attacked samples of the language model.

.. math:: \theta \leftarrow \theta - \alpha \nabla_\theta \Big( \sum_{data} E_\theta(x) - \sum_{attacked} E_\theta(x')
    \Big)

With ``n_attack_steps = 0`` this is noise contrast with another loss (the paper's ablation, Section 3.3.1).
Source: Yin (2023), Algorithm 1. Departure: means where line 18 has sums (a factor in the learning rate), AdamW where
it has plain descent, the last weights where the paper stops early by a rule it does not give (``keep_best`` keeps those
that tell held-out data best from held-out samples of P_LM); every choice that the paper leaves open is a field below.
The notebook's presets also take the logistic loss, keep the current token among the candidates, and let the attack
grow: with that token kept and all steps from the start nothing was learned in the runs that chapter 6 shows.

>>> config: Config = replace(SMOKE, n_epochs=1)
>>> energy = fit(config, Run(torch.device("cpu"), 0), progress=False).module
>>> learner = OneEnergy(energy, torch.optim.SGD(energy.parameters(), lr=0.1), config)
>>> x = task_for(3).valid.x[:4]
>>> x.ne(attack(energy, x, n_steps=1, config=config).x).sum(dim=1), learner.attack(x, [1], [])[2]["tokens_moved"]
(tensor([1, 1, 1, 1]), tensor(1.))
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ebm_course.core import Energy, Loss, Negatives
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy
from ebm_course.metrics.separation import auroc
from ebm_course.objectives.contrastive import contrastive
from ebm_course.objectives.logistic import logistic
from ebm_course.origin import LATER
from ebm_course.recipes.sequences.algorithm_1 import Chains, make_step
from ebm_course.recipes.sequences.attack_budget import budget_of, check_budget
from ebm_course.recipes.sequences.language_model import shipped_nets
from ebm_course.recipes.sequences.parts import data_and_noise, sample_sequences, start_energy, task_for
from ebm_course.recipes.sequences.suppliers import Supplier, by_attack, check_processes
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges, energies_of_both, origin_of
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.samplers.ancestral import LanguageModel
from ebm_course.samplers.substitution_proposals import Proposal, by_saliency
from ebm_course.training import fit as loop
from ebm_course.training.batches import Batches
from ebm_course.training.update import adamw, update


@dataclass(frozen=True)
class Config:
    """Section 3.2 of Yin (2023) by default; what it leaves unsaid is marked so."""

    n_digits: int = 10
    n_rows: int = 1_000  # Section 3.2
    n_noise: int = 1_000  # Section 3.2
    n_epochs: int = 55  # Section 3.2
    n_attack_steps: int = 10  # S, unsaid
    grow_every: int = 0  # updates between looks at the budget, see AttackBudget; 0: n_attack_steps at once
    grow_above: float = 0.0  # share of rows ranked rightly above which the budget grows; 0: by the clock alone
    answer_only: bool = False  # Eq. 4 ranges over all tokens; True: only digits of c may change
    include_current: bool = False  # Eq. 5: "an alternative token"; with it chains freeze and leave the batch
    position_memory: bool = False  # not in the paper
    propose: Proposal = by_saliency  # Eq. 4; `by_gain` picks position and digit together
    replay: float = 0.0  # share of chains that go on from earlier negatives instead of fresh samples
    bidirectional: bool = False  # fine-tune without the causal mask that pretraining had
    ema: float = 0.0  # decay of averaged weights, which are returned in place of the last ones; 0: none
    objective: Callable[..., Loss] = contrastive  # line 18; it has no anchor for the scale, `logistic` has
    l2: float = 0.0
    batch_size: int = 50  # unsaid
    rate: float = 6e-4  # unsaid
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    head: type[PooledEnergy] = PooledEnergy  # unsaid
    keep_best: bool = False  # "early stopping", unsaid: the weights that rank held-out rows best, or the last ones
    grow_beyond: float | None = field(default=None, metadata=LATER)  # nats between negatives and data above which the
    # budget grows, see DistanceBudget; None: by accuracy
    supply: Supplier = field(default=by_attack, metadata=LATER)  # lines 6-15; by_gibbs: draws at equal cost

    def __post_init__(self) -> None:
        check_ranges(
            self,
            counts="n_digits n_rows n_noise batch_size",
            whole="n_epochs n_attack_steps grow_every",
            positive="clip",
            positive_or_none="grow_beyond",
            not_negative="rate weight_decay l2",
            shares="grow_above replay",
            shares_below_1="ema",
            pairs="betas",
            functions="propose objective head supply",
        )
        check_budget(self)


PAPER = Config()
NOTEBOOK = Config(n_digits=3, n_attack_steps=5, grow_every=60, grow_above=0.7, include_current=True, objective=logistic)
NOTEBOOK_CLOCK = replace(NOTEBOOK, grow_every=180, grow_above=0.0)
NOTEBOOK_AT_ONCE = replace(NOTEBOOK, grow_every=0, grow_above=0.0)
# A likelihood lies far above 0, where the logistic loss only asks for a lower level: the bare difference has none.
NOTEBOOK_CORRECTED = replace(NOTEBOOK_AT_ONCE, rate=2e-4, head=CorrectedEnergy, objective=contrastive)
SMOKE = Config(n_digits=3, n_rows=20, n_noise=20, n_epochs=2, n_attack_steps=2, batch_size=10)
PRESETS = {
    "paper": PAPER,
    "notebook": NOTEBOOK,
    "notebook-clock": NOTEBOOK_CLOCK,
    "notebook-at-once": NOTEBOOK_AT_ONCE,
    "notebook-corrected": NOTEBOOK_CORRECTED,
    "smoke": SMOKE,
}


def attack(
    energy: Energy,
    x_lm: Tensor,
    *,
    n_steps: int,
    config: Config,
    streams: Sequence[torch.Generator] = (),
    keep_path: bool = False,
) -> Negatives:
    """What the configured supplier makes of (N, L) sequences, the attack by default.

    A supplier that draws draws from ``streams``, one for all rows or one for each of equal blocks.
    """
    return config.supply(energy, x_lm, n_steps=n_steps, config=config, streams=streams, keep_path=keep_path)


class OneEnergy:
    """A single energy in the steps of Algorithm 1; every process attacks and scores its share of the rows.

    ``average`` follows the weights; None for no average.
    """

    def __init__(
        self,
        energy: PooledEnergy,
        optimizer: torch.optim.Optimizer,
        config: Config,
        *,
        run: Run = SINGLE_PROCESS,
        average: AveragedModel | None = None,
    ):
        self.energy, self.optimizer, self.config, self.run, self.average = energy, optimizer, config, run, average

    def attack(
        self, x: Tensor, n_steps: Sequence[int], streams: Sequence[torch.Generator]
    ) -> tuple[Tensor, Sequence[Tensor], dict[str, Tensor]]:
        """This process's negatives, those of all processes, and the shares of chains that moved, froze or toggled."""
        found = attack(self.energy, self.run.share(x), n_steps=n_steps[0], config=self.config, streams=streams)
        shares = {name: found.info[name].float().mean() for name in ("tokens_moved", "frozen", "toggling")}
        return found.x, [self.run.gather(found.x)], shares

    def energies(self, x_data: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """E of this process's data and of its negatives, (B,) each, with a graph."""
        self.energy.train()
        return energies_of_both(self.energy, self.run.share(x_data), negatives)

    def descend(self, e_data: Tensor, e_negative: Tensor) -> dict[str, Tensor]:
        """One step down the loss; returns what is logged."""
        loss = self.config.objective(e_data, e_negative, l2=self.config.l2)
        log = update(loss, self.energy, self.optimizer, clip=self.config.clip, run=self.run)
        if self.average is not None:
            self.average.update_parameters(self.energy)
        return log

    def whole(self, e: Tensor) -> Tensor:
        """Energies (1, B) over all processes."""
        return self.run.gather(e.detach())[None]

    def named(self, log: Mapping[str, Tensor], each: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The log of the update."""
        return {**log, **{name: values[0] for name, values in each.items()}}


@a_recipe
def fit(
    config: Config,
    run: Run,
    *,
    noise: LanguageModel | None = None,
    pretrained: LikelihoodEnergy | None = None,
    start: PooledEnergy | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> Fitted:
    """Run Algorithm 1; one row of the log an epoch, with ``keep_best`` also 1 - AUROC of held-out rows.

    Args:
        noise: the language model whose samples are attacked; by default the one that ships.
        pretrained: the net that gets a new head, as in the paper, by default the one that ships; or
        start: an energy to go on from, such as a residual baseline. Copies are trained, both are left as they are.

    Raises:
        ValueError: both ``pretrained`` and ``start`` are given, or several processes share chains that draw.
    """
    check_processes(config, run)
    if pretrained is not None and start is not None:
        raise ValueError("training starts from one thing: pass pretrained=... or start=..., not both.")
    nets = shipped_nets(config.n_digits, run) if noise is None or (pretrained is None and start is None) else {}
    noise = nets["noise"] if noise is None else noise
    train, draw = data_and_noise(config, run, noise)
    if start is None:
        pretrained = nets["pretrained"] if pretrained is None else pretrained
        energy = start_energy(pretrained, config.head, bidirectional=config.bidirectional)
    else:
        energy = copy.deepcopy(start).requires_grad_()
        energy.net.causal = energy.net.causal and not config.bidirectional
    energy = energy.to(run.device)
    chains = Chains(draw, config, run)
    average = AveragedModel(energy, multi_avg_fn=get_ema_multi_avg_fn(config.ema)) if config.ema else None
    optimizer = adamw(energy, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    batches = Batches(train, config.batch_size, seed=run.seed)
    budget = budget_of(config)
    kept = {"energy": energy, "optimizer": optimizer, "budget": budget, "buffer": chains.buffer, "average": average}
    origin = origin_of(fit, config, run, data={"train": train}, pretrained=pretrained, start=start, noise=noise)
    valid = task_for(config.n_digits).valid.to(run.device)
    held_out = sample_sequences(noise, len(valid), n_digits=config.n_digits, generator=run.generator("valid noise"))

    @torch.no_grad()
    def validate() -> dict[str, float]:
        energy.eval()
        return {"misranked": 1 - float(auroc(*energies_of_both(energy, valid.x, held_out)))}

    last: dict[str, Any] = {}
    rows = loop.fit(
        make_step(OneEnergy(energy, optimizer, config, run=run, average=average), [chains], [budget]),
        batches,
        n_steps=config.n_epochs * batches.steps_per_epoch,
        generator=chains.generator,
        validate=validate if config.keep_best else None,
        validate_every=batches.steps_per_epoch if config.keep_best else 0,
        keep_best=config.keep_best,
        last=last,
        keep={name: part for name, part in kept.items() if part is not None},
        log_every=batches.steps_per_epoch,
        folder=folder,
        save_every=batches.steps_per_epoch if folder else 0,
        origin=origin,
        progress=progress,
        run=run,
    )
    if average is not None:
        energy.load_state_dict(average.module.state_dict())
    return Fitted(energy.eval(), rows, last["energy"] if config.keep_best else None, origin)
