r"""How an attack gets the energies of its candidates: in pieces of bounded size, and from a prefix cache where it can.

An energy that ``core.CachesPrefix`` keeps a cache of the pass that its gradient needs. The cache scores substitutions
at one position a chain without computing again what the prefix before the position determines. What stands before the
first free position is prefilled once an attack: every pass of a step then begins after it. Any other energy is called
with whole candidates. Both give the same numbers up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.checks import check_count
from ebm_course.core import (
    CachesPrefix,
    Embeds,
    Energy,
    SubstitutionCache,
    can_select,
    energies_of,
    energy_grad,
    select,
)


def rows_at_once(max_rows: int | None, x: Tensor) -> int:
    """The setting, or its default: what keeps activations in a CPU's cache, and fills any other device.

    Raises:
        ValueError: fewer than one row.

    >>> rows_at_once(None, torch.zeros(2, 3)), rows_at_once(7, torch.zeros(2, 3))
    (128, 7)
    """
    check_count("max_rows", 1 if max_rows is None else max_rows, least=1)
    return max_rows or (128 if x.device.type == "cpu" else 16_384)


def prefill_fixed_prefix(energy: Energy, x: Tensor, may_change: Tensor, max_rows: int) -> SubstitutionCache | None:
    """The cache of what stands before the first position that may change in any chain; None where there is none.

    Args:
        energy: energies of tokens (N, L); only one that ``CachesPrefix`` is asked.
        x: tokens (N, L).
        may_change: bool (N, L).
        max_rows: sequences that go through the net at once.

    >>> from ebm_course.energies.sequence_energies import PooledEnergy
    >>> from ebm_course.energies.transformer import Transformer
    >>> energy, x = PooledEnergy(Transformer(5, 4, width=8, n_heads=2)).eval(), torch.zeros(2, 4, dtype=torch.int64)
    >>> prefill_fixed_prefix(energy, x, (torch.arange(4) >= 3).expand(2, 4), max_rows=10).x.shape
    torch.Size([2, 3])
    """
    changes = may_change.any(dim=0).long()
    before = int(torch.where(changes.any(), changes.argmax(), 0))  # one wait for the device an attack
    if before == 0 or not isinstance(energy, CachesPrefix):
        return None
    with torch.no_grad():
        parts = x[:, :before].clone().split(max_rows)  # a copy, for an energy may work in place
        first, *others = (energy.prefill(_embedded(energy, rows), rows)[1] for rows in parts)
    return None if first is None else first.joined(others)


class StepEnergy:
    """The energy of the M chains of one step, as a proposal sees it; keeps the cache of the pass for its gradient.

    Args:
        energy: energies of tokens; calling the step's energy is calling this one.
        max_rows: sequences scored at once, 1 or more.
        reuse_prefix: whether the prefix of candidates is cached, where the energy ``CachesPrefix``.
        fixed: the cache of what stands before the first free position, where the gradient is then 0.

    >>> from ebm_course.energies.potts import Potts
    >>> energy = Potts.random(3, 4, generator=torch.Generator().manual_seed(0))
    >>> step, x = StepEnergy(energy, max_rows=100), torch.zeros(2, 3, dtype=torch.int64)
    >>> step.candidates(x, torch.tensor([[1], [2]]), torch.tensor([[1, 2, 3], [1, 2, 3]])).shape  # one position a chain
    torch.Size([2, 3])
    """

    def __init__(
        self, energy: Energy, *, max_rows: int, reuse_prefix: bool = False, fixed: SubstitutionCache | None = None
    ):
        self.energy, self.max_rows, self.reuse_prefix, self.fixed = energy, max_rows, reuse_prefix, fixed
        self.cache: SubstitutionCache | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return self.energy(x)

    def gradient(self, x: Tensor, n_values: int) -> tuple[Tensor, Tensor]:
        """E (M,) and its gradient in the embeddings of x, (M, L, D), or in one-hot rows (M, L, V) without any."""
        energy = self.energy
        if not isinstance(energy, Embeds):
            return energy_grad(energy, F.one_hot(x, n_values).to(torch.get_default_dtype()))
        if not self.reuse_prefix or not isinstance(energy, CachesPrefix):
            return energy_grad(lambda h: energy.from_embeddings(h, x.clone()), _embedded(energy, x))
        parts = [slice(i, i + self.max_rows) for i in range(0, len(x), self.max_rows)]
        passes = [_prefilled(energy, x[rows], None if self.fixed is None else self.fixed[rows]) for rows in parts]
        energies, grads, (cache, *others) = zip(*passes, strict=True)
        self.cache = None if cache is None else cache.joined(others)
        grad = torch.cat(grads)
        return torch.cat(energies), F.pad(grad, (0, 0, x.shape[1] - grad.shape[1], 0))

    def table(self, x: Tensor, n_values: int) -> Tensor | None:
        """Embeddings of all values (V, D), computed as sequences of x's length; None where there are no embeddings."""
        if not isinstance(self.energy, Embeds):
            return None
        length = x.shape[1]
        rows = -(-n_values // length)
        values = torch.arange(rows * length, device=x.device).remainder(n_values).view(rows, length)
        return _embedded(self.energy, values).flatten(0, 1)[:n_values]

    def candidates(self, x: Tensor, where: Tensor, what: Tensor) -> Tensor:
        """Energies (M, K) of x (M, L) with one token replaced: ``where`` (M, K) or (M, 1), ``what`` (M, K)."""
        with torch.no_grad():
            if self.cache is not None and where.shape[1] == 1:
                return self.cache.substituted(where[:, 0], what, max_rows=self.max_rows)
            return self._whole(x, where.expand_as(what), what)

    def _whole(self, x: Tensor, where: Tensor, what: Tensor) -> Tensor:
        """Whole sequences, in pieces of ``max_rows``: of chains where these may be selected, else of values alone."""
        m, k = what.shape
        chains = max(1, self.max_rows // k) if can_select(self.energy) else m
        pieces = []
        for rows in torch.arange(m, device=x.device).split(chains):
            energy = select(self.energy, rows) if len(rows) < m else self.energy
            columns = torch.arange(k, device=x.device).split(max(1, self.max_rows // len(rows)))
            pieces.append(torch.cat([_score(energy, x[rows], where[rows][:, c], what[rows][:, c]) for c in columns], 1))
        return torch.cat(pieces)


def _prefilled(
    energy: CachesPrefix, x: Tensor, fixed: SubstitutionCache | None
) -> tuple[Tensor, Tensor, SubstitutionCache | None]:
    """E, its gradient in the embeddings after the fixed prefix, and the cache of the one pass that gives both."""
    caches = []

    def of_embeddings(h: Tensor) -> Tensor:
        e, cache = energy.prefill(h, x.clone(), fixed)
        caches.append(cache)
        return e

    free = x if fixed is None else x[:, fixed.x.shape[1] :]
    return *energy_grad(of_embeddings, _embedded(energy, free)), caches[0]


@torch.no_grad()
def _embedded(energy: Embeds, x: Tensor) -> Tensor:
    return energy.embed(x.clone())


def _score(energy: Energy, x: Tensor, where: Tensor, what: Tensor) -> Tensor:
    m, k = what.shape
    candidates = x[:, None].repeat(1, k, 1).scatter_(2, where[..., None], what[..., None])  # (M, K, L)
    return energies_of(energy, candidates.flatten(0, 1)).view(m, k)
