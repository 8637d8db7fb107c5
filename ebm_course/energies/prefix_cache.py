r"""The cache that a causal net leaves of sequences, so that substitutions in them need not compute the prefix again.

A causal net's features before position :math:`i` do not depend on the token at :math:`i`. So the energies of all
sequences that differ from x at one position need that position and the ones after it, with attention to the cached
keys and values of x before it. Chains are sorted by their position and go in groups with a common start, the group's
first. It knows no loss and no sampler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ebm_course.energies.prefix_attention import shared_prefix_attention
from ebm_course.energies.transformer import Cache, Transformer


class _ScoresContinuations(Protocol):
    """An energy that adds a prefix's share to that of its continuations: see ``SequenceEnergy.after``."""

    net: Transformer

    def embed(self, x: Tensor) -> Tensor: ...

    def after(self, h: Tensor, x: Tensor, before_h: Tensor, before_x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class PrefixCache:
    """Tokens ``x`` (N, L), their ``features`` (N, L, D), and keys and values of every layer, all detached.

    >>> from ebm_course.energies.sequence_energies import PooledEnergy
    >>> energy = PooledEnergy(Transformer(5, 4, width=8, n_heads=2)).eval()
    >>> x = torch.tensor([[0, 1, 2, 3], [3, 3, 3, 3]])
    >>> e, cache = energy.prefill(energy.embed(x), x)
    >>> cache.features.shape, cache[:1].x.tolist()
    (torch.Size([2, 4, 8]), [[0, 1, 2, 3]])
    >>> at_last = cache.substituted(torch.tensor([3, 3]), torch.tensor([[3, 4], [3, 4]]), max_rows=100)
    >>> at_last.shape, torch.allclose(at_last[:, 0], e, atol=1e-5)  # x has a 3 there already
    (torch.Size([2, 2]), True)
    """

    energy: _ScoresContinuations
    x: Tensor
    features: Tensor
    keys_values: Cache

    def joined(self, others: Sequence[PrefixCache]) -> PrefixCache:
        """One cache of its rows and of those of others, in this order."""
        if not others:
            return self
        every = (self, *others)
        layers = zip(*(cache.keys_values for cache in every), strict=True)
        keys_values = [(torch.cat([k for k, _ in pairs]), torch.cat([v for _, v in pairs])) for pairs in layers]
        x, features = torch.cat([cache.x for cache in every]), torch.cat([cache.features for cache in every])
        return PrefixCache(self.energy, x, features, keys_values)

    def __getitem__(self, rows: Tensor | slice) -> PrefixCache:
        keys_values = [(k[rows], v[rows]) for k, v in self.keys_values]
        return PrefixCache(self.energy, self.x[rows], self.features[rows], keys_values)

    def substituted(self, position: Tensor, values: Tensor, *, max_rows: int) -> Tensor:
        """Energies (N, K) of x with each of ``values`` (N, K) at ``position`` (N,), equal to a full pass over each.

        As many tokens go through the net at once as ``max_rows`` whole sequences have, at most. Waits for the device
        once.
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
                found = self._group(rows, start, position[rows], values[rows][:, columns])
                e[rows[:, None], columns] = found.to(e)  # under autocast they are of half precision
            done += len(rows)
        return e

    def _group(self, rows: Tensor, start: int, position: Tensor, values: Tensor) -> Tensor:
        """Energies (M, K) of the chains in ``rows``, whose positions are ``start`` or later."""
        (m, k), x = values.shape, self.x[rows]
        past = [(key[rows, :, :start], value[rows, :, :start]) for key, value in self.keys_values]
        token = self.energy.embed(values.reshape(-1, 1)).view(m, k, -1)
        tail, at = self.energy.embed(x[:, start:]), position - start
        h = shared_prefix_attention(self.energy.net, tail, token, at, past)  # (M, K, T, D)
        candidates = (
            x[:, None, start:].repeat(1, k, 1).scatter_(2, at[:, None, None].expand(m, k, 1), values[..., None])
        )
        return self.energy.after(h, candidates, self.features[rows, :start], x[:, :start])
