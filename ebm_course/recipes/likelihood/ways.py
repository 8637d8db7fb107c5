"""Four ways to fit an energy by likelihood, the same for every space: who supplies the second term of the gradient.

A recipe describes its space once (:class:`Space`); each way makes a step of it, says what else has to be saved, and
counts energy evaluations, so that all are compared at equal updates and at equal evaluations. A forward pass of one
state counts as one evaluation; the backward pass of a gradient is not counted, for data and negatives alike.

Of one token of two values that chains draw anew, with 5 rows a batch, whose energies the net and then the sampler ask
for:

>>> from functools import partial
>>> from ebm_course.core import Batch
>>> from ebm_course.energies.potts import Potts
>>> from ebm_course.recipes.likelihood.potts import Config, independent_positions, uniform_states
>>> from ebm_course.samplers.gibbs import gibbs
>>> model = Potts(length=1, n_values=2)
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
>>> space = Space(
...     energy=model,
...     optimizer=optimizer,
...     scheduler=torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
...     run=Run(torch.device("cpu"), 0),
...     batch_size=5,
...     log_z=model.log_z,
...     n_summed=2,
...     sampler=partial(gibbs, n_steps=1, n_values=2),
...     sampler_evaluations=3,
...     fresh=partial(uniform_states, Config(length=1, n_values=2)),
...     noise=independent_positions(torch.tensor([[0]]), n_values=2),
...     n_chains=5,
... )
>>> for way in (exact_gradient, contrastive_divergence, persistent_chains, noise_contrastive):
...     supplied: Supplied = way(space)
...     _ = supplied.step(Batch(torch.zeros(5, 1, dtype=torch.int64)), torch.Generator())
...     print(way.__name__, supplied.evaluations, list(supplied.keep))
exact_gradient 7 []
contrastive_divergence 25 []
persistent_chains 25 ['buffer']
noise_contrastive 10 []
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Step
from ebm_course.recipes.likelihood import chains, exact, noise_contrast
from ebm_course.recipes.likelihood.chains import Sampler
from ebm_course.recipes.likelihood.noise_contrast import Noise
from ebm_course.runtime import Run
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.training.batches import Draw


@dataclass(frozen=True)
class Space:
    """What the ways need to know of an energy in training and of the states it scores."""

    energy: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    run: Run
    batch_size: int
    log_z: Callable[[], Tensor]  # exact, a scalar with a graph
    n_summed: int  # states that log_z sums over
    sampler: Sampler
    sampler_evaluations: int  # energies of one chain in one call of the sampler
    fresh: Draw  # where persistent chains start
    noise: Noise
    n_chains: int  # persistent chains, at least batch_size
    restart_probability: float = 0.0
    l2: float = 0.0


@dataclass(frozen=True)
class Supplied:
    """A step, what else changes in training by name, and energy evaluations of one update."""

    step: Step
    evaluations: int
    keep: Mapping[str, Any] = field(default_factory=dict)


Way = Callable[[Space], Supplied]


def exact_gradient(space: Space) -> Supplied:
    """The gradient itself: log Z is summed over all states."""
    step = exact.make_step(space.energy, space.optimizer, space.log_z, scheduler=space.scheduler)
    return Supplied(step, space.batch_size + space.n_summed)


def contrastive_divergence(space: Space) -> Supplied:
    """CD: chains start at the data at every update."""
    options: dict[str, Any] = {"l2": space.l2, "scheduler": space.scheduler}
    step = chains.make_step(space.energy, space.optimizer, space.sampler, **options)
    return Supplied(step, space.batch_size * (2 + space.sampler_evaluations))


def persistent_chains(space: Space) -> Supplied:
    """PCD: chains go on where the last update left them."""
    buffer = ReplayBuffer(space.fresh(space.n_chains, space.run.generator("chains")))
    options: dict[str, Any] = {"l2": space.l2, "scheduler": space.scheduler, "buffer": buffer}
    if space.restart_probability:
        options |= {"fresh": space.fresh, "restart_probability": space.restart_probability}
    step = chains.make_step(space.energy, space.optimizer, space.sampler, **options)
    return Supplied(step, space.batch_size * (2 + space.sampler_evaluations), {"buffer": buffer})


def noise_contrastive(space: Space) -> Supplied:
    """NCE: noise of a known density."""
    step = noise_contrast.make_step(space.energy, space.optimizer, space.noise, scheduler=space.scheduler)
    return Supplied(step, 2 * space.batch_size)
