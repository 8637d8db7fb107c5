r"""What one pass of a causal net over sequences leaves behind, so that substitutions need not read the prefix again.

A causal net's features before position :math:`i` do not depend on the token at :math:`i`. So the energies of all
sequences that differ from x at one position need that position and the ones after it, with attention to the keys and
values of x before it. Chains are sorted by their position and go in groups with a common start, the group's first.
It knows no loss and no sampler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ebm_course.energies.prefix_attention import branches
from ebm_course.energies.transformer import Cache, Transformer


class Continued(Protocol):
    """An energy that knows the share of a prefix: see ``SequenceEnergy.after``."""

    net: Transformer

    def embed(self, x: Tensor) -> Tensor:
        """Token embeddings."""

    def after(self, h: Tensor, x: Tensor, before_h: Tensor, before_x: Tensor) -> Tensor:
        """Energies of continuations."""


@dataclass(frozen=True)
class Reading:
    """Tokens ``x`` (N, L), their ``features`` (N, L, D), and keys and values of every layer, all detached."""

    energy: Continued
    x: Tensor
    features: Tensor
    cache: Cache

    @staticmethod
    def joined(readings: Sequence[Reading]) -> Reading:
        """One reading of all the rows."""
        if len(readings) == 1:
            return readings[0]
        pairs = zip(*(r.cache for r in readings), strict=True)
        cache = [tuple(torch.cat(t) for t in zip(*layer, strict=True)) for layer in pairs]
        x, features = torch.cat([r.x for r in readings]), torch.cat([r.features for r in readings])
        return Reading(readings[0].energy, x, features, cache)  # type: ignore[arg-type]

    def __getitem__(self, rows: Tensor | slice) -> Reading:
        return Reading(self.energy, self.x[rows], self.features[rows], [(k[rows], v[rows]) for k, v in self.cache])

    def substituted(self, position: Tensor, values: Tensor, *, max_rows: int) -> Tensor:
        """Energies (N, K) of x with each of ``values`` (N, K) at ``position`` (N,), equal to a full pass over each.

        As many tokens are read at once as ``max_rows`` whole sequences have, at most. Reads the device once.
        """
        (n, k), length = values.shape, self.x.shape[1]
        tokens = max_rows * length
        order = position.argsort()
        starts = position[order].tolist()
        e, done = self.features.new_empty(n, k), 0
        while done < n:
            start = starts[done]
            rows = order[done : done + max(1, tokens // (k * (length - start)))]
            for columns in torch.arange(k, device=values.device).split(max(1, tokens // (length - start))):
                e[rows[:, None], columns] = self._group(rows, start, position[rows], values[rows][:, columns])
            done += len(rows)
        return e

    def _group(self, rows: Tensor, start: int, position: Tensor, values: Tensor) -> Tensor:
        (m, k), x = values.shape, self.x[rows]
        past = [(key[rows, :, :start], value[rows, :, :start]) for key, value in self.cache]
        changed = self.energy.embed(values.reshape(-1, 1)).view(m, k, -1)
        h = branches(self.energy.net, self.energy.embed(x[:, start:]), changed, position - start, past)
        tail = x[:, None, start:].repeat(1, k, 1)  # (M, K, T)
        tail.scatter_(2, (position - start)[:, None, None].expand(m, k, 1), values[..., None])
        return self.energy.after(h, tail, self.features[rows, :start], x[:, :start])
