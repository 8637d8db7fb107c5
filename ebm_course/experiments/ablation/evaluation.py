"""What is measured of one energy: its best search, chosen on other samples than those scored, and the paper's attack.

It knows energies of equations and the task, no training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Energy, energies_of, frozen
from ebm_course.experiments.ablation.searches import searches
from ebm_course.metrics.separation import separation
from ebm_course.recipes.sequences.curves import attack_path
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.tasks.arithmetic import ZERO, Format
from ebm_course.tasks.arithmetic_score import correctness, score

ATTACK_STEPS = (0, 5, 20, 40)
"""Steps of the paper's attack, every digit free, after which sequences are scored."""


def right_answers(x: Tensor, n_digits: int) -> Tensor:
    """Well-formed equations (N, L) with the sum of their own operands in the place of the answer, (N, L)."""
    first = Format(n_digits).first_answer
    digits = x - ZERO
    powers = 10 ** torch.arange(n_digits, -1, -1, device=x.device)
    a, b = (digits[:, start : start + n_digits] @ powers[1:] for start in (1, n_digits + 2))
    answer = (a + b)[:, None] // powers % 10
    return torch.cat([x[:, :first], answer + ZERO, x[:, -1:]], dim=1)


def searched(
    energy: Energy, chosen_on: Tensor, scored_on: Tensor, *, n_digits: int, budget: int, run: Run, name: str
) -> dict[str, Any]:
    """The search that finds most right answers on ``chosen_on``, and what it finds on ``scored_on``.

    Args:
        energy: energies of equations (N, L).
        chosen_on: well-formed samples of P_LM (M, L), none of them among
        scored_on: other ones (N, L).
        budget: energy evaluations a chain, the same for every search.
        name: of the energy, for the random streams.

    Returns:
        ``search``, its name; ``chosen``, search -> share exact on the first samples; and of the second ones ``exact``,
        ``correctness``, ``fooled`` (share of wrong ends with less energy than the right answer to the same operands)
        and ``nats_to_go`` (mean of how far an end lies above the right answer, 0 where it lies below).

    Raises:
        ValueError: a sample is among both: the choice would be made on what is scored.
    """
    if (chosen_on[:, None] == scored_on[None]).all(dim=2).any():
        raise ValueError("a search is chosen on other samples than those scored: a sample is among both.")
    ways = searches(n_digits)
    streams = {way: run.generator(f"{name}/{way}") for way in ways}
    chosen = {way: _exact(ways[way](energy, chosen_on, budget, streams[way]), n_digits) for way in ways}
    best = max(chosen, key=lambda way: chosen[way])
    x, right = ways[best](energy, scored_on, budget, streams[best]), right_answers(scored_on, n_digits)
    with torch.no_grad(), frozen(energy):
        above = energies_of(energy, x) - energies_of(energy, right)
    wrong = (x != right).any(dim=1)
    return {
        "search": best,
        "chosen": chosen,
        "exact": float((~wrong).float().mean()),
        "correctness": float(correctness(x, n_digits).mean()),
        "fooled": float((wrong & (above < 0)).float().mean()),
        "nats_to_go": float(above.clamp(min=0).mean()),
    }


def attacked(energy: Energy, x0: Tensor, x_data: Tensor, *, n_digits: int) -> dict[str, Any]:
    """The paper's attack with every digit free: figures of ``score`` at ``ATTACK_STEPS``, and AUROC before and after.

    Args:
        x0: samples of P_LM (N, L), as they come.
        x_data: held-out data (M, L).
    """
    rows, path = attack_path(energy, x0, n_digits=n_digits, at=ATTACK_STEPS, run=SINGLE_PROCESS)
    told = {
        "auroc_lm": _told(energy, x_data, x0, n_digits),
        "auroc_attacked": _told(energy, x_data, path[-1], n_digits),
    }
    return {"rows": rows, **told}


def _exact(x: Tensor, n_digits: int) -> float:
    return float(score(x, n_digits)["exact"])


def _told(energy: Energy, x_data: Tensor, x: Tensor, n_digits: int) -> float:
    """AUROC of data against those rows of x that are wrong; 1/2 where none is."""
    wrong = x[correctness(x, n_digits) < 1]
    if not len(wrong):
        return 0.5
    with torch.no_grad(), frozen(energy):
        return separation(energies_of(energy, x_data), energies_of(energy, wrong))["auroc"]
