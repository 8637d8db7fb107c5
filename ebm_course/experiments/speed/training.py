"""Pretraining's tokens a second: the recipe's step in several precisions against a plain loop with the same net.

>>> import copy
>>> from ebm_course.experiments.speed.config import SMOKE
>>> from ebm_course.runtime import SINGLE_PROCESS as run
>>> list(tokens_a_second(SMOKE, run))
['plain', 'float32', 'bfloat16']
>>> config = replace(SMOKE.pretraining, dropout=0.0, weight_decay=0.0)
>>> batches = Batches(Batch(random_equations(20, config.n_digits, run)), config.batch_size, seed=0)
>>> one = language_model.build(config)
>>> other = copy.deepcopy(one)
>>> plain_loop(one, config, batches, n_updates=2)()
>>> recipe_loop(other, config, batches, n_updates=2, run=run)()
>>> torch.allclose(one(batches[0].x), other(batches[0].x), atol=0.01)  # the same updates
True
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from ebm_course.core import Batch
from ebm_course.energies.sequence_energies import LikelihoodEnergy
from ebm_course.experiments.clock import Act, medians_in_turn
from ebm_course.experiments.speed.config import MODES, Config
from ebm_course.experiments.speed.workload import random_equations
from ebm_course.recipes.sequences import language_model
from ebm_course.runtime import Run
from ebm_course.training.batches import Batches
from ebm_course.training.update import adamw


def tokens_a_second(config: Config, run: Run) -> dict[str, float]:
    """Predicted tokens a second by mode, ``plain`` the plain loop, all in turn."""
    pretraining, n = config.pretraining, config.pretraining_updates
    x = random_equations(4 * pretraining.batch_size, pretraining.n_digits, run)
    batches = Batches(Batch(x), pretraining.batch_size, seed=run.seed)
    acts = {"plain": plain_loop(_net(pretraining, run), pretraining, batches, n)}
    for mode in config.modes:
        changed = replace(pretraining, **MODES[mode])
        if changed.compile:
            torch.compiler.reset()  # after eight nets in one process it would compile no more
        acts[mode] = recipe_loop(_net(pretraining, run), changed, batches, n, run)
    taken = medians_in_turn(acts, run.device, n_repeats=config.n_repeats)
    tokens = n * pretraining.batch_size * (x.shape[1] - 1)
    return {name: tokens / value for name, value in taken.items()}


def recipe_loop(
    model: LikelihoodEnergy, config: language_model.Config, batches: Batches, n_updates: int, run: Run
) -> Act:
    """So many updates by the step of the recipe."""
    optimizer = adamw(model, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1.0)
    step = language_model.make_step(
        model, optimizer, schedule, clip=config.clip, precision=config.precision, compiled=config.compile
    )
    generator = run.generator("speed")

    def act() -> None:
        for i in range(n_updates):
            step(batches[i], generator)

    return act


def plain_loop(model: LikelihoodEnergy, config: language_model.Config, batches: Batches, n_updates: int) -> Act:
    """So many updates as one would write them by hand: logits, cross-entropy, backward, clip, AdamW."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.rate, weight_decay=config.weight_decay, betas=config.betas
    )

    def act() -> None:
        model.train()
        for i in range(n_updates):
            x = batches[i].x
            logits = model.net.logits(x)[:, :-1]
            loss = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()

    return act


def _net(config: language_model.Config, run: Run) -> LikelihoodEnergy:
    model = language_model.build(config).to(run.device)
    assert isinstance(model, LikelihoodEnergy), "pretraining is that of a transformer: n_heads above 0"
    return model
