r"""One energy under several samplers that may each ask it equally often: quality against energy evaluations.

The unit is one forward pass of one sequence. A gradient in the inputs, parameters frozen, costs one pass forward and
one backward of the same number of multiplications: two evaluations. So a step costs

* attack by saliency: 2 for Eq. 4, then one for each of the other values (the current one is known);
* Gibbs: W, one for each value of the position;
* Gibbs with gradients: 2, one gradient at the proposal (that of the state is kept);
* resampling: n for n proposals, and nothing else; drawing proposals from the language model asks no energy.

All samplers start from the same well-formed samples of the language model and move digits of the answer only, so that
no one wins by changing the question. Resampling weighs by e^{-E} alone; attack then resampling spends its budget on
four attacked samples at most and keeps one of them.

>>> from torch.nn.functional import one_hot
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> layout = Format(1)
>>> target, starts = one_hot(layout.encode(["1+2=03"]), 16), layout.encode(["1+2=77", "1+2=13"])[None]
>>> def energy(x):  # 10 nats for every other token
...     return 10.0 * ((one_hot(x, 16) if x.ndim == 2 else x) * (1 - target)).sum(dim=(1, 2))
>>> energy.n_values = 16
>>> options = {"n_digits": 1, "budgets": (0, 11, 22), "run": SINGLE_PROCESS, "name": "sum"}
>>> found = quality_against_evaluations(energy, starts, **options)
>>> found["attack with memory"], found["resampling"], list(found) == list(samplers(1))
([0.0, 0.5, 1.0], [0.0, 0.5, 0.5], True)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Energy
from ebm_course.energies.restricted import restricted, taken
from ebm_course.runtime import Run
from ebm_course.samplers.gibbs import gibbs
from ebm_course.samplers.gibbs_with_gradients import gibbs_with_gradients
from ebm_course.samplers.resampling import resampling
from ebm_course.samplers.substitution import substitution
from ebm_course.tasks.arithmetic import DIGITS, Format, digit_synonyms
from ebm_course.tasks.arithmetic_score import correctness

ATTACK_STEP, GIBBS_STEP, GRADIENT_STEP = 2 + 9, 10, 2
Sampled = Callable[[Energy, Tensor, int, torch.Generator], Tensor]
"""(energy, starts (N, G, L), evaluations a chain, generator) -> sequences (N, L); a chain has G starts at most."""


def quality_against_evaluations(
    energy: Energy, starts: Tensor, *, n_digits: int, budgets: Sequence[int], run: Run, name: str
) -> dict[str, list[float]]:
    """Mean correctness for every sampler at every budget.

    Args:
        energy: energies of equations (N, L).
        starts: G well-formed samples of the language model for each of N chains, (N, G, L); only resampling uses more
            than one.
        n_digits: digits of an operand.
        budgets: energy evaluations a chain, rising.
        run: names the random streams; its processes take turns at the pairs of sampler and budget.
        name: of the energy, for the random streams.

    Returns:
        sampler -> one correctness for each budget.
    """
    chosen = samplers(n_digits)
    quality = torch.zeros(len(chosen), len(budgets), device=starts.device)
    for turn, (i, j) in enumerate((i, j) for i in range(len(chosen)) for j in range(len(budgets))):
        if turn % run.n_processes == run.rank:
            sampler = list(chosen)[i]
            generator = run.generator(f"{name}/{sampler}/{budgets[j]}")
            x = chosen[sampler](energy, starts, budgets[j], generator)
            quality[i, j] = correctness(x, n_digits).mean()
    whole = run.mean(quality) * run.n_processes
    return dict(zip(chosen, whole.tolist(), strict=True))


def samplers(n_digits: int) -> dict[str, Sampled]:
    """Every sampler of the comparison; each takes at most the evaluations it is given."""
    free = Format(n_digits).answer_positions()
    options: dict[str, Any] = {"synonyms": digit_synonyms(), "free": free}

    def attack(energy: Energy, starts: Tensor, budget: int, generator: torch.Generator) -> Tensor:
        return substitution(energy, starts[:, 0], n_steps=budget // ATTACK_STEP, **options).x

    def attack_with_memory(energy: Energy, starts: Tensor, budget: int, generator: torch.Generator) -> Tensor:
        steps = budget // ATTACK_STEP
        return substitution(energy, starts[:, 0], n_steps=steps, position_memory=True, **options).x

    def on_the_answer(sampler: Callable[..., Any], step: int) -> Sampled:
        def sample(energy: Energy, starts: Tensor, budget: int, generator: torch.Generator) -> Tensor:
            x = starts[:, 0]
            inner, y = restricted(energy, x, free, DIGITS), taken(x, free, DIGITS)
            y = sampler(inner, y, n_steps=budget // step, n_values=len(DIGITS), generator=generator).x
            moved = x.clone()
            moved[:, free] = DIGITS.to(x.device)[y]
            return moved

        return sample

    def resample(energy: Energy, starts: Tensor, budget: int, generator: torch.Generator) -> Tensor:
        n = min(max(1, budget), starts.shape[1])
        return _one_of(energy, starts[:, :n], generator)

    def attack_then_resample(energy: Energy, starts: Tensor, budget: int, generator: torch.Generator) -> Tensor:
        n = max(1, min(4, starts.shape[1], budget // (ATTACK_STEP + 1)))
        steps = max(0, budget // n - 1) // ATTACK_STEP
        flat = starts[:, :n].flatten(0, 1)
        attacked = substitution(energy, flat, n_steps=steps, position_memory=True, **options).x
        return _one_of(energy, attacked.view(len(starts), n, -1), generator)

    return {
        "attack": attack,
        "attack with memory": attack_with_memory,
        "Gibbs": on_the_answer(gibbs, GIBBS_STEP),
        "Gibbs with gradients": on_the_answer(gibbs_with_gradients, GRADIENT_STEP),
        "resampling": resample,
        "attack, then resampling": attack_then_resample,
    }


def _one_of(energy: Energy, groups: Tensor, generator: torch.Generator) -> Tensor:
    """One sequence of each group (N, n, L) with weight exp(-E)."""
    return resampling(energy, groups.flatten(0, 1), group_size=groups.shape[1], generator=generator).x
