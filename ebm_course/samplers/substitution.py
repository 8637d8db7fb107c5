r"""Attack an energy of tokens by substitution: change one token a step, so that the energy falls.

.. math::
    i^* &= \arg\max_i \lVert \nabla_{e_i} (-E(x)) \rVert_1 \tag{4} \\
    C &= \{ (x_1, .., x_{i^*-1}, v, x_{i^*+1}, .., x_L) : v \in \mathbb{L}(x_{i^*}) \} \tag{5} \\
    x' &= \arg\min_{c \in C} E(c) \tag{6}

The state follows from the state alone, so a chain that stays once stays for ever (a *fixed point*), and one that goes
there and back does so for ever (a *two-cycle*). Both leave the batch, with the very same result. Whether chains freeze
or toggle depends on the options, and ``info`` counts both. It knows no net and no task. One step of it stands in
``substitution_step``, its candidates come from ``substitution_proposals``, their energies from ``substitution_scores``.
Source: Yin (2023), Eqs. 4-6. Departure: none with the defaults; every option is named below.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_finite, check_generator, check_tokens
from ebm_course.core import (
    CachesPrefix,
    Energy,
    Negatives,
    SubstitutionCache,
    can_select,
    energies_of,
    frozen,
    select,
)
from ebm_course.samplers.substitution_proposals import Proposal, by_saliency, n_values_of
from ebm_course.samplers.substitution_scores import StepEnergy, prefill_fixed_prefix, rows_at_once
from ebm_course.samplers.substitution_step import Substituted, substitute


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
        reuse_prefix: candidates at one position share the cache of what stands before it, where the energy
            ``CachesPrefix`` (the sequence energies on a causal net). Same result up to rounding, less work.
        max_rows: sequences scored at once, or as many tokens of shorter tails, which bounds the memory; by default
            128 on a CPU, where activations then stay in its cache, and 16,384 elsewhere.
        generator: not used, nothing is drawn.

    Returns:
        x (N, L); info, each (N,): ``energy``; ``n_moves``; ``tokens_moved`` against x0; ``frozen``, bool: at a fixed
        point; ``toggling``, bool: the last two steps went there and back.

    Raises:
        ValueError: a token out of the vocabulary of ``synonyms``, ``free`` of another shape, or a negative number.
        FloatingPointError: an energy was NaN on a chain's way, or is not finite where it ends.

    >>> from ebm_course.energies.potts import Potts
    >>> energy = Potts.random(3, 4, generator=torch.Generator().manual_seed(0))
    >>> x0 = torch.randint(4, (5, 3), generator=torch.Generator().manual_seed(1))
    >>> end = substitution(energy, x0, n_steps=20, synonyms=None, position_memory=True)
    >>> end.x.shape, end.info["frozen"].all(), (end.info["energy"] <= energy(x0)).all()  # no one token lowers E further
    (torch.Size([5, 3]), tensor(True), tensor(True))
    """
    if generator is not None:
        check_generator(generator, x0)
    check_count("n_steps", n_steps)
    n_values = n_values_of(energy, synonyms)
    if synonyms is not None:
        check_tokens(synonyms, n_values)
    check_tokens(x0, n_values)
    chains = _Chains(energy, x0, _free_positions(free, x0), synonyms, propose)
    chains.must_fall = include_current or position_memory or only_improve
    chains.position_memory, chains.leave = position_memory, drop_fixed and can_select(energy)
    chains.max_rows = rows_at_once(max_rows, x0)
    chains.reuse_prefix = reuse_prefix and isinstance(energy, CachesPrefix)  # asked once, not at every step
    path = [x0]
    with frozen(energy):
        if n_steps and chains.reuse_prefix:
            chains.fixed = prefill_fixed_prefix(energy, x0, chains.may_change, chains.max_rows)
        for _ in range(n_steps):
            chains.advance()
            if keep_path:
                path.append(chains.x)
        e = chains.e if n_steps else energies_of(energy, chains.x)
    seen = e.masked_fill(chains.met_nan, torch.nan)
    check_finite("the attacked energy", seen, "Train with a lower rate, or put an L2 on energies.")
    info = {"energy": e.detach(), "n_moves": chains.n_moves, "tokens_moved": (chains.x != x0).sum(dim=1)}
    info |= {"frozen": ~chains.alive, "toggling": chains.toggling}
    return Negatives(chains.x, info, path=torch.stack(path) if keep_path else None)


class _Chains:
    """Where all N chains of an attack stand; :meth:`advance` takes them one step on."""

    must_fall: bool
    position_memory: bool
    leave: bool  # chains may leave the batch
    max_rows: int
    reuse_prefix: bool
    fixed: SubstitutionCache | None = None  # of what stands before the first free position

    def __init__(self, energy: Energy, x0: Tensor, may_change: Tensor, synonyms: Tensor | None, propose: Proposal):
        self.energy, self.may_change, self.propose = energy, may_change, propose
        self.synonyms = None if synonyms is None else synonyms.to(x0.device)
        self.replaceable = None if self.synonyms is None else _replaceable(self.synonyms)
        self.x, self.x_before, self.n_moves = x0.clone(), x0, torch.zeros_like(x0[:, 0])
        self.e = self.e_before = x0.new_zeros(len(x0), dtype=torch.get_default_dtype())  # found by the first step
        self.alive = torch.ones_like(self.n_moves, dtype=torch.bool)  # not at a fixed point
        self.toggling, self.met_nan = torch.zeros_like(self.alive), torch.zeros_like(self.alive)
        self.aside = torch.zeros_like(may_change)  # positions proposed since another changed
        self.rows = torch.arange(len(x0), device=x0.device)  # the chains in the batch

    def advance(self) -> None:
        """x <- x' in every chain."""
        # 1. Chains on a two-cycle go back to where they were, which costs nothing.
        cycling = self.toggling if self.leave and not self.position_memory else torch.zeros_like(self.toggling)
        x, e = torch.where(cycling[:, None], self.x_before, self.x), torch.where(cycling, self.e_before, self.e)
        self.n_moves = self.n_moves + cycling
        # 2. The others take a step, but for those at a fixed point.
        if self.leave and len(self.rows):  # who has left stays away
            self.rows = (self.alive & ~cycling).nonzero()[:, 0]
        if len(self.rows):
            step = self._step()
            x = x.index_copy(0, self.rows, step.x)
            e = e.to(step.energy).index_copy(0, self.rows, step.energy)
            self._note(step)
        self.x_before, self.x, self.e_before, self.e = self.x, x, self.e, e

    def _step(self) -> Substituted:
        """Eqs. 4 to 6 for the chains in the batch."""
        rows, energy, fixed = self.rows, self.energy, self.fixed
        if len(rows) < len(self.x):
            energy, fixed = select(energy, rows), None if fixed is None else fixed[rows]
        x, eligible = self.x[rows], self.may_change[rows] & ~self.aside[rows]  # (M, L)
        if self.replaceable is not None:
            eligible &= self.replaceable[x]
        step_energy = StepEnergy(energy, max_rows=self.max_rows, reuse_prefix=self.reuse_prefix, fixed=fixed)
        return substitute(step_energy, x, eligible, self.synonyms, propose=self.propose, must_fall=self.must_fall)

    def _note(self, step: Substituted) -> None:
        """Which chains are stuck, toggle, moved or met a NaN, and which positions were tried."""
        rows, stuck = self.rows, step.none_left
        if self.position_memory:
            tried = self.aside[rows] | step.tried
            self.aside[rows] = torch.where(step.changed[:, None], step.tried, tried)
        else:
            stuck = stuck | ~step.changed
        self.alive[rows] = ~stuck
        self.toggling[rows] = step.changed & (step.x == self.x_before[rows]).all(dim=1)
        self.met_nan[rows] |= step.met_nan
        self.n_moves = self.n_moves.index_add(0, rows, step.changed.long())


def _replaceable(synonyms: Tensor) -> Tensor:
    """Bool (V,): values that something else may replace."""
    own = torch.arange(len(synonyms), device=synonyms.device)[:, None]
    return (synonyms != own).any(dim=1)


def _free_positions(free: Tensor | None, x0: Tensor) -> Tensor:
    if free is None:
        return torch.ones_like(x0, dtype=torch.bool)
    if free.dtype != torch.bool or free.shape not in (x0.shape, x0.shape[1:]):
        raise ValueError(
            f"free marks positions with bool ({x0.shape[1]},) or {tuple(x0.shape)}: "
            f"got {free.dtype} {tuple(free.shape)}. Use free.bool(), with a place for each of the L positions."
        )
    return free.to(x0.device).expand_as(x0)
