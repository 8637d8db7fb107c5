"""How good sequences become: against attack steps (Figures 1a and 2) and against resampled proposals (Figure 1b).

>>> from ebm_course.energies.potts import Potts
>>> x0, energy = Format(1).encode(["2+3=06"]), Potts(length=8, n_values=16)
>>> energy.fields.data[6, 9] = 1.0  # favours a 5 at the end
>>> [row["correctness"] for row in attack_curve(energy, x0, n_digits=1, at=(0, 1))]
[0.5, 1.0]
>>> _, path = attack_path(energy, x0, n_digits=1, at=(0, 1), run=SINGLE_PROCESS)
>>> [Format(1).decode(x) for x in path]
[['2+3=06'], ['2+3=05']]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Energy
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.samplers.resampling import resampling
from ebm_course.samplers.substitution import substitution
from ebm_course.tasks.arithmetic import Format, digit_synonyms
from ebm_course.tasks.arithmetic_score import correctness, score


def attack_curve(
    energy: Energy,
    x0: Tensor,
    *,
    n_digits: int,
    at: Sequence[int] = (0, 1, 2, 5, 10, 20),
    run: Run = SINGLE_PROCESS,
    **options: Any,
) -> list[dict[str, float]]:
    """Every figure of :func:`score` after so many attack steps, one row for each number in ``at``.

    Args:
        energy: energies of equations (N, L).
        x0: where the attack starts, (N, L); samples of the language model.
        at: attack steps, rising, 0 or larger.
        run: shares the chains between its processes.
        options: passed to :func:`substitution`; ``free`` is by default every digit.

    Returns:
        Rows with ``steps``, the figures of ``score``, and in the last row the shares ``frozen`` and ``toggling``.
    """
    return attack_path(energy, x0, n_digits=n_digits, at=at, run=run, **options)[0]


def attack_path(
    energy: Energy, x0: Tensor, *, n_digits: int, at: Sequence[int], run: Run, **options: Any
) -> tuple[list[dict[str, float]], Tensor]:
    """The rows of :func:`attack_curve` and the states (len(at), N, L) they are scores of."""
    options = {"free": Format(n_digits).digit_positions(), "synonyms": digit_synonyms()} | options
    negatives = substitution(energy, run.share(x0), n_steps=max(at), keep_path=True, **options)
    assert negatives.path is not None
    path = run.gather(negatives.path[list(at)], dim=1)
    ends = {name: float(run.gather(negatives.info[name].float()).mean()) for name in ("frozen", "toggling")}
    rows = [{"steps": k, **score(x, n_digits, x0=x0)} for k, x in zip(at, path, strict=True)]
    rows[-1] |= ends
    return rows, path


def resampling_curve(
    energy: Energy, proposals: Tensor, *, n_digits: int, sizes: Sequence[int], generator: torch.Generator
) -> list[dict[str, float]]:
    """Correctness of one sequence resampled out of n, for each n in ``sizes``, beside the best of the n.

    Args:
        energy: a residual energy: the joint model is P_LM(x) exp(-E(x)).
        proposals: samples of P_LM, (M, L); as many groups of n are made as there are rows for, none used twice.
        sizes: n, each 1 to M.

    Returns:
        Rows with ``n``, ``correctness``, its standard error ``error``, ``oracle`` (best of n) and ``ess``.

    >>> proposals = Format(1).encode(["2+3=05", "2+3=06"] * 4)
    >>> def wrong(x):
    ...     return 100 * (1 - correctness(x, 1))
    >>> generator = torch.Generator().manual_seed(0)
    >>> rows = resampling_curve(wrong, proposals, n_digits=1, sizes=(1, 2), generator=generator)
    >>> [(row["n"], row["correctness"], row["oracle"]) for row in rows]
    [(1, 0.75, 0.75), (2, 1.0, 1.0)]
    """
    rows = []
    for n in sizes:
        groups = len(proposals) // n
        x = proposals[: groups * n]
        drawn = resampling(energy, x, group_size=n, generator=generator)
        right = correctness(drawn.x, n_digits)
        rows.append(
            {
                "n": n,
                "correctness": float(right.mean()),
                "error": float(right.std() / max(1, groups) ** 0.5) if groups > 1 else float("nan"),
                "oracle": float(correctness(x, n_digits).view(groups, n).amax(dim=1).mean()),
                "ess": float(drawn.info["ess"].mean()),
            }
        )
    return rows
