"""Four searches for the answer of least energy, the operands held, at equal energy evaluations.

The unit is one forward pass of one sequence; a gradient in the inputs costs two. So a step costs, with nine other
digits, 11 with the paper's attack and with position memory (which ends where no substitution helps), 12 with ten
candidates picked by gain, and 2 with Gibbs with gradients. Its chains are annealed: the inverse temperature rises
from 1/4 to 4 in five equal parts, and the state of least energy seen at the end of a part is kept. It knows no net.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Energy, energies_of, frozen
from ebm_course.energies.restricted import restricted, taken
from ebm_course.samplers.gibbs_with_gradients import gibbs_with_gradients
from ebm_course.samplers.substitution import substitution
from ebm_course.samplers.substitution_proposals import by_gain
from ebm_course.tasks.arithmetic import DIGITS, Format, digit_synonyms

ATTACK_STEP, GAIN_STEP, GRADIENT_STEP = 2 + 9, 2 + 10, 2
SCHEDULE = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Inverse temperatures of the annealed chains."""

TOKENS = 2**18
"""Tokens scored at once off a CPU: processes share its memory, and twelve ten-digit nets search side by side."""

Search = Callable[[Energy, Tensor, int, torch.Generator], Tensor]
"""(energy, x0 (N, L), evaluations a chain, generator) -> x (N, L) with other digits in the answer."""


def searches(n_digits: int) -> dict[str, Search]:
    """Every search by name.

    >>> from torch.nn.functional import one_hot
    >>> layout, generator = Format(1), torch.Generator().manual_seed(0)
    >>> target, x0 = one_hot(layout.encode(["1+2=03"]), 16), layout.encode(["1+2=77"])
    >>> def energy(x):  # 10 nats for every other token
    ...     return 10.0 * ((one_hot(x, 16) if x.ndim == 2 else x) * (1 - target)).sum(dim=(1, 2))
    >>> energy.n_values = 16
    >>> every = searches(n_digits=1)
    >>> {name: layout.decode(every[name](energy, x0, 110, generator)) for name in ("memory", "gain", "annealed")}
    {'memory': ['1+2=03'], 'gain': ['1+2=03'], 'annealed': ['1+2=03']}
    """
    free = Format(n_digits).answer_positions()
    options: dict[str, Any] = {"synonyms": digit_synonyms(), "free": free}

    def attack(energy: Energy, x0: Tensor, budget: int, generator: torch.Generator, **more: Any) -> Tensor:
        return substitution(energy, x0, n_steps=budget // ATTACK_STEP, max_rows=rows_for(x0), **options, **more).x

    def by_gain_of_ten(energy: Energy, x0: Tensor, budget: int, generator: torch.Generator) -> Tensor:
        ten = partial(by_gain, n_candidates=10)
        more: dict[str, Any] = {"propose": ten, "only_improve": True, "max_rows": rows_for(x0)}
        return substitution(energy, x0, n_steps=budget // GAIN_STEP, **options, **more).x

    def annealed(energy: Energy, x0: Tensor, budget: int, generator: torch.Generator) -> Tensor:
        inner, y = restricted(energy, x0, free, DIGITS), taken(x0, free, DIGITS)
        steps, best = budget // (GRADIENT_STEP * len(SCHEDULE)), y
        with torch.no_grad(), frozen(energy):
            least = energies_of(inner, y)
            for beta in SCHEDULE:
                scaled = _scaled(inner, beta)
                y = gibbs_with_gradients(scaled, y, n_steps=steps, n_values=len(DIGITS), generator=generator).x
                e = energies_of(inner, y)
                best, least = torch.where((e < least)[:, None], y, best), torch.minimum(e, least)
        moved = x0.clone()
        moved[:, free] = DIGITS.to(x0.device)[best]
        return moved

    return {
        "attack": attack,
        "memory": partial(attack, position_memory=True),
        "gain": by_gain_of_ten,
        "annealed": annealed,
    }


def rows_for(x: Tensor) -> int | None:
    """Sequences like those of x (N, L) scored at once, None for the usual number.

    >>> rows_for(torch.zeros(1, 35)), rows_for(torch.zeros(1, 35, device="meta"))
    (None, 7489)
    """
    return None if x.device.type == "cpu" else min(16_384, TOKENS // x.shape[1])


def _scaled(energy: Energy, beta: float) -> Energy:
    return lambda y: beta * energy(y)
