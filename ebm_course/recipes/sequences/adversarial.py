r"""Algorithm 1: push the energy down on data and up on attacked samples of the language model.

.. math:: \theta \leftarrow \theta - \alpha \nabla_\theta \Big( \sum_{data} E_\theta(x) - \sum_{attacked} E_\theta(x')
    \Big)

With ``n_attack_steps = 0`` this is noise contrast with another loss (the paper's ablation, Section 3.3.1).
Source: Yin (2023), Algorithm 1. Departure: means where line 18 has sums (a factor in the learning rate), AdamW where
it has plain descent, the last weights where the paper stops early by a rule it does not give; every choice that the
paper leaves open is a field below. The notebook's presets also take the logistic loss, keep the current token among the
candidates, and let the attack grow: with all of it from the start nothing is learned.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ebm_course.core import Batch, Energy, Loss, Negatives, Step
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy
from ebm_course.objectives.contrastive import contrastive
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences.parts import Draw, adamw, energies_of_both, update
from ebm_course.recipes.sequences.residual_nce import data_and_noise, shipped_nets, start_energy
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.samplers.ancestral import LanguageModel
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.samplers.substitution import substitution
from ebm_course.samplers.substitution_proposals import Proposal, by_saliency
from ebm_course.tasks.arithmetic import Format, digit_synonyms
from ebm_course.training.batches import Batches
from ebm_course.training.fit import fit


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


PAPER = Config()
NOTEBOOK = Config(n_digits=3, n_attack_steps=5, grow_every=60, grow_above=0.7, include_current=True, objective=logistic)
NOTEBOOK_CLOCK = replace(NOTEBOOK, grow_every=180, grow_above=0.0)
NOTEBOOK_AT_ONCE = replace(NOTEBOOK, grow_every=0, grow_above=0.0)
# A likelihood lies far above 0, where the logistic loss only asks for a lower level: the bare difference has none.
NOTEBOOK_CORRECTED = replace(NOTEBOOK_AT_ONCE, rate=2e-4, head=CorrectedEnergy, objective=contrastive)
SMOKE = Config(n_digits=1, n_rows=20, n_noise=20, n_epochs=2, n_attack_steps=2, batch_size=10)


class AttackBudget:
    """How many steps the attack has: always ``most``, or growing from 0 to ``most``.

    Growing from 0 begins with plain noise contrast, because an energy that knows nothing yet loses to any attack. Every
    ``grow_every`` updates the budget grows by one if the energy ranked ``grow_above`` of the rows or more rightly
    since the last look, and shrinks by one if it ranked less than half of them rightly. With ``grow_above = 0`` it
    grows by the clock alone. Its state is saved with the run, so that a resumed one goes on with the same budget.
    """

    def __init__(self, most: int, grow_every: int, grow_above: float = 0.0):
        self.most, self.grow_every, self.grow_above = most, grow_every, grow_above
        self.steps, self.updates = (0 if grow_every else most), 0
        self.accuracy = torch.zeros(())

    def observe(self, accuracy: Tensor) -> None:
        """Count an update; looks at the mean accuracy, which reads the device, once every ``grow_every`` updates."""
        self.updates += 1
        self.accuracy = self.accuracy.to(accuracy) + accuracy.detach()
        if not self.grow_every or self.updates % self.grow_every:
            return
        mean = float(self.accuracy) / self.grow_every
        change = 1 if mean >= self.grow_above else -1 if mean < 0.5 else 0
        self.steps = min(self.most, max(0, self.steps + change))
        self.accuracy = torch.zeros_like(accuracy)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "updates": self.updates, "accuracy": self.accuracy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.updates, self.accuracy = int(state["steps"]), int(state["updates"]), state["accuracy"]


def make_step(
    energy: PooledEnergy,
    optimizer: torch.optim.Optimizer,
    draw: Draw,
    budget: AttackBudget,
    config: Config,
    *,
    run: Run = SINGLE_PROCESS,
    buffer: ReplayBuffer | None = None,
    average: AveragedModel | None = None,
) -> Step:
    """Lines 4 to 18 of Algorithm 1 for one minibatch; ``draw`` supplies the samples of the language model.

    Each process of ``run`` attacks its share of the samples; all have the same budget. With a ``buffer`` a share
    ``config.replay`` of the chains goes on from earlier negatives; ``average`` follows the weights.
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        x_lm = draw(len(batch), generator)  # lines 4-5
        if buffer is not None:
            restart = 1 - config.replay
            x_lm, slots = buffer.sample(len(x_lm), restart_probability=restart, fresh=x_lm, generator=generator)
        n_steps = budget.steps
        negatives = attack(energy, run.share(x_lm), n_steps=n_steps, config=config)  # lines 6-15
        if buffer is not None:
            buffer.push(slots, run.gather(negatives.x))
        energy.train()
        e_data, e_negative = energies_of_both(energy, run.share(batch.x), negatives.x)
        loss = config.objective(e_data, e_negative, l2=config.l2)  # line 17
        log = update(loss, energy, optimizer, clip=config.clip, run=run)  # line 18
        if average is not None:
            average.update_parameters(energy)
        budget.observe(run.gather((e_data < e_negative).float()).mean())
        shares = {name: negatives.info[name].float().mean() for name in ("tokens_moved", "frozen", "toggling")}
        return log | shares | {"attack_steps": torch.tensor(float(n_steps))}

    return step


def attack(energy: Energy, x_lm: Tensor, *, n_steps: int, config: Config, keep_path: bool = False) -> Negatives:
    """The configured attack on digits of (N, L) sequences."""
    layout = Format(config.n_digits)
    return substitution(
        energy,
        x_lm,
        n_steps=n_steps,
        synonyms=digit_synonyms(),
        free=layout.answer_positions() if config.answer_only else layout.digit_positions(),
        include_current=config.include_current,
        position_memory=config.position_memory,
        propose=config.propose,
        keep_path=keep_path,
    )


def fit_energy(
    config: Config,
    run: Run,
    *,
    noise: LanguageModel,
    pretrained: LikelihoodEnergy | None = None,
    start: PooledEnergy | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> tuple[PooledEnergy, list[dict[str, float]]]:
    """Run Algorithm 1; returns the energy in eval mode and one row an epoch.

    Args:
        noise: the language model whose samples are attacked.
        pretrained: the net that gets a new head, as in the paper; or
        start: an energy to go on from, such as a residual baseline. Copies are trained, both are left as they are.

    Raises:
        ValueError: both or none of ``pretrained`` and ``start`` are given.
    """
    if (pretrained is None) == (start is None):
        raise ValueError("training starts from one thing: pass pretrained=... or start=..., not both or none.")
    train, draw = data_and_noise(config, run, noise)
    energy = copy.deepcopy(start) if start is not None else start_energy(pretrained, config.head)  # type: ignore[arg-type]
    energy = energy.to(run.device)
    energy.net.causal = energy.net.causal and not config.bidirectional
    buffer = ReplayBuffer(draw(config.n_noise, run.generator("replay"))) if config.replay else None
    average = AveragedModel(energy, multi_avg_fn=get_ema_multi_avg_fn(config.ema)) if config.ema else None
    optimizer = adamw(energy, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    batches = Batches(train, config.batch_size, seed=run.seed)
    budget = AttackBudget(config.n_attack_steps, config.grow_every, config.grow_above)
    kept = {"energy": energy, "optimizer": optimizer, "budget": budget, "buffer": buffer, "average": average}
    rows = fit(
        make_step(energy, optimizer, draw, budget, config, run=run, buffer=buffer, average=average),
        batches,
        n_steps=config.n_epochs * batches.steps_per_epoch,
        generator=run.generator("adversarial_sequence"),
        keep={name: part for name, part in kept.items() if part is not None},
        log_every=batches.steps_per_epoch,
        folder=folder,
        save_every=batches.steps_per_epoch if folder else 0,
        progress=progress,
        run=run,
    )
    if average is not None:
        energy.load_state_dict(average.module.state_dict())
    return energy.eval(), rows


def train(
    config: Config, run: Run, *, folder: Path | None = None, progress: bool = True
) -> tuple[nn.Module, dict[str, Any]]:
    """Fine-tune the shipped nets of this many digits; the energy and what its checkpoint should say of it."""
    pretrained, noise = shipped_nets(config.n_digits)
    energy, rows = fit_energy(config, run, pretrained=pretrained, noise=noise, folder=folder, progress=progress)
    return energy, {"n_digits": config.n_digits, "head": config.head.__name__, "last_row": rows[-1]}
