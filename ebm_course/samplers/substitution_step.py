r"""One step of the attack by substitution, for the chains that are still in the batch.

Position, candidates and choice are Eqs. 4 to 6 of Yin (2023); see ``substitution``, which knows when chains may leave.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ebm_course.samplers.substitution_proposals import Proposal
from ebm_course.samplers.substitution_scores import StepEnergy


class Substituted(NamedTuple):
    """What a step makes of M chains, see :func:`substitute`.

    >>> Substituted._fields
    ('x', 'energy', 'changed', 'tried', 'none_left', 'met_nan')
    """

    x: Tensor  # (M, L), the new states
    energy: Tensor  # (M,), theirs
    changed: Tensor  # (M,), bool
    tried: Tensor  # (M, L), bool: positions of candidates
    none_left: Tensor  # (M,), bool: no position was left to try
    met_nan: Tensor  # (M,), bool: an energy was NaN


def substitute(
    energy: StepEnergy, x: Tensor, eligible: Tensor, synonyms: Tensor | None, *, propose: Proposal, must_fall: bool
) -> Substituted:
    """x' = argmin over candidates c of E(c), for each chain.

    Args:
        energy: that of these M chains.
        x: tokens (M, L); not changed.
        eligible: bool (M, L), where a token may be replaced.
        synonyms: (V, K), what replaces a value; None: every other value.
        propose: which candidates to score.
        must_fall: move only where the energy falls. To keep the current token among the candidates says the same.

    >>> from ebm_course.energies.potts import Potts
    >>> from ebm_course.samplers.substitution_proposals import by_saliency
    >>> energy = StepEnergy(Potts.random(3, 4, generator=torch.Generator().manual_seed(0)), max_rows=100)
    >>> x = torch.zeros(2, 3, dtype=torch.int64)
    >>> step = substitute(energy, x, torch.ones_like(x).bool(), None, propose=by_saliency, must_fall=False)
    >>> (step.x != x).sum(dim=1), torch.allclose(step.energy, energy(step.x))
    (tensor([1, 1]), True)
    """
    # 1. The most salient position (Eq. 4) and its candidates (Eq. 5), or what another proposal puts in their place.
    current, where, what = propose(energy, x, eligible, synonyms)  # (M,) (M, K) or (M, 1), (M, K)
    # 2. The energies of all candidates of all chains.
    e = energy.candidates(x, where, what)  # (M, K)
    # 3. The candidate of lowest energy (Eq. 6); the current token is none.
    lowest, best = e.masked_fill(what == x.gather(1, where), torch.inf).min(dim=1, keepdim=True)
    moved = x.scatter(1, where.expand_as(what).gather(1, best), what.gather(1, best))
    # 4. Who moves: chains with a candidate left, and only downhill where that is asked for.
    none_left = ~eligible.any(dim=1)
    changed = ~none_left & ~lowest[:, 0].isposinf()
    if must_fall:
        changed &= lowest[:, 0] < current
    return Substituted(
        x=torch.where(changed[:, None], moved, x),
        energy=torch.where(changed, lowest[:, 0], current),
        changed=changed,
        tried=torch.zeros_like(eligible).scatter(1, where, True),
        none_left=none_left,
        met_nan=e.isnan().any(dim=1) | current.isnan(),
    )
