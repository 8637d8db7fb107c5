r"""Maximum likelihood of a Potts model: the exact gradient, contrastive divergence (CD) and persistent chains (PCD).

.. math:: \nabla_\theta \, \mathbb E_{data}[-\log p_\theta(x)]
    = \mathbb E_{data}[\nabla_\theta E(x)] - \mathbb E_{p_\theta}[\nabla_\theta E(x)]

The three differ in where the states of the second term come from: enumeration, short chains from the data, or chains
that go on where the last update left them. The data come from a Potts model too, so the distance to it is exact.
CD corrects the energy where its chains get to, near the data; a well far from all data stays (a test shows it).
Source: Yin (2023), Eq. 3; Hinton (2002), CD; Tieleman (2008), PCD.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ebm_course.core import Batch, Energy, Negatives, Step, energies_of
from ebm_course.energies.potts import Potts
from ebm_course.metrics.density import density_distance
from ebm_course.objectives.contrastive import contrastive
from ebm_course.runtime import Run
from ebm_course.samplers.gibbs import gibbs
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.training.batches import Batches
from ebm_course.training.fit import fit

Fresh = Callable[[int, torch.Generator], Tensor]
"""(n, generator) -> n states to restart chains from."""


class Sampler(Protocol):
    """A sampler with all its options set, such as ``functools.partial(gibbs, n_steps=1, n_values=3)``."""

    def __call__(self, energy: Energy, x0: Tensor, /, *, generator: torch.Generator) -> Negatives: ...


@dataclass(frozen=True)
class Config:
    """What is trained, on what, and how. The defaults are the notebook's."""

    length: int = 4
    n_values: int = 3
    field_std: float = 0.5  # of the model behind the data, nats
    coupling_std: float = 1.0  # of the model behind the data, nats
    n_train: int = 5_000
    n_valid: int = 1_000
    batch_size: int = 200  # and number of chains
    n_sampler_steps: int = 4  # positions redrawn in each chain an update; 0: the exact gradient
    persistent: bool = True  # PCD; otherwise chains start at the data, CD
    rate: float = 0.03  # Adam; falls linearly to a hundredth of it, so that the noise of the chains averages out
    n_steps: int = 1_000
    validate_every: int = 250


PAPER = Config(length=8, n_values=4, n_train=60_000, batch_size=100, n_sampler_steps=8, rate=0.01, n_steps=60_000)
"""No paper of the course trains this model. This is PCD as Tieleman (2008) set it: minibatches of 100, as many chains,
one sweep an update, here for 100 epochs; 65,536 states keep log Z exact."""

NOTEBOOK = Config()
SMOKE = Config(length=3, n_train=200, n_valid=50, batch_size=50, n_steps=10, validate_every=5)


@dataclass(frozen=True)
class Result:
    """A trained model, the model behind the data, what was logged, and exact ``scores``."""

    energy: Potts
    truth: Potts
    rows: list[dict[str, float]]
    scores: dict[str, float]


def make_step(
    energy: Energy,
    optimizer: torch.optim.Optimizer,
    sampler: Sampler,
    *,
    buffer: ReplayBuffer | None = None,
    fresh: Fresh | None = None,
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
        update(optimizer, loss.value, scheduler)  # 4 update
        if buffer is not None and slots is not None:
            buffer.push(slots, negatives.x)
        return {"loss": loss.value.detach(), **loss.terms}  # 5 log

    return step


def make_exact_step(
    energy: Potts,
    optimizer: torch.optim.Optimizer,
    *,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> Step:
    """theta <- theta - rate grad (E(data) + log Z): no negatives, since log Z is enumerated."""

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        nll = energies_of(energy, batch.x).mean() + energy.log_z()
        update(optimizer, nll, scheduler)
        return {"loss": nll.detach()}

    return step


def update(
    optimizer: torch.optim.Optimizer, loss: Tensor, scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
) -> None:
    """One descent step on a scalar loss; changes the optimiser's parameters."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if scheduler is not None:
        scheduler.step()


def make_truth(config: Config, run: Run) -> Potts:
    """The model behind the data, the same for every way to train."""
    sizes = {"field_std": config.field_std, "coupling_std": config.coupling_std}
    return Potts.random(config.length, config.n_values, **sizes, generator=run.generator("truth"))


def fit_model(
    config: Config, run: Run, *, start: Potts | None = None, folder: Path | None = None, progress: bool = True
) -> Result:
    """Draw data from a Potts model, train another one, and score it exactly.

    Args:
        start: the untrained model; changed. By default all zero, the uniform distribution.

    Returns:
        ``scores`` of the result: ``nll`` of held-out data, nats, and its distances from the truth.
    """
    truth, n = make_truth(config, run), config.n_train + config.n_valid
    train_x, valid_x = truth.sample(n, generator=run.generator("data")).split([config.n_train, config.n_valid])
    model = (Potts(config.length, config.n_values) if start is None else start).to(run.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.rate)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=config.n_steps)
    keep: dict[str, Any] = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    if config.n_sampler_steps == 0:
        step = make_exact_step(model, optimizer, scheduler=scheduler)
    else:
        sampler = functools.partial(gibbs, n_steps=config.n_sampler_steps, n_values=config.n_values)
        buffer = uniform_buffer(config, run) if config.persistent else None
        keep |= {"buffer": buffer} if buffer is not None else {}
        step = make_step(model, optimizer, sampler, buffer=buffer, scheduler=scheduler)
    rows = fit(
        step,
        Batches(Batch(train_x), config.batch_size, seed=run.seed),
        n_steps=config.n_steps,
        generator=run.generator("steps"),
        validate=lambda: scores(model, truth, valid_x),
        validate_every=config.validate_every,
        keep=keep,
        folder=folder,
        save_every=config.validate_every if folder is not None else 0,
        progress=progress,
        log_every=config.validate_every,
    )
    return Result(model, truth, rows, scores(model, truth, valid_x))


def uniform_buffer(config: Config, run: Run) -> ReplayBuffer:
    """As many chains as rows in a batch, each from a uniform state."""
    shape = (config.batch_size, config.length)
    return ReplayBuffer(torch.randint(config.n_values, shape, generator=run.generator("chains"), device=run.device))


def train(
    config: Config, run: Run, *, folder: Path | None = None, progress: bool = True
) -> tuple[Potts, dict[str, Any]]:
    """The trained model and what its checkpoint should say of it."""
    result = fit_model(config, run, folder=folder, progress=progress)
    return result.energy, {"scores": result.scores}


@torch.no_grad()
def scores(model: Potts, truth: Potts, x: Tensor) -> dict[str, float]:
    """``nll`` of tokens x, nats, and the distances of :func:`density_distance` from the truth, all exact."""
    nll = -model.log_prob(x).mean()
    return {"nll": float(nll), **density_distance(truth.probabilities(), model.probabilities())}


run = fit_model
"""The recipe itself: a configuration and a run in, a :class:`Result` out."""
