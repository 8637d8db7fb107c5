r"""One update with negatives from Markov chains: contrastive divergence (CD) and persistent chains (PCD).

.. math:: \nabla_\theta \, \mathbb E_{data}[-\log p_\theta(x)]
    = \mathbb E_{data}[\nabla_\theta E(x)] - \mathbb E_{p_\theta}[\nabla_\theta E(x)]

The two differ in where the chains of the second term start: at the data, or where the last update left them.
CD corrects the energy where its chains get to, near the data; a well far from all data stays (a test shows it).
Source: Yin (2023), Eq. 3; Hinton (2002), CD; Tieleman (2008), PCD.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Energy, Negatives, Step, energies_of
from ebm_course.objectives.contrastive import contrastive
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.training.batches import Draw
from ebm_course.training.update import update


class Sampler(Protocol):
    """A sampler with all its options set, such as ``functools.partial(gibbs, n_steps=1, n_values=3)``.

    >>> from functools import partial
    >>> from ebm_course.samplers.langevin import langevin
    >>> sampler: Sampler = partial(langevin, n_steps=2, step_size=0.1, noise_std=0.0)
    >>> sampler(lambda x: x.square().sum(dim=1) / 2, torch.ones(1, 1), generator=torch.Generator()).x  # (1 - 0.1)^2
    tensor([[0.8100]])
    """

    def __call__(self, energy: Energy, x0: Tensor, /, *, generator: torch.Generator) -> Negatives: ...


def make_step(
    energy: nn.Module,
    optimizer: torch.optim.Optimizer,
    sampler: Sampler,
    *,
    buffer: ReplayBuffer | None = None,
    fresh: Draw | None = None,
    restart_probability: float = 0.0,
    l2: float = 0.0,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> Step:
    """theta <- theta - rate (grad E(data) - grad E(negatives)), negatives from short chains.

    Args:
        energy: trained; any states that the sampler moves.
        buffer: chains to go on with (PCD), at least as many as rows in a batch; None: they start at the data (CD).
        fresh: where restarted chains begin; needed where ``restart_probability`` is above 0.
        l2: weight of the anchor on energies.

    >>> from ebm_course.energies.potts import Potts
    >>> def other_value(energy, x0, *, generator):
    ...     return Negatives(1 - x0)
    >>> energy = Potts(length=1, n_values=2)
    >>> step = make_step(energy, torch.optim.SGD(energy.parameters(), lr=0.5), other_value)
    >>> _ = step(Batch(torch.tensor([[1]])), torch.Generator())
    >>> energy(torch.tensor([[0], [1]])).tolist()  # up on the negatives, down on the data
    [0.5, -0.5]
    """

    def start(batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        if buffer is None:
            return batch.x, None
        new = None if fresh is None else fresh(len(batch), generator)
        return buffer.sample(len(batch), restart_probability=restart_probability, fresh=new, generator=generator)

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        x0, slots = start(batch, generator)  # 1 start
        negatives = sampler(energy, x0, generator=generator)  # 2 negatives
        loss = contrastive(energies_of(energy, batch.x), energies_of(energy, negatives.x), l2=l2)  # 3 objective
        log = update(loss, energy, optimizer, scheduler=scheduler)  # 4 update
        if buffer is not None and slots is not None:
            buffer.push(slots, negatives.x)
        return log  # 5 log

    return step
