"""One descent step: the optimiser every recipe uses, and a loss that moves it. It knows no energy and no data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebm_course.core import Loss
from ebm_course.runtime import SINGLE_PROCESS, Run


def adamw(module: nn.Module, *, rate: float, weight_decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW that decays matrices of linear layers only: no biases, norms, embeddings or positions."""
    linear = {id(m.weight) for m in module.modules() if isinstance(m, nn.Linear)}
    decayed = [p for p in module.parameters() if id(p) in linear]
    others = [p for p in module.parameters() if id(p) not in linear]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=betas)


def update(
    loss: Loss,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    clip: float | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    run: Run = SINGLE_PROCESS,
) -> dict[str, Tensor]:
    """One step downhill; returns the loss and its terms for the log.

    Args:
        loss: a mean over this process's share of rows; the gradients are averaged over processes, which gives the
            gradient over all rows.
        module: what the optimiser trains; changed.
        clip: the largest norm of that gradient, which is scaled down to it; None leaves it. The norm before is logged.
        scheduler: of the learning rate, moved on by one update.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.value.backward()
    return descend(loss, module, optimizer, clip=clip, scheduler=scheduler, run=run)


def descend(
    loss: Loss,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    clip: float | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    run: Run = SINGLE_PROCESS,
) -> dict[str, Tensor]:
    """One step along gradients that are there already, such as those that several passes added up.

    Args:
        loss: what is logged; its gradient is not taken.
        module, optimizer, clip, scheduler, run: as in :func:`update`.
    """
    run.average_gradients(module)
    log = {"loss": loss.value.detach(), **loss.terms}
    if clip is not None:
        log["gradient_norm"] = nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    if scheduler is not None:
        scheduler.step()
    return log
