"""One update with the exact gradient of the likelihood, where log Z can be summed or integrated: no negatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Loss, Step, energies_of
from ebm_course.training.update import update


def make_step(
    energy: nn.Module,
    optimizer: torch.optim.Optimizer,
    log_z: Callable[[], Tensor],
    *,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> Step:
    """theta <- theta - rate grad (E(data) + log Z).

    Args:
        energy: trained.
        log_z: log Z of the energy as it is now, a scalar in nats with a graph, such as ``potts.log_z``.

    >>> from ebm_course.energies.potts import Potts
    >>> energy = Potts(length=1, n_values=2)
    >>> step = make_step(energy, torch.optim.SGD(energy.parameters(), lr=1.0), energy.log_z)
    >>> round(float(step(Batch(torch.tensor([[0]])), torch.Generator())["loss"]), 3)  # log 2
    0.693
    >>> energy(torch.tensor([[0], [1]])).tolist()  # each by 1 - 1/2 of the rate
    [-0.5, 0.5]
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        nll = energies_of(energy, batch.x).mean() + log_z()
        return update(Loss(nll), energy, optimizer, scheduler=scheduler)

    return step
