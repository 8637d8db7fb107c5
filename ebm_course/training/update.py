"""One descent step: the optimiser every recipe uses, and a loss that moves it. It knows no energy and no data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebm_course.core import Loss
from ebm_course.runtime import SINGLE_PROCESS, Run


def adamw(module: nn.Module, *, rate: float, weight_decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW that decays matrices of linear layers only: no biases, norms, embeddings or positions.

    >>> net = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 1))
    >>> groups = adamw(net, rate=0.1, weight_decay=0.01, betas=(0.9, 0.999)).param_groups
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]  # a matrix; a bias and an embedding
    [(1, 0.01), (2, 0.0)]
    """
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

    >>> net = nn.Linear(1, 1, bias=False)
    >>> x = nn.init.ones_(net.weight)
    >>> update(Loss(x.square().sum()), net, torch.optim.SGD([x], lr=0.25), clip=10.0)
    {'loss': tensor(1.), 'gradient_norm': tensor(2.)}
    >>> x.item()  # 1 - 0.25 * 2
    0.5
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

    >>> net = nn.Linear(1, 1, bias=False)
    >>> x = nn.init.ones_(net.weight)
    >>> for part in (1, 2):  # two passes, whose gradients add up
    ...     (part * x.sum()).backward()
    >>> log = descend(Loss(torch.tensor(7.0)), net, torch.optim.SGD([x], lr=0.25))
    >>> x.item(), log["loss"].item()
    (0.25, 7.0)
    """
    run.average_gradients(module)
    log = {"loss": loss.value.detach(), **loss.terms}
    if clip is not None:
        log["gradient_norm"] = nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    if scheduler is not None:
        scheduler.step()
    return log
