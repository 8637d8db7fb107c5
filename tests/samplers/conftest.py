"""Small chains with the energies of all their tag sequences: what exact and approximate decoding are compared with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

Chain = tuple[Tensor, Tensor, Tensor]


@pytest.fixture
def chain() -> Callable[..., Chain]:
    """``chain(lengths, k)``: scores (N, L, K), transitions (K + 1, K + 1), mask (N, L), in double; pads are random."""

    def make(lengths: list[int], k: int, *, scale: float = 1.0, seed: int = 0, longest: int | None = None) -> Chain:
        generator, length = torch.Generator().manual_seed(seed), longest or max(lengths)
        mask = torch.arange(length) < torch.tensor(lengths)[:, None]
        unary = torch.randn(len(lengths), length, k, generator=generator, dtype=torch.float64)
        w = torch.randn(k + 1, k + 1, generator=generator, dtype=torch.float64)
        return scale * unary, scale * w, mask

    return make


@pytest.fixture
def enumerated() -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """``enumerated(scores (L, K), transitions)``: all tags (K^L, L) of a sentence and their E, added term by term."""

    def energy(unary: Tensor, w: Tensor, tags: tuple[int, ...]) -> Tensor:
        k = unary.shape[1]
        pairs = sum((w[i, j] for i, j in itertools.pairwise((k, *tags, k))), w.new_zeros(()))
        return -sum((unary[t, tag] for t, tag in enumerate(tags)), pairs)

    def make(unary: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        length, k = unary.shape
        states = list(itertools.product(range(k), repeat=length))
        return torch.tensor(states), torch.stack([energy(unary, w, tags) for tags in states])

    return make


@pytest.fixture
def peer() -> Callable[[Tensor], Any]:
    """``peer(transitions)``: the same chain in pytorch-crf, an independent implementation."""
    torchcrf = pytest.importorskip("torchcrf")

    def make(w: Tensor) -> Any:
        k = len(w) - 1
        crf = torchcrf.CRF(k, batch_first=True).double()
        with torch.no_grad():
            crf.transitions.copy_(w[:k, :k])
            crf.start_transitions.copy_(w[k, :k])
            crf.end_transitions.copy_(w[:k, k])
        return crf

    return make
