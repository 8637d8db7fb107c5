"""What is timed: equations with random digits and the transformer of Table 1 with random weights.

>>> from ebm_course.experiments.speed.config import SMOKE
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> x = random_equations(3, n_digits=2, run=SINGLE_PROCESS)
>>> [line[2] + line[5] for line in Format(2).decode(x)]
['+=', '+=', '+=']
>>> energy = random_net(n_values=16, length=x.shape[1], config=SMOKE, run=SINGLE_PROCESS)
>>> energy(x).shape, energy.training
(torch.Size([3]), False)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebm_course.energies.sequence_energies import LikelihoodEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.experiments.speed.config import Config
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic import BEGIN, END, VOCABULARY, ZERO, Format

WIDE = 0.2
"""Standard deviation of the weights: wide, so that candidates differ by more than rounding and chains move."""


def random_equations(n: int, n_digits: int, run: Run) -> Tensor:
    """Tokens (N, L) laid out as equations, with random digits: most sums are wrong."""
    layout = Format(n_digits)
    form = torch.tensor([VOCABULARY.index(s) for s in (BEGIN, *_symbols(layout), END)], device=run.device)
    digits = torch.randint(ZERO, ZERO + 10, (n, layout.length), generator=run.generator("digits"), device=run.device)
    return torch.where(layout.digit_positions().to(run.device), digits, form)


def random_net(n_values: int, length: int, config: Config, run: Run) -> LikelihoodEnergy:
    """The transformer of Table 1 with wide random weights, in eval mode."""
    net = Transformer(n_values, length, width=config.width, n_layers=config.n_layers, n_heads=config.n_heads)
    energy, generator = LikelihoodEnergy(net).to(run.device).eval(), run.generator("weights")
    for p in energy.parameters():
        if p.ndim > 1:
            nn.init.normal_(p, std=WIDE, generator=generator)
    return energy


def _symbols(layout: Format) -> Sequence[str]:
    d = layout.n_digits
    return [*"0" * d, "+", *"0" * d, "=", *"0" * (d + 1)]
