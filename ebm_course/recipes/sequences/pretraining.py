"""What pretraining by next tokens and by hidden tokens share: rows, optimiser, schedule and loop. It knows no loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ebm_course.core import Step
from ebm_course.recipes.sequences.parts import task_for
from ebm_course.recipes.shared import Fitted, origin_of
from ebm_course.runtime import Run
from ebm_course.training import fit as loop
from ebm_course.training.batches import Batches
from ebm_course.training.fit import Validate
from ebm_course.training.update import adamw

Schedule = torch.optim.lr_scheduler.LRScheduler


def pretrain(
    config: Any,
    run: Run,
    *,
    fit: Callable[..., Fitted],
    model: nn.Module,
    step: Callable[[torch.optim.Optimizer, Schedule], Step],
    validate: Validate,
    folder: Path | None,
    progress: bool,
) -> Fitted:
    """Train ``model`` on the first rows of the task; one row of the log an epoch.

    Args:
        config: of a recipe with the fields of ``language_model.Config``.
        fit: the recipe's, which names what made the net.
        model: on the run's device; changed.
        step: (optimiser, schedule of its rate) -> one update.
        validate: returns the number to be minimised first.
    """
    task = task_for(config.n_digits)
    train, valid = task.train[: config.n_rows].to(run.device), task.valid.to(run.device)
    optimizer = adamw(model, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    batches = Batches(train, config.batch_size, seed=run.seed)
    n_steps = config.n_epochs * batches.steps_per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i, n_steps, config))
    last: dict[str, Any] = {}
    origin = origin_of(fit, config, run, data={"train": train, "valid": valid})
    rows = loop.fit(
        step(optimizer, schedule),
        batches,
        n_steps=n_steps,
        generator=run.generator(fit.__module__.rpartition(".")[2]),
        validate=validate,
        validate_every=batches.steps_per_epoch,
        log_every=batches.steps_per_epoch,
        keep={"model": model, "optimizer": optimizer, "schedule": schedule},
        keep_best=config.keep_best,
        last=last,
        folder=folder,
        save_every=batches.steps_per_epoch if folder else 0,
        origin=origin,
        progress=progress,
        run=run,
    )
    return Fitted(model.eval(), rows, last["model"] if config.keep_best else None, origin)


def _rate(i: int, n_steps: int, config: Any) -> float:
    """Factor on the learning rate at update i: linear warm-up, then constant or a half cosine down to 0, in cycles.

    Source: Loshchilov and Hutter (2017), warm restarts. Departure: each cycle begins with a warm-up.
    """
    n_steps = -(-n_steps // config.n_cycles)
    i -= n_steps * min(i // n_steps, config.n_cycles - 1) if n_steps else 0
    rise = config.warm_up * n_steps
    if i < rise:
        return (i + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (i - rise) / max(1, n_steps - rise))) if config.decay else 1.0
