r"""Maximum likelihood of a net in the plane: negatives from Langevin chains that go on in a replay buffer.

The plane is small enough to integrate, so the likelihood that nobody can compute in more dimensions is reported here.
Source: Yin (2023), Eq. 3; Du and Mordatch (2019), replay buffer with restarts. Departure: noise of sqrt(2 step_size),
so that chains sample the model and not a colder one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Negatives, Task
from ebm_course.energies.mlp import MLP
from ebm_course.energies.plane import log_z_plane
from ebm_course.recipes.likelihood.potts import make_step
from ebm_course.runtime import Run
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.tasks.toy2d import toy2d
from ebm_course.tasks.toy2d_densities import Density, two_moons
from ebm_course.training.batches import Batches
from ebm_course.training.fit import fit


@dataclass(frozen=True)
class Config:
    """What is trained, on what, and how. The defaults are the notebook's."""

    density: Density = field(default_factory=two_moons)
    n_train: int = 10_000
    width: int = 128
    n_layers: int = 3
    confinement: float = 0.2  # a bowl, so that the model is a density on the whole plane
    batch_size: int = 256  # and chains moved in an update
    buffer_size: int = 512
    restart_probability: float = 0.05  # Du and Mordatch (2019)
    n_sampler_steps: int = 20  # Grathwohl et al. (2020)
    step_size: float = 0.005  # a quarter of the variance across a ridge; at 0.02 the chains, and then the net, diverge
    max_grad_norm: float = 20.0
    l2: float = 0.01  # anchors the level of the energies, which the likelihood leaves free
    rate: float = 4e-3  # Adam; falls linearly to a hundredth of it
    n_steps: int = 800
    validate_every: int = 200


PAPER = Config(width=256, buffer_size=10_000, n_sampler_steps=20, rate=1e-3, n_steps=20_000, validate_every=1_000)
"""No paper of the course trains in the plane. Buffer of 10,000, 5 % restarts and 20 steps an update are the setting of
Grathwohl et al. (2020), JEM; it is trained until the likelihood stands still."""

NOTEBOOK = Config()
SMOKE = Config(n_train=300, width=8, batch_size=32, buffer_size=64, n_sampler_steps=2, n_steps=6, validate_every=3)


@dataclass(frozen=True)
class Result:
    """A trained energy, its data, what was logged, its chains, and ``scores``."""

    energy: MLP
    task: Task
    rows: list[dict[str, float]]
    buffer: ReplayBuffer
    scores: dict[str, float]


def fit_model(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Result:
    """Train an MLP on draws of a density.

    Returns:
        ``scores`` of the result: ``nll`` of test points, ``entropy`` of the density (what nll cannot go below, but
        for chance), and the task's own score of 2,000 long chains, with ``chains_`` before each name.
    """
    density, task = config.density, toy2d(config.density, n_train=config.n_train, seed=run.seed)
    model = MLP(2, width=config.width, n_layers=config.n_layers, confinement=config.confinement).to(run.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.rate, betas=(0.9, 0.99))
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=config.n_steps)
    fresh = functools.partial(uniform, extent=density.extent)
    buffer = ReplayBuffer(fresh(config.buffer_size, run.generator("chains")))
    sampler = functools.partial(
        langevin,
        n_steps=config.n_sampler_steps,
        step_size=config.step_size,
        max_grad_norm=config.max_grad_norm,
    )
    step = make_step(
        model,
        optimizer,
        sampler,
        buffer=buffer,
        fresh=fresh,
        restart_probability=config.restart_probability,
        l2=config.l2,
        scheduler=scheduler,
    )
    rows = fit(
        step,
        Batches(task.train.to(run.device), config.batch_size, seed=run.seed),
        n_steps=config.n_steps,
        generator=run.generator("steps"),
        validate=lambda: {"nll": nll(model, task.valid.x.to(run.device), density)},
        validate_every=config.validate_every,
        keep={"model": model, "optimizer": optimizer, "scheduler": scheduler, "buffer": buffer},
        folder=folder,
        save_every=config.validate_every if folder is not None else 0,
        progress=progress,
        log_every=config.validate_every // 4 or 1,
    )
    return Result(model, task, rows, buffer, scores(model, task, config, run))


def train(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> tuple[MLP, dict[str, Any]]:
    """The trained energy and what its checkpoint should say of it."""
    result = fit_model(config, run, folder=folder, progress=progress)
    return result.energy, {"scores": result.scores}


def uniform(n: int, generator: torch.Generator, *, extent: float) -> Tensor:
    """n points of the square [-extent, extent]^2, where chains start anew."""
    return (torch.rand(n, 2, generator=generator, device=generator.device) * 2 - 1) * extent


@torch.no_grad()
def nll(model: MLP, x: Tensor, density: Density) -> float:
    """Mean -log p(x) of points, nats; log Z is integrated over a square half as large again as the density's."""
    return float(model(x).mean() + log_z_plane(model, 1.5 * density.extent, device=x.device))


def long_chains(model: MLP, config: Config, *, n: int, n_steps: int, generator: torch.Generator) -> Negatives:
    """Langevin chains from uniform points, for as many steps as asked."""
    x0 = uniform(n, generator, extent=config.density.extent)
    return langevin(
        model,
        x0,
        n_steps=n_steps,
        step_size=config.step_size,
        max_grad_norm=config.max_grad_norm,
        generator=generator,
    )


def scores(model: MLP, task: Task, config: Config, run: Run) -> dict[str, float]:
    """See :func:`fit_model`."""
    x = task.test.x.to(run.device)
    chains = long_chains(model, config, n=2_000, n_steps=500, generator=run.generator("long chains"))
    of_chains = {f"chains_{name}": value for name, value in task.score(chains.x).items()}
    entropy = -float(config.density.log_prob(x).mean())
    return {"nll": nll(model, x, config.density), "entropy": entropy, **of_chains}


run = fit_model
"""The recipe itself: a configuration and a run in, a :class:`Result` out."""
