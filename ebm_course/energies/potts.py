r"""A Potts model: fields on positions, couplings between pairs, and every expectation exact while it is small.

.. math:: E(x) = -\sum_i h_i(x_i) - \sum_{i<j} J_{ij}(x_i, x_j)

No position is coupled with itself, so E of relaxed tokens is linear in each position: its gradient gives the exact
change of E under any single substitution. It knows no data, sampler or loss.
Source: Potts (1952); with a coupling table for each pair it is the model of Ekeberg et al. (2013).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.checks import check_count, check_tensors, check_tokens

MAX_STATES = 2**20
"""Largest number of states that is enumerated."""


class Potts(nn.Module):
    """E(x), (N,), of tokens (N, L) or relaxed tokens (N, L, V); zero until its parameters are set or trained.

    Args:
        length: number L of positions, 1 or more.
        n_values: number V of values of a position, 2 or more.

    ``fields`` (L, V) and ``couplings`` (L (L - 1) / 2, V, V) are its parameters; pair p joins the positions
    ``pairs[:, p]``, the first below the second.

    >>> energy = Potts(length=2, n_values=3)
    >>> round(energy.log_z().item(), 3)  # all energies are 0: log 9
    2.197
    >>> energy.fields.data[0, 1], energy.couplings.data[0, 1, 2] = 2.0, 0.5
    >>> energy(torch.tensor([[1, 0], [1, 2]])).tolist()  # -2, and -2 - 0.5 for the pair
    [-2.0, -2.5]
    """

    pairs: Tensor

    def __init__(self, length: int, n_values: int):
        super().__init__()
        length, n_values = check_count("length", length), check_count("n_values", n_values)
        if length < 1 or n_values < 2:
            raise ValueError(f"a Potts model has length >= 1 and n_values >= 2: got {length} and {n_values}.")
        self.length, self.n_values = length, n_values
        n_pairs = length * (length - 1) // 2
        self.fields = nn.Parameter(torch.zeros(length, n_values))
        self.couplings = nn.Parameter(torch.zeros(n_pairs, n_values, n_values))
        self.register_buffer("pairs", torch.triu_indices(length, length, 1), persistent=False)  # (2, P)

    @classmethod
    def random(
        cls,
        length: int,
        n_values: int,
        *,
        field_std: float = 0.5,
        coupling_std: float = 0.5,
        generator: torch.Generator,
    ) -> Potts:
        """A model on the generator's device with parameters from N(0, field_std^2) and N(0, coupling_std^2), nats."""
        model = cls(length, n_values).to(generator.device)
        with torch.no_grad():
            model.fields.normal_(0, field_std, generator=generator)
            model.couplings.normal_(0, coupling_std, generator=generator)
        return model

    def embed(self, x: Tensor) -> Tensor:
        """One-hot rows (N, L, V) of tokens; relaxed tokens stay as they are."""
        self._check_shape(x)
        hot = F.one_hot(x, self.n_values) if x.ndim == 2 else x
        return hot.to(self.fields.dtype)

    def from_embeddings(self, embeddings: Tensor, x: Tensor) -> Tensor:
        """E (N,) of relaxed tokens (N, L, V); ``x``, the tokens they came from, adds nothing here."""
        table = self.couplings.new_zeros(self.length, self.length, self.n_values, self.n_values)
        table = table.index_put(tuple(self.pairs), self.couplings).transpose(1, 2)  # (L, V, L, V), zero unless i < j
        flat = embeddings.flatten(1)
        pull = flat @ table.reshape(flat.shape[1], flat.shape[1]) + self.fields.flatten()
        return -(flat * pull).sum(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        check_tensors(x=x)
        if x.ndim == 3:
            return self.from_embeddings(self.embed(x), x)
        self._check_shape(x)
        (i, j), columns = self.pairs, x.T  # gather, unlike indexing, refuses negative tokens
        try:
            fields = self.fields.gather(1, columns).sum(dim=0)
        except RuntimeError:  # on a CPU; asking first would wait for the device at every call
            check_tokens(x.long(), self.n_values)
            raise
        return -fields - self.couplings.flatten(1).gather(1, columns[i] * self.n_values + columns[j]).sum(dim=0)

    def states(self) -> Tensor:
        """All states (V^L, L), the last position running fastest.

        Raises:
            ValueError: there are more than ``MAX_STATES`` of them; so do all exact methods below.
        """
        codes = torch.arange(self._count(), device=self.fields.device)
        return codes[:, None] // self._place_values() % self.n_values

    def index(self, x: Tensor) -> Tensor:
        """Where each state of x (N, L) stands in :meth:`states`, (N,)."""
        self._check_shape(x)
        self._count()
        return (x * self._place_values()).sum(dim=1)

    def all_energies(self) -> Tensor:
        """E of all states, (V^L,), by adding tables along their axes: no row is formed. Differentiable."""
        self._count()
        axes = [1] * self.length
        table = self.fields.new_zeros(axes)
        for i in range(self.length):
            table = table - self.fields[i].view(*axes[:i], -1, *axes[i + 1 :])
        for coupling, pair in zip(self.couplings, itertools.combinations(range(self.length), 2), strict=True):
            table = table - coupling.view([self.n_values if k in pair else 1 for k in range(self.length)])
        return table.flatten()

    def log_z(self) -> Tensor:
        """log Z = log sum_x exp(-E(x)), a scalar in nats. Differentiable."""
        return torch.logsumexp(-self.all_energies(), dim=0)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) = -E(x) - log Z of tokens (N, L), (N,). Differentiable."""
        check_tokens(x, self.n_values)
        return -self(x) - self.log_z()

    def probabilities(self) -> Tensor:
        """p of all states, (V^L,), in the order of :meth:`states`. Differentiable."""
        return torch.softmax(-self.all_energies(), dim=0)

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n independent exact draws, tokens (n, L)."""
        codes = torch.multinomial(self.probabilities(), n, replacement=True, generator=generator)
        return codes[:, None] // self._place_values() % self.n_values

    def _place_values(self) -> Tensor:
        return self.n_values ** torch.arange(self.length - 1, -1, -1, device=self.fields.device)

    def _count(self) -> int:
        if self.length * math.log2(self.n_values) > math.log2(MAX_STATES):
            raise ValueError(
                f"{self.n_values}^{self.length} states are too many to enumerate: expected {MAX_STATES} at most. "
                f"Use fewer positions or values, or estimate with a sampler."
            )
        return int(self.n_values**self.length)

    def _check_shape(self, x: Tensor) -> None:
        expected = (self.length, self.n_values)[: x.ndim - 1]
        other = not x.is_floating_point() if x.ndim == 3 else x.dtype not in (torch.int64, torch.int32)
        if x.ndim not in (2, 3) or tuple(x.shape[1:]) != expected or other:
            raise ValueError(
                f"this Potts model reads tokens (N, {self.length}) of integers or relaxed tokens "
                f"(N, {self.length}, {self.n_values}) of real numbers: got {tuple(x.shape)} of {x.dtype}. "
                f"Use x.long() for tokens of another type."
            )
