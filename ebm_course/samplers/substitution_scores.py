r"""How an attack gets the energies of its candidates: in pieces of bounded size, and without the prefix where it can.

An energy may offer ``read(embeddings, x, known) -> (E (M,), reading)``. Its reading scores substitutions at one
position a chain by ``reading.substituted(position (M,), values (M, K), max_rows=...) -> (M, K)``, without repeating
what the prefix before the position determines; None instead of a reading says that it cannot. A reading of the tokens
before the first free position stays true for the whole attack: it is ``known`` to the next, whose embeddings begin
after it. Any other energy is called with whole candidates. Both give the same numbers up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.core import Energy, can_select, energies_of, energy_grad, select


def rows_at_once(max_rows: int | None, x: Tensor) -> int:
    """The setting, or its default: what keeps activations in a CPU's cache, and fills any other device.

    Raises:
        ValueError: fewer than one row.
    """
    if max_rows is not None and max_rows < 1:
        raise ValueError(f"max_rows is the number of sequences scored at once, 1 or more: got {max_rows}.")
    return max_rows or (128 if x.device.type == "cpu" else 16_384)


def read_fixed(energy: Energy, x: Tensor, may_change: Tensor, max_rows: int) -> Any:
    """The reading of what stands before the first position that may change in any chain; None where there is none."""
    changes = may_change.any(dim=0).long()
    before = int(torch.where(changes.any(), changes.argmax(), 0))  # one wait for the device an attack
    if before == 0 or not hasattr(energy, "read"):
        return None
    readings = []
    with torch.no_grad():
        for rows in x[:, :before].split(max_rows):
            readings.append(energy.read(energy.embed(rows), rows)[1])  # type: ignore[attr-defined]
    return None if readings[0] is None else readings[0].joined(readings)


class StepEnergy:
    """The energy of the chains of one step, as a proposal sees it; keeps the reading of its gradient's pass.

    ``n_values`` and ``gradient`` serve proposals; calling it is calling the energy. ``known`` is a reading of what
    stands before the first free position: there the gradient is not taken, and 0.
    """

    def __init__(self, energy: Energy, *, max_rows: int, reuse_prefix: bool, known: Any = None):
        self.energy, self.max_rows, self.known = energy, max_rows, known
        self.reuse_prefix = reuse_prefix and hasattr(energy, "read")
        self.n_values: int | None = getattr(energy, "n_values", None)
        self.reading: Any = None

    def __call__(self, x: Tensor) -> Tensor:
        return self.energy(x)

    def embed(self, x: Tensor) -> Tensor:
        """Token embeddings (M, L, D), without a graph."""
        with torch.no_grad():
            embeddings: Tensor = self.energy.embed(x)  # type: ignore[attr-defined]
        return embeddings

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E (M,) and its gradient in the embeddings of x, (M, L, D)."""
        if not self.reuse_prefix:
            return energy_grad(lambda h: self.energy.from_embeddings(h, x), self.embed(x))  # type: ignore[attr-defined]
        parts, readings = [], []
        for i in range(0, len(x), self.max_rows):
            rows = slice(i, i + self.max_rows)
            *part, reading = self._read(x[rows], None if self.known is None else self.known[rows])
            parts.append(part)
            readings.append(reading)
        if readings[0] is not None:
            self.reading = readings[0].joined(readings)
        energies, grads = zip(*parts, strict=True)
        grad = torch.cat(grads)
        return torch.cat(energies), F.pad(grad, (0, 0, x.shape[1] - grad.shape[1], 0))

    def _read(self, x: Tensor, known: Any) -> tuple[Tensor, Tensor, Any]:
        readings = []

        def energy(h: Tensor) -> Tensor:
            e, reading = self.energy.read(h, x, known)  # type: ignore[attr-defined]
            readings.append(reading)
            return e

        free = x if known is None else x[:, known.x.shape[1] :]
        return *energy_grad(energy, self.embed(free)), readings[0]

    def candidates(self, x: Tensor, where: Tensor, what: Tensor) -> Tensor:
        """Energies (M, K) of x (M, L) with one token replaced: ``where`` (M, K) or (M, 1), ``what`` (M, K)."""
        with torch.no_grad():
            if self.reading is not None and where.shape[1] == 1:
                e: Tensor = self.reading.substituted(where[:, 0], what, max_rows=self.max_rows)
                return e
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


def _score(energy: Energy, x: Tensor, where: Tensor, what: Tensor) -> Tensor:
    m, k = what.shape
    candidates = x[:, None].repeat(1, k, 1).scatter_(2, where[..., None], what[..., None])  # (M, K, L)
    return energies_of(energy, candidates.flatten(0, 1)).view(m, k)
