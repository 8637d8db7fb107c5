r"""Algorithm 1 of Yin (2023), one update: attack samples of the language model, then push data down and them up.

It stands here once, for one energy and for several that train side by side. What differs between the two (how chains
are attacked, gradients clipped, a budget of each its own) is a :class:`Learner`. It knows no net and no attack.
Source: Yin (2023), Algorithm 1, lines 4 to 18; departures are those of ``adversarial``.

>>> from ebm_course.energies.potts import Potts
>>> from ebm_course.recipes.sequences.adversarial import Config, OneEnergy
>>> from ebm_course.tasks.arithmetic import Format
>>> from ebm_course.training.batches import with_replacement
>>> energy, config = Potts(length=8, n_values=16), Config(n_digits=1)
>>> learner: Learner = OneEnergy(energy, torch.optim.SGD(energy.parameters(), lr=0.1), config)
>>> chains = Chains(with_replacement(Format(1).encode(["2+3=07"])), config, Run(torch.device("cpu"), 0))
>>> chains.start(2).shape
torch.Size([2, 8])
>>> data = Format(1).encode(["1+1=02"])
>>> log = make_step(learner, [chains], [AttackBudget(2, grow_every=0)])(Batch(data), torch.Generator())
>>> float(log["gap"]), float(log["attack_steps"]), energy(data).item() < 0  # flat before, low on the data after
(0.0, 2.0, True)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ebm_course.core import Batch, Step
from ebm_course.recipes.sequences.attack_budget import AttackBudget
from ebm_course.recipes.sequences.distance import distances, near
from ebm_course.runtime import Run
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.training.batches import Draw


class Learner(Protocol):
    """R energies in training, one or more. A list of tensors has one for each of them."""

    def attack(
        self, x: Tensor, n_steps: Sequence[int], streams: Sequence[torch.Generator]
    ) -> tuple[Tensor, Sequence[Tensor], dict[str, Tensor]]:
        """Negatives to take energies of, the negatives (N, L) of each energy, and what is logged of the attack."""
        ...

    def energies(self, x_data: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """E of data and of negatives, with a graph."""
        ...

    def descend(self, e_data: Tensor, e_negative: Tensor) -> dict[str, Tensor]:
        """One step down the loss of each energy; returns what is logged."""
        ...

    def whole(self, e: Tensor) -> Tensor:
        """Energies (R, B) of all rows, those of other processes too, without a graph."""
        ...

    def named(self, log: Mapping[str, Tensor], each: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scalars by name, from what ``descend`` and ``attack`` log and from numbers (R,)."""
        ...


class Chains:
    """Where the chains of one run start: samples of its language model, a share of them replaced by its own replay.

    Args:
        draw: n samples of the language model (n, L).
        config: of the recipe: its ``replay`` and ``n_noise`` are read.
        run: names the random streams.
    """

    def __init__(self, draw: Draw, config: Any, run: Run):
        self.draw, self.config, self.run = draw, config, run
        self.generator = run.generator("adversarial_sequence")
        self.buffer = ReplayBuffer(draw(config.n_noise, run.generator("replay"))) if config.replay else None
        self.slots: Tensor | None = None

    def start(self, n: int) -> Tensor:
        """n sequences (n, L)."""
        x = self.draw(n, self.generator)
        if self.buffer is not None:
            options: dict[str, Any] = {"restart_probability": 1 - self.config.replay, "generator": self.generator}
            x, self.slots = self.buffer.sample(n, fresh=x, **options)
        return x

    def stream(self, update: int) -> torch.Generator:
        """What a supplier draws from at this update: of its own, so that nobody's budget moves another's draws."""
        return self.run.generator(f"negatives {update}")

    def store(self, x: Tensor) -> None:
        """Keep where the chains that were started last have ended, (n, L)."""
        if self.buffer is not None and self.slots is not None:
            self.buffer.push(self.slots, x)


def make_step(learner: Learner, chains: Sequence[Chains], budgets: Sequence[AttackBudget]) -> Step:
    """Lines 4 to 18 of Algorithm 1 for a minibatch of each of R runs, (R B, L) block by block.

    Args:
        learner: the R energies.
        chains: where each run's chains start.
        budgets: how many attack steps each run has now.
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        n_steps = [budget.steps for budget in budgets]
        streams = [own.stream(budget.updates) for own, budget in zip(chains, budgets, strict=True)]
        x_lm = torch.cat([own.start(len(batch) // len(chains)) for own in chains])  # lines 4-5
        negatives, ends, shares = learner.attack(x_lm, n_steps, streams)  # lines 6-15
        for own, x in zip(chains, ends, strict=True):
            own.store(x)
        e_data, e_negative = learner.energies(batch.x, negatives)
        log = learner.descend(e_data, e_negative)  # lines 17-18
        seen = _seen(learner.whole(e_data), learner.whole(e_negative))
        for r, budget in enumerate(budgets):
            budget.observe(seen[budget.reads][r])
        steps = torch.tensor(n_steps, dtype=torch.float32)
        return learner.named(log | shares, {"attack_steps": steps, "near": seen["near"]})

    return step


def _seen(e_data: Tensor, e_negative: Tensor) -> dict[str, Tensor]:
    """Of energies (R, B): share of pairs with the data lower, mean distance in nats, share of near negatives; (R,)."""
    apart = distances(e_data, e_negative)
    accuracy = (e_data < e_negative).float().mean(dim=1)
    return {"accuracy": accuracy, "distance": apart.mean(dim=1), "near": near(apart)}
