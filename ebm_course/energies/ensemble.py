r"""R energies of one architecture as one energy of R blocks of chains: row m of R N rows belongs to energy m // N.

.. math:: E(x)_m = E_{\theta_{\lfloor m / N \rfloor}}(x_m)

So R runs train side by side with samplers that know nothing of it: K candidates a chain keep the blocks where they
are. Chains may not leave, because the blocks would no longer be equal: ``core.can_select`` is False of an ensemble.
Data and negatives are stacked block by block, never all data first. A proposal that takes one table of embeddings for
all chains (``by_short_list``) does not fit: each member has its own. It knows no task, no sampler and no loss.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ebm_course.checks import check_tokens
from ebm_course.core import Discrete, Embeds


class Ensemble:
    """Energies of R equal blocks of rows, from modules that are equal but for the values in them.

    ``module`` holds every parameter and buffer of the members stacked, (R, *shape), under the members' own names: an
    optimiser that works entry by entry on it is R optimisers. Of members that are ``core.Discrete`` the ensemble has
    ``n_values``, of members that are ``core.Embeds`` it has ``embed`` and ``from_embeddings``; else it has not.

    Args:
        energies: the members, R of them, on one device; copied. Settings such as ``causal`` are the first one's.

    Raises:
        ValueError: none, or one that has other parameters or another class than the first.

    >>> from ebm_course.energies.mlp import MLP
    >>> members = [MLP(2, width=8, n_layers=1) for _ in range(3)]
    >>> ensemble, x = Ensemble(members), torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(ensemble(x), torch.cat([e(rows) for e, rows in zip(members, x.split(2))]), atol=1e-6)
    True
    >>> {tuple(p.shape) for p in ensemble.module.parameters()} == {(3, *p.shape) for p in members[0].parameters()}
    True
    """

    def __init__(self, energies: Sequence[nn.Module]):
        _check_equal(energies)
        self.size = len(energies)
        each = [_tensors(_Called(energy)) for energy in energies]
        stacked = {name: torch.stack([tensors[name] for tensors in each]) for name in each[0]}
        self.module = _with_tensors(_Called(energies[0]), stacked)
        self._vocabulary = None
        if isinstance(energies[0], Discrete):
            self.n_values = self._vocabulary = energies[0].n_values
        if isinstance(energies[0], Embeds):
            self.embed = partial(self.call, "embed")
            self.from_embeddings = partial(self.call, "from_embeddings")

    def __call__(self, x: Tensor) -> Tensor:
        """E (R N,) of states (R N, *S)."""
        return self.call("__call__", x)

    def members(self) -> list[nn.Module]:
        """The R energies apart, as copies, in the mode the ensemble is in."""
        stacked = _tensors(self.module)
        apart = [{name: t[r].clone() for name, t in stacked.items()} for r in range(self.size)]
        return [_with_tensors(self.module, own).energy for own in apart]

    def blocks(self, x: Tensor) -> Tensor:
        """(R N, ...) as (R, N, ...), a view where that is possible.

        Raises:
            ValueError: the rows do not make R equal blocks.
        """
        if len(x) % self.size:
            raise ValueError(
                f"an ensemble of {self.size} energies takes {self.size} equal blocks of rows: got {len(x)} rows. "
                f"Pass a multiple of {self.size}, all rows of the first energy first."
            )
        return x.unflatten(0, (self.size, len(x) // self.size))

    def call(self, method: str, *states: Tensor) -> Tensor:
        """What a method of the members gives for states (R N, ...), each block by its own member."""
        for x in states:
            if self._vocabulary and x.device.type == "cpu" and x.dtype == torch.int64 and x.ndim == 2:
                check_tokens(x, self._vocabulary)  # a token too large would find the next member's table

        def one(tensors: dict[str, Tensor], *x: Tensor) -> Tensor:
            value: Tensor = functional_call(self.module, tensors, (method, *x), tie_weights=False)
            return value

        if self.module.training and any(type(m).__name__ == "_SpectralNorm" for m in self.module.modules()):
            raise RuntimeError(
                "spectral norm iterates on its buffers in training mode, which members side by side cannot: "
                "call ensemble.module.eval(), or train the members one after another."
            )
        blocks = [self.blocks(x) for x in states]
        with _attention():
            return vmap(one, randomness="different")(_tensors(self.module), *blocks).flatten(0, 1)


class _Called(nn.Module):
    """An energy whose methods are reached through ``forward``, which is all that ``functional_call`` calls."""

    def __init__(self, energy: nn.Module):
        super().__init__()
        self.energy = energy

    def forward(self, method: str, *x: Tensor) -> Tensor:
        value: Tensor = getattr(self.energy, method)(*x)
        return value


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers, tied ones under each of their names."""
    return {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}


def _with_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> Any:
    """A copy of the module with other tensors under the same names, whatever their shapes; tied ones stay tied."""
    made = copy.deepcopy(module)
    new: dict[int, nn.Parameter] = {}
    for prefix, part in made.named_modules():
        dot = f"{prefix}." if prefix else ""
        for name, old in part._parameters.items():
            if old is not None:
                if id(old) not in new:
                    new[id(old)] = nn.Parameter(tensors[dot + name].detach(), requires_grad=old.requires_grad)
                part._parameters[name] = new[id(old)]
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = tensors[dot + name].detach()
    return made


def _attention() -> AbstractContextManager[Any]:
    """Attention as plain products: a CPU calls a fused kernel once a member, and some GPU kernels refuse members."""
    return sdpa_kernel(SDPBackend.MATH)


def _check_equal(energies: Sequence[nn.Module]) -> None:
    if not energies:
        raise ValueError("an ensemble has one energy or more: got none.")
    first = {name: t.shape for name, t in _tensors(energies[0]).items()}
    for r, energy in enumerate(energies):
        if type(energy) is not type(energies[0]) or {name: t.shape for name, t in _tensors(energy).items()} != first:
            raise ValueError(
                f"the members of an ensemble differ in values only: energy {r}, a {type(energy).__name__}, has other "
                f"parameters than energy 0, a {type(energies[0]).__name__}. Build all of them alike."
            )
