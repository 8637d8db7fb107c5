"""What pretraining by next tokens and by hidden tokens share: rows, optimiser, schedule and loop. It knows no loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ebm_course.core import Batch, Step
from ebm_course.recipes.sequences.parts import rows_of, sequence_bytes, task_for
from ebm_course.recipes.shared import Fitted, check_memory, check_rows, origin_of
from ebm_course.runtime import Run
from ebm_course.training import fit as loop
from ebm_course.training.batches import Batches
from ebm_course.training.fit import Validate
from ebm_course.training.update import adamw

Schedule = torch.optim.lr_scheduler.LRScheduler


def rows_for(config: Any, run: Run, data: tuple[Batch, Batch] | None = None) -> tuple[Batch, Batch]:
    """Rows to train on and to validate on, on the device: those given, or the task's and its own.

    Those to train on are the task's first ones, the same for every seed, or with ``config.draw_rows`` drawn without
    replacement from all that there are, the same on every device.

    Raises:
        TypeError: what was given is no pair of batches.
        ValueError: the task has fewer rows, rows and net do not fit the memory, or given rows predict nothing.

    >>> from ebm_course.recipes.sequences.language_model import SMOKE
    >>> train, valid = rows_for(SMOKE, Run(torch.device("cpu"), 0))  # of one digit
    >>> train.x.shape, valid.x.shape
    (torch.Size([20, 8]), torch.Size([10, 8]))
    """
    check_memory(
        config,
        run,
        n_digits=sequence_bytes(config, 1_000),
        n_rows=sequence_bytes(config, config.n_rows),
        width=16 * 8 * config.n_layers * config.width**2,  # weights, gradients and two means of 8 squares a layer
        n_layers=8_000 * config.n_layers,  # modules, apart from their weights
    )
    task = task_for(config.n_digits)
    if data is not None and not (isinstance(data, tuple) and len(data) == 2):
        raise TypeError(f"data: expected a pair of batches, got {data!r:.80}. Pass data=(train, valid).")
    train, valid = data or (rows_of(task, config.n_rows), task.valid)
    if config.draw_rows and data is None:
        generator = Run(torch.device("cpu"), run.seed).generator("rows of pretraining")
        train = task.train[torch.randperm(len(task.train), generator=generator)[: len(train)]]
    check_rows(train=train, valid=valid)
    if train.x.ndim != 2 or valid.x.shape[1:] != train.x.shape[1:] or train.x.shape[1] < 2:
        raise ValueError(
            f"data: expected sequences (N, L) of one length L, 2 or more, got {tuple(train.x.shape)} and "
            f"{tuple(valid.x.shape)}. A token is predicted from those before it."
        )
    return train.to(run.device), valid.to(run.device)


def pretrain(
    config: Any,
    run: Run,
    *,
    fit: Callable[..., Fitted],
    model: nn.Module,
    rows: tuple[Batch, Batch],
    step: Callable[[torch.optim.Optimizer, Schedule], Step],
    validate: Validate,
    folder: Path | None,
    progress: bool,
) -> Fitted:
    """Train ``model``; one row of the log an epoch.

    Args:
        config: of a recipe with the fields of ``language_model.Config``.
        fit: the recipe's, which names what made the net.
        model: on the run's device; changed.
        rows: to train on and to validate on.
        step: (optimiser, schedule of its rate) -> one update.
        validate: returns the number to be minimised first.

    >>> from ebm_course.recipes.sequences.language_model import SMOKE, fit
    >>> model, run = nn.Linear(2, 1), Run(torch.device("cpu"), 0)
    >>> def step_of(optimizer, schedule):
    ...     return lambda batch, generator: {"rows": torch.tensor(float(len(batch)))}
    >>> rows, lowest = (Batch(torch.zeros(20, 2)), Batch(torch.zeros(1, 2))), {"nll": 0.5}
    >>> options = {"fit": fit, "model": model, "rows": rows, "folder": None, "progress": False}
    >>> pretrain(SMOKE, run, step=step_of, validate=lambda: lowest, **options).rows  # 2 epochs of 2 batches of 10 rows
    [{'step': 2, 'rows': 10.0, 'valid_nll': 0.5}, {'step': 4, 'rows': 10.0, 'valid_nll': 0.5}]
    """
    train, valid = rows
    optimizer = adamw(model, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    batches = Batches(train, config.batch_size, seed=run.seed)
    n_steps = config.n_epochs * batches.steps_per_epoch
    schedule = scheduled(optimizer, n_steps, config)
    last: dict[str, Any] = {}
    origin = origin_of(fit, config, run, data={"train": train, "valid": valid})
    log = loop.fit(
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
    return Fitted(model.eval(), log, last["model"] if config.keep_best else None, origin)


def scheduled(optimizer: torch.optim.Optimizer, n_steps: int, config: Any) -> Schedule:
    """The learning rate over ``n_steps`` updates as a configuration has it: warm-up, fall, cycles.

    >>> from ebm_course.recipes.sequences.language_model import Config
    >>> optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> schedule, rates = scheduled(optimizer, 8, Config(warm_up=0.25, decay=True)), []
    >>> for _ in range(8):
    ...     rates.append(round(schedule.get_last_lr()[0], 2))
    ...     optimizer.step()
    ...     schedule.step()
    >>> rates  # two updates up, then a half cosine down
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    """
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i, n_steps, config))


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
