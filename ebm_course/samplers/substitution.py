r"""Attack an energy of tokens by substitution: change one token a step, so that the energy falls.

.. math::
    i^* &= \arg\max_i \lVert \nabla_{e_i} (-E(x)) \rVert_1 \tag{4} \\
    C &= \{ (x_1, .., x_{i^*-1}, v, x_{i^*+1}, .., x_L) : v \in \mathbb{L}(x_{i^*}) \} \tag{5} \\
    x' &= \arg\min_{c \in C} E(c) \tag{6}

The state follows from the state alone, so a chain that stays once stays for ever (a *fixed point*), and one that goes
there and back does so for ever (a *two-cycle*). Both leave the batch, with the very same result. Whether chains freeze
or toggle depends on the options, and ``info`` counts both. It knows no net and no task. Where proposals come from
stands in ``substitution_proposals``, how candidates are scored in ``substitution_scores``.
Source: Yin (2023), Eqs. 4-6. Departure: none with the defaults; every option is named below.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebm_course.checks import check_finite, check_generator, check_tokens
from ebm_course.core import Energy, Negatives, can_select, energies_of, frozen, select
from ebm_course.samplers.substitution_proposals import Proposal, by_saliency, n_values_of
from ebm_course.samplers.substitution_scores import StepEnergy, read_fixed, rows_at_once


def substitution(
    energy: Energy,
    x0: Tensor,
    *,
    n_steps: int,
    synonyms: Tensor | None,
    free: Tensor | None = None,
    propose: Proposal = by_saliency,
    include_current: bool = False,
    only_improve: bool = False,
    position_memory: bool = False,
    drop_fixed: bool = True,
    reuse_prefix: bool = True,
    max_rows: int | None = None,
    keep_path: bool = False,
    generator: torch.Generator | None = None,
) -> Negatives:
    """x <- argmin over candidates of E, ``n_steps`` times; the candidates of all chains together.

    Args:
        energy: energies of tokens (N, L); for Eq. 4 with ``embed`` and ``from_embeddings``, or of one-hot rows.
        x0: tokens (N, L), int64; not changed.
        synonyms: (V, K) int64: row u lists what may replace u, filled up with u itself; a row of u alone means that
            u is never replaced. None: every other value, which needs ``energy.n_values``.
        free: bool (L,) or (N, L): positions that may change; by default all.
        propose: which candidates to score: ``by_saliency`` (Eqs. 4 and 5), ``by_short_list`` or ``by_gain``.
        include_current: whether the current token is a candidate too. The paper's "alternative token" says no: then
            a chain at its minimum is pushed out and comes back (it toggles). With it, such a chain freezes.
        only_improve: keep the state unless the best candidate has a lower energy.
        position_memory: a position that was proposed is set aside until another position changes; implies
            ``include_current``. A chain ends where no single substitution lowers E (with ``by_saliency``).
        drop_fixed: chains at a fixed point leave the batch, and without position memory so do those on a two-cycle.
            Same result, less work; needs an energy that ``core.can_select``, others keep all chains.
        reuse_prefix: candidates at one position do not repeat what stands before it, where the energy can ``read``
            (the sequence energies on a causal net). Same result up to rounding, less work.
        max_rows: sequences scored at once, or as many tokens of shorter tails, which bounds the memory; by default
            128 on a CPU, where activations then stay in its cache, and 16,384 elsewhere.
        generator: not used, nothing is drawn.

    Returns:
        x (N, L); info, each (N,): ``energy``; ``n_moves``; ``tokens_moved`` against x0; ``frozen``, bool: at a fixed
        point; ``toggling``, bool: the last two steps went there and back.

    Raises:
        ValueError: a token out of the vocabulary of ``synonyms``, or ``free`` of another shape.
        FloatingPointError: an energy was NaN on a chain's way, or is not finite where it ends.
    """
    if generator is not None:
        check_generator(generator, x0)
    n_values = n_values_of(energy, synonyms)
    if synonyms is not None:
        check_tokens(synonyms, n_values)
    check_tokens(x0, n_values)
    may_change = _free_positions(free, x0)
    attack = _Attack(energy, synonyms, may_change, propose)
    attack.must_fall = include_current or position_memory or only_improve
    attack.max_rows, attack.reuse_prefix = rows_at_once(max_rows, x0), reuse_prefix
    x, before, n_moves = x0.clone(), x0, torch.zeros_like(x0[:, 0])
    toggling, aside = torch.zeros_like(n_moves, dtype=torch.bool), torch.zeros_like(may_change)
    alive = torch.ones_like(toggling)
    e = e_before = x0.new_zeros(len(x0), dtype=torch.get_default_dtype())  # the first step finds the energies of x0
    path = [x0]
    leave = drop_fixed and can_select(energy)
    rows = torch.arange(len(x), device=x.device)
    with frozen(energy):
        attack.known = read_fixed(energy, x0, may_change, attack.max_rows) if reuse_prefix and n_steps else None
        for _ in range(n_steps):
            cycling = toggling if leave and not position_memory else torch.zeros_like(toggling)
            if leave and len(rows):  # who has left stays away
                rows = (alive & ~cycling).nonzero()[:, 0]
            following, e_following = torch.where(cycling[:, None], before, x), torch.where(cycling, e_before, e)
            n_moves = n_moves + cycling
            if len(rows):
                step = attack.step(x[rows], aside[rows], rows)
                stuck = step.none_left
                if position_memory:
                    aside[rows] = torch.where(step.changed[:, None], step.tried, aside[rows] | step.tried)
                else:
                    stuck = stuck | ~step.changed
                toggling[rows] = step.changed & (step.x == before[rows]).all(dim=1)
                following = following.index_copy(0, rows, step.x)
                e_following = e_following.to(step.energy).index_copy(0, rows, step.energy)
                n_moves = n_moves.index_add(0, rows, step.changed.long())
                alive[rows] = ~stuck
            before, x, e_before, e = x, following, e, e_following
            if keep_path:
                path.append(x)
        if not n_steps:
            e = energies_of(energy, x)
    seen = e.masked_fill(attack.met_nan, torch.nan)
    check_finite("the attacked energy", seen, "Train with a lower rate, or put an L2 on energies.")
    info = {"energy": e.detach(), "n_moves": n_moves, "tokens_moved": (x != x0).sum(dim=1)}
    info |= {"frozen": ~alive, "toggling": toggling}
    return Negatives(x, info, path=torch.stack(path) if keep_path else None)


class _Step(NamedTuple):
    x: Tensor  # (M, L), the new states
    energy: Tensor  # (M,), theirs
    changed: Tensor  # (M,), bool
    tried: Tensor  # (M, L), bool: positions of candidates
    none_left: Tensor  # (M,), bool: no position was left to try


class _Attack:
    """One step of the attack on the chains named in ``rows``; notes which chains met a NaN (N,).

    ``must_fall``: move only where the energy falls. To keep the current token among the candidates says the same.
    """

    must_fall: bool
    reuse_prefix: bool
    max_rows: int
    known: Any

    def __init__(self, energy: Energy, synonyms: Tensor | None, may_change: Tensor, propose: Proposal):
        self.energy, self.may_change, self.propose, self.synonyms = energy, may_change, propose, synonyms
        self.met_nan = torch.zeros_like(may_change[:, 0])
        if synonyms is not None:
            self.synonyms = synonyms.to(may_change.device)
            own = torch.arange(len(synonyms), device=may_change.device)[:, None]
            self.replaceable = (self.synonyms != own).any(dim=1)

    def step(self, x: Tensor, aside: Tensor, rows: Tensor) -> _Step:
        energy, known = self.energy, self.known
        if len(rows) < len(self.may_change):
            energy, known = select(energy, rows), None if known is None else known[rows]
        energy = StepEnergy(energy, max_rows=self.max_rows, reuse_prefix=self.reuse_prefix, known=known)
        eligible = self.may_change[rows] & ~aside  # (M, L)
        if self.synonyms is not None:
            eligible &= self.replaceable[x]
        current, where, what = self.propose(energy, x, eligible, self.synonyms)  # (M,) (M, K) or (M, 1), (M, K)
        e = energy.candidates(x, where, what)  # (M, K)
        met_nan = self.met_nan[rows] | e.isnan().any(dim=1) | current.isnan()
        self.met_nan = self.met_nan.index_copy(0, rows, met_nan)
        lowest, best = e.masked_fill(what == x.gather(1, where), torch.inf).min(dim=1, keepdim=True)
        none_left = ~eligible.any(dim=1)
        changed = ~none_left & ~lowest[:, 0].isposinf()
        if self.must_fall:
            changed &= lowest[:, 0] < current
        moved = x.scatter(1, where.expand_as(what).gather(1, best), what.gather(1, best))
        tried = torch.zeros_like(aside).scatter(1, where, True)
        new, reached = torch.where(changed[:, None], moved, x), torch.where(changed, lowest[:, 0], current)
        return _Step(new, reached, changed, tried, none_left)


def _free_positions(free: Tensor | None, x0: Tensor) -> Tensor:
    if free is None:
        return torch.ones_like(x0, dtype=torch.bool)
    if free.dtype != torch.bool or free.shape not in (x0.shape, x0.shape[1:]):
        raise ValueError(
            f"free marks positions with bool ({x0.shape[1]},) or {tuple(x0.shape)}: "
            f"got {free.dtype} {tuple(free.shape)}."
        )
    return free.to(x0.device).expand_as(x0)
