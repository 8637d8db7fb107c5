"""All that is measured of one energy of sequences: under four attacks, under resampling, and how well it tells apart.

The attacks: the paper's (nine other digits), and with position memory, which ends where no substitution helps; each on
every digit ("free") and on the answer's digits only ("answer").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Energy, energies_of, frozen
from ebm_course.metrics.separation import separation
from ebm_course.recipes.sequences.curves import attack_path
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic import Format
from ebm_course.tasks.arithmetic_score import correctness, distance_to

ATTACKS: dict[str, dict[str, Any]] = {"literal": {}, "memory": {"position_memory": True}}
POSITIONS = ("free", "answer")


def positions(name: str, n_digits: int) -> Tensor:
    """Bool (L,): every digit for "free", the answer's for "answer".

    >>> Format(1).decode(Format(1).encode(["1+2=03"])[:, positions("answer", n_digits=1)])
    ['03']
    >>> int(positions("free", n_digits=1).sum())
    4
    """
    layout = Format(n_digits)
    return {"free": layout.digit_positions(), "answer": layout.answer_positions()}[name]


def measure(
    energy: Energy, x0: Tensor, x_data: Tensor, *, n_digits: int, at: Sequence[int], run: Run
) -> dict[str, Any]:
    """The four attacks from ``x0``, and how well the energy tells data from what they start and end with.

    Args:
        energy: energies of equations (N, L).
        x0: samples of the language model (N, L).
        x_data: held-out data (M, L).
        at: attack steps at which sequences are scored, rising.
        run: shares the chains between its processes.

    Returns:
        ``attack``: "literal/free", "literal/answer", "memory/free" and "memory/answer" -> rows of ``attack_curve``;
        ``told``: see :func:`discrimination`, with the sequences that "memory/free" ends with.

    >>> from torch.nn.functional import one_hot
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> x_data, x0 = (Format(1).encode([line]) for line in ("1+2=03", "1+2=77"))
    >>> def energy(x):  # 10 nats for every other token than those of the data
    ...     return 10.0 * ((one_hot(x, 16) if x.ndim == 2 else x) * (1 - one_hot(x_data, 16))).sum(dim=(1, 2))
    >>> energy.n_values = 16
    >>> found = measure(energy, x0, x_data, n_digits=1, at=(0, 1, 2), run=SINGLE_PROCESS)
    >>> [row["correctness"] for row in found["attack"]["memory/answer"]], found["told"]["auroc_lm"]
    ([0.0, 0.5, 1.0], 1.0)
    """
    curves, ends = {}, {}
    for attack, options in ATTACKS.items():
        for where in POSITIONS:
            name = f"{attack}/{where}"
            free = positions(where, n_digits)
            curves[name], path = attack_path(energy, x0, n_digits=n_digits, at=at, run=run, free=free, **options)
            ends[name] = path[-1]
    return {"attack": curves, "told": discrimination(energy, x_data, x0, ends["memory/free"], n_digits=n_digits)}


def discrimination(
    energy: Energy, x_data: Tensor, x_lm: Tensor, attacked: Tensor, *, n_digits: int
) -> dict[str, float]:
    """How well the energy tells data from samples of the language model, before and after an attack on it.

    Args:
        energy: energies of equations (N, L).
        x_data: held-out data (M, L).
        x_lm: samples of the language model (N, L).
        attacked: the same after the attack (N, L).

    Returns:
        ``auroc_lm`` and ``auroc_attacked`` (rows whose answer is right are left out: they are no negatives; 1/2 where
        none is left), and ``fooled``: the share of attacked rows that are wrong and yet have less energy than the
        median of the data.

    >>> x_data, x_lm, x = (Format(1).encode([line]) for line in ("1+2=03", "1+2=00", "1+2=99"))
    >>> discrimination(lambda x: -x.sum(dim=1).float(), x_data, x_lm, x, n_digits=1)  # the larger digits the better
    {'auroc_lm': 1.0, 'auroc_attacked': 0.0, 'fooled': 1.0}
    """
    with torch.no_grad(), frozen(energy):
        e_data, e_lm, e = (energies_of(energy, x) for x in (x_data, x_lm, attacked))
    wrong_lm, wrong = (correctness(x, n_digits) < 1 for x in (x_lm, attacked))
    return {
        "auroc_lm": separation(e_data, e_lm[wrong_lm])["auroc"] if bool(wrong_lm.any()) else 0.5,
        "auroc_attacked": separation(e_data, e[wrong])["auroc"] if bool(wrong.any()) else 0.5,
        "fooled": float((wrong & (e < e_data.median())).float().mean()),
    }


def novelty(x: Tensor, train: Tensor) -> dict[str, float]:
    """Share of rows recited from ``train`` and mean distance (tokens) to its nearest row.

    >>> novelty(Format(1).encode(["1+2=03", "1+2=77"]), train=Format(1).encode(["1+2=03"]))
    {'recited': 0.5, 'distance': 1.0}
    """
    distance = distance_to(x, train)
    return {"recited": float((distance == 0).float().mean()), "distance": float(distance.float().mean())}
