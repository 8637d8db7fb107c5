"""One update of noise-contrastive estimation: tell data from noise whose density is known. No chains.

Source: Gutmann and Hyvärinen (2010). Departure: fresh noise at every update, as many rows as data.

>>> coin = Noise(
...     draw=lambda n, generator: torch.randint(2, (n, 1), generator=generator),
...     log_prob=lambda x: torch.full((len(x),), 0.5).log(),
... )
>>> from ebm_course.energies.potts import Potts
>>> energy = Potts(length=1, n_values=2)  # zero: exp(-E) is 1, where the coin has 1/2, so the odds on data are 2 to 1
>>> step = make_step(energy, torch.optim.SGD(energy.parameters(), lr=0.1), coin)
>>> round(float(step(Batch(torch.tensor([[0], [1]])), torch.Generator())["loss"]), 3)  # -log(2/3) - log(1/3)
1.504
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Step
from ebm_course.objectives.nce import nce
from ebm_course.recipes.shared import energies_of_both
from ebm_course.training.batches import Draw
from ebm_course.training.update import update


@dataclass(frozen=True)
class Noise:
    """Independent draws, and log q (N,) of any states (N, *S), finite wherever data can be."""

    draw: Draw
    log_prob: Callable[[Tensor], Tensor]


def make_step(
    energy: nn.Module,
    optimizer: torch.optim.Optimizer,
    noise: Noise,
    *,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> Step:
    """Descend the NCE loss; at its optimum exp(-E) is normalised, so E has to be free to shift by a constant."""

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        x_noise = noise.draw(len(batch), generator)
        e_data, e_noise = energies_of_both(energy, batch.x, x_noise)
        loss = nce(e_data, e_noise, log_q_data=noise.log_prob(batch.x), log_q_noise=noise.log_prob(x_noise))
        return update(loss, energy, optimizer, scheduler=scheduler)

    return step
