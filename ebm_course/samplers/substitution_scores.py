r"""How an attack gets the energies of its candidates: in pieces of bounded size, and without the prefix where it can.

An energy may offer ``read(embeddings, x) -> (E (M,), reading)``. Its reading scores substitutions at one position a
chain by ``reading.substituted(position (M,), values (M, K), max_rows=...) -> (M, K)``, without repeating what the
prefix before the position determines; None instead of a reading says that it cannot. Any other energy is called with
whole candidates. Both give the same numbers up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Energy, can_select, energies_of, energy_grad, select


def rows_at_once(max_rows: int | None, x: Tensor) -> int:
    """The setting, or its default: what keeps activations in a CPU's cache, and fills any other device.

    Raises:
        ValueError: fewer than one row.
    """
    if max_rows is not None and max_rows < 1:
        raise ValueError(f"max_rows is the number of sequences scored at once, 1 or more: got {max_rows}.")
    return max_rows or (64 if x.device.type == "cpu" else 16_384)


class StepEnergy:
    """The energy of the chains of one step, as a proposal sees it; keeps the reading of its gradient's pass.

    ``n_values`` and ``gradient`` serve proposals; calling it is calling the energy.
    """

    def __init__(self, energy: Energy, *, max_rows: int, reuse_prefix: bool):
        self.energy, self.max_rows = energy, max_rows
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
        for rows in x.split(self.max_rows):
            e, grad, reading = self._read(rows)
            parts.append((e, grad))
            readings.append(reading)
        if readings[0] is not None:
            self.reading = readings[0].joined(readings)
        energies, grads = zip(*parts, strict=True)
        return torch.cat(energies), torch.cat(grads)

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor, Any]:
        readings = []

        def energy(h: Tensor) -> Tensor:
            e, reading = self.energy.read(h, x)  # type: ignore[attr-defined]
            readings.append(reading)
            return e

        return *energy_grad(energy, self.embed(x)), readings[0]

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
