"""What is measured of one energy: its best search, chosen on other samples than those scored, and the paper's attack.

It knows energies of equations and the task, no training.

>>> from torch.nn.functional import one_hot
>>> layout = Format(1)
>>> layout.decode(right_answers(layout.encode(["1+2=77", "9+9=00"]), n_digits=1))
['1+2=03', '9+9=18']
>>> target = one_hot(layout.encode(["1+2=03"]), 16)
>>> def energy(x):  # 10 nats for every other token
...     return 10.0 * ((one_hot(x, 16) if x.ndim == 2 else x) * (1 - target)).sum(dim=(1, 2))
>>> energy.n_values = 16
>>> chosen_on, scored_on = layout.encode(["1+2=99", "1+2=45"]), layout.encode(["1+2=77"])
>>> [found] = searched(energy, chosen_on, scored_on, n_digits=1, budget=22, run=SINGLE_PROCESS, name="sum")
>>> found["exact"], found["fooled"]
(1.0, 0.0)
>>> [found] = attacked(energy, scored_on, layout.encode(["1+2=03"]), n_digits=1)
>>> found["rows"][0]["correctness"], found["auroc_lm"]
(0.0, 1.0)
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
from ebm_course.tasks.arithmetic_score import correctness, score, true_answer

ATTACK_STEPS = (0, 5, 20, 40)
"""Steps of the paper's attack, every digit free, after which sequences are scored."""


def right_answers(x: Tensor, n_digits: int) -> Tensor:
    """Well-formed equations (N, L) with the sum of their own operands in the place of the answer, (N, L)."""
    first = Format(n_digits).first_answer
    return torch.cat([x[:, :first], true_answer(x, n_digits) + ZERO, x[:, -1:]], dim=1)


def searched(
    energy: Energy,
    chosen_on: Tensor,
    scored_on: Tensor,
    *,
    n_digits: int,
    budget: int,
    run: Run,
    name: str,
    size: int = 1,
    chosen_by: str = "exact",
) -> list[dict[str, Any]]:
    """The search that finds most right answers or digits on ``chosen_on``, and what it finds on ``scored_on``.

    Args:
        energy: energies of equations (N, L); of an ensemble of ``size`` members each has a block of rows, and a search
            of its own.
        chosen_on: well-formed samples of P_LM (M, L), none of them among
        scored_on: other ones (N, L).
        budget: energy evaluations a chain, the same for every search.
        name: of the energy, for the random streams.
        chosen_by: "exact", the share of right answers, or "correctness", that of right digits.

    Returns:
        For each member ``search``, its name; ``chosen``, search -> that share on the first samples; and of the second
        ones ``exact``, ``correctness``, ``fooled`` (share of wrong ends with less energy than the right answer to the
        same operands) and ``nats_to_go`` (mean of how far an end lies above the right answer, 0 where it lies below).

    Raises:
        ValueError: a sample is among both: the choice would be made on what is scored.
    """
    for first, second in zip(chosen_on.chunk(size), scored_on.chunk(size), strict=True):
        if (first[:, None] == second[None]).all(dim=2).any():
            raise ValueError("a search is chosen on other samples than those scored: a sample is among both.")
    ways = searches(n_digits)
    streams = {way: run.generator(f"{name}/{way}") for way in ways}
    found = {way: ways[way](energy, chosen_on, budget, streams[way]).chunk(size) for way in ways}
    chosen = [{way: float(score(found[way][r], n_digits)[chosen_by]) for way in ways} for r in range(size)]
    best = [max(each, key=lambda way: each[way]) for each in chosen]
    ends = {way: ways[way](energy, scored_on, budget, streams[way]).chunk(size) for way in ways if way in best}
    x, right = torch.cat([ends[way][r] for r, way in enumerate(best)]), right_answers(scored_on, n_digits)
    with torch.no_grad(), frozen(energy):
        above = energies_of(energy, x) - energies_of(energy, right)
    wrong = (x != right).any(dim=1)
    parts = zip(chosen, best, x.chunk(size), wrong.chunk(size), above.chunk(size), strict=True)
    return [
        {
            "search": way,
            "chosen": shares,
            "exact": float((~w).float().mean()),
            "correctness": float(correctness(end, n_digits).mean()),
            "fooled": float((w & (nats < 0)).float().mean()),
            "nats_to_go": float(nats.clamp(min=0).mean()),
        }
        for shares, way, end, w, nats in parts
    ]


def attacked(energy: Energy, x0: Tensor, x_data: Tensor, *, n_digits: int, size: int = 1) -> list[dict[str, Any]]:
    """The paper's attack with every digit free: figures of ``score`` at ``ATTACK_STEPS``, and AUROC before and after.

    Args:
        x0: samples of P_LM (N, L), as they come; of an ensemble of ``size`` members each has a block.
        x_data: held-out data (M, L), the same for all.

    Returns:
        For each member the rows, AUROC of data against x0 and against where the attack ends, and ``accuracy_lm``: the
        share told rightly, data below E = 0 and samples of P_LM above, both weighed alike; right samples count as
        samples of P_LM. It means something where a loss fixes the level, such as the logistic one.
    """
    _, path = attack_path(energy, x0, n_digits=n_digits, at=ATTACK_STEPS, run=SINGLE_PROCESS)
    with torch.no_grad(), frozen(energy):
        e_data = energies_of(energy, x_data.repeat(size, 1)).chunk(size)
        e_ends = [energies_of(energy, x).chunk(size) for x in (x0, path[-1])]
    found = []
    for r, start in enumerate(x0.chunk(size)):
        states = [x.chunk(size)[r] for x in path]
        rows = [{"steps": k, **score(x, n_digits, x0=start)} for k, x in zip(ATTACK_STEPS, states, strict=True)]
        told = [_told(e_data[r], e[r], x, n_digits) for e, x in zip(e_ends, (start, states[-1]), strict=True)]
        accuracy = float(((e_data[r] < 0).float().mean() + (e_ends[0][r] > 0).float().mean()) / 2)
        found.append({"rows": rows, "auroc_lm": told[0], "auroc_attacked": told[1], "accuracy_lm": accuracy})
    return found


def _told(e_data: Tensor, e: Tensor, x: Tensor, n_digits: int) -> float:
    """AUROC of data against those rows of x (N, L) that are wrong, from energies; 1/2 where none is."""
    wrong = correctness(x, n_digits) < 1
    return separation(e_data, e[wrong])["auroc"] if bool(wrong.any()) else 0.5
