r"""The contract of the course on one page.

An **energy** scores a state: low energy means likely, :math:`p(x) = e^{-E(x)} / Z`. A **sampler** moves states
downhill and returns **negatives**. An **objective** compares the energies of data and negatives and returns a
**loss**. A **step** joins the three and updates the parameters. Any energy meets any sampler under any objective
because each of them sees nothing of the others but what is written here.

Row rule: a sampler that starts from N states may call its energy with K * N rows; row m then belongs to chain
m // K. A sampler from whose batch chains leave asks :func:`select` for the energy of those that stay.
It knows tensors and modules: no task, no net, no algorithm, no random stream.

>>> from ebm_course.energies import joint, sequence_energies, transformer
>>> faces = (Discrete, Embeds, CachesPrefix, SplitsFirstLayer, Conditional, Selectable, WrapsModule)
>>> text = sequence_energies.LikelihoodEnergy(transformer.Transformer(3, 4, width=8, n_heads=2, n_layers=1))
>>> images = joint.Joint(nn.Linear(2, 5))
>>> for energy in (text, images, images.given(torch.tensor([0, 3]))):
...     type(energy).__name__, [face.__name__ for face in faces if isinstance(energy, face)]
('LikelihoodEnergy', ['Discrete', 'Embeds', 'CachesPrefix'])
('Joint', ['SplitsFirstLayer', 'Conditional'])
('Conditioned', ['Selectable', 'WrapsModule'])
>>> can_select(energy), energy(torch.zeros(2, 2)).shape, select(energy, torch.tensor([1]))(torch.zeros(1, 2)).shape
(True, torch.Size([2]), torch.Size([1]))
>>> cache: SubstitutionCache = text.prefill(text.embed(x := torch.tensor([[0, 1, 2, 0]])), x)[1]
>>> cache.substituted(torch.tensor([3]), torch.tensor([[0, 2]]), max_rows=2).shape  # energies with 0 or 2 at position 3
torch.Size([1, 2])
>>> step: Step = lambda batch, generator: {"loss": Loss(batch.x.mean() - Negatives(batch.x + 1).x.mean()).value}
>>> task = Task("rest", *[Batch(torch.zeros(4, 2))] * 3, None, lambda states, batch: {"mean": float(states.mean())})
>>> step(task.train, torch.Generator()), task.score(torch.ones(4, 2), task.test)
({'loss': tensor(-1.)}, {'mean': 1.0})
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from ebm_course.ambient import recording_gradients
from ebm_course.batch import Batch
from ebm_course.checks import check_energies
from ebm_course.conditioned import Conditioned as Conditioned

Energy = Callable[[Tensor], Tensor]
"""A function of states (N, *S) that returns energies (N,) in nats."""


# What an energy may have beyond being called; ``isinstance`` asks for the names.
class _Called(Protocol):
    def __call__(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class Discrete(_Called, Protocol):
    """An energy of tokens (N, L), int64 of 0 to ``n_values`` - 1, and of relaxed tokens (N, L, n_values)."""

    n_values: int


@runtime_checkable
class Embeds(_Called, Protocol):
    """An energy that may start from embeddings: E(x) = from_embeddings(embed(x), x), of tokens and relaxed tokens."""

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings (N, L, D)."""

    def from_embeddings(self, embeddings: Tensor, x: Tensor) -> Tensor:
        """E (N,) with embeddings (N, L, D) in place of those of x, which says what is predicted."""


@runtime_checkable
class CachesPrefix(Embeds, Protocol):
    """An energy that need not compute again what the first tokens of a sequence determine."""

    def prefill(self, embeddings: Tensor, x: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        """E (N,) of x (N, L) and its :class:`SubstitutionCache` or None, from embeddings (N, T, D) after ``cache``."""


class SubstitutionCache(Protocol):
    """What is kept of sequences ``x`` (N, L), so that others which differ from them in one token cost less."""

    x: Tensor

    def __getitem__(self, rows: Tensor | slice, /) -> Self: ...

    def joined(self, others: Sequence[Self], /) -> Self:
        """One cache of its rows and of those of others, in this order."""

    def substituted(self, position: Tensor, values: Tensor, *, max_rows: int) -> Tensor:
        """Energies (N, K) of x with each of ``values`` (N, K) at ``position`` (N,)."""


@runtime_checkable
class SplitsFirstLayer(_Called, Protocol):
    """Energies or logits with an affine first layer of its own: f(x) = from_first_layer(first_layer(x))."""

    def first_layer(self, x: Tensor) -> Tensor: ...
    def from_first_layer(self, h: Tensor) -> Tensor: ...


@runtime_checkable
class Conditional(Protocol):
    """A conditional energy E(x, y): given conditions, one a chain, an energy of y, as :class:`.Conditioned` is."""

    def given(self, condition: Tensor, /) -> Energy:
        """y -> E(condition, y), with further conditions or a mask (N, L) where an energy takes them."""


@runtime_checkable
class Selectable(_Called, Protocol):
    """An energy with something for every chain, from whose batch chains may leave all the same."""

    def select(self, index: Tensor) -> Energy:
        """The same energy for the chains named in ``index`` (int or bool) alone."""


@runtime_checkable
class WrapsModule(_Called, Protocol):
    """An energy that is no module itself; ``module`` holds its parameters, where there are any."""

    module: nn.Module | None


@dataclass(frozen=True)
class Task:
    """A problem with data: three parts, the number of values of a discrete state (else None), how answers are scored.

    ``score(states, batch)`` maps states (N, ...), proposed for the rows of a batch with gold answers, to named floats.
    """

    name: str
    train: Batch
    valid: Batch
    test: Batch
    n_values: int | None
    score: Callable[[Tensor, Batch], dict[str, float]]


@dataclass(frozen=True, eq=False)
class Negatives:
    """What a sampler returns. Every tensor is detached.

    ``x`` (N, *S) are the final states, ``info`` maps a name to (N,), ``log_q`` (N,) is the log-probability of the
    draw where it is known exactly, ``path`` (T + 1, N, *S) holds every state visited where that was asked for.
    """

    x: Tensor
    info: Mapping[str, Tensor] = field(default_factory=dict)
    log_q: Tensor | None = None
    path: Tensor | None = None


@dataclass(frozen=True)
class Loss:
    """A scalar ``value`` to minimise and its named ``terms``, detached scalars for the log."""

    value: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)


class Step(Protocol):
    """One update: takes a batch and a generator, changes parameters, returns named scalars on the device."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]: ...


def can_select(energy: Energy) -> bool:
    """Whether chains may leave the batch: true for modules (no condition) and for energies with ``select``."""
    return isinstance(energy, nn.Module | Selectable)


def select(energy: Energy, index: Tensor) -> Energy:
    """The energy of the chains in ``index``: a module is its own, a conditional energy drops conditions."""
    return energy.select(index) if isinstance(energy, Selectable) else energy


def energies_of(energy: Energy, x: Tensor) -> Tensor:
    """E(x), refused unless it has one number a row; of a copy of x, for an energy may work in place or return a part.

    Raises:
        TypeError: it returned no tensor, or complex numbers. Whole numbers become float64.
        ValueError: the energy returned another shape than (N,).

    >>> energies_of(lambda x: x.sum(dim=1), torch.tensor([[1, 2], [3, 4]]))
    tensor([3., 7.], dtype=torch.float64)
    """
    return check_energies(energy(x.clone()), x)


def energy_grad(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """E(x) (N,) and its gradient in x (N, *S), which is not changed; rows do not mix because energies are summed.

    Raises:
        TypeError: integer states have no gradient; pass a relaxation (N, L, V) of one-hot rows.
        ValueError: the energies do not depend on the states through torch operations, or hold inference tensors.

    >>> energy_grad(lambda x: x.square().sum(dim=1), torch.tensor([[3.0, 1.0]]))
    (tensor([10.]), tensor([[6., 2.]]))
    """
    if not x.is_floating_point():
        raise TypeError(f"a gradient needs real-valued states, got {x.dtype}: pass one-hot rows (N, L, V).")
    with recording_gradients():
        x = (x.clone() if x.is_inference() else x.detach()).requires_grad_()
        e = energies_of(energy, x)
        if not e.requires_grad:
            raise ValueError(
                "a gradient needs E(x) made of x by torch operations, got energies without a graph. Remove detach(), "
                "no_grad() and whole numbers inside the energy; a flat one is 0 * x.sum(-1)."
            )
        return e.detach(), torch.autograd.grad(e, x, torch.ones_like(e))[0]  # ones: of the sum, a kernel less


_LOCK, _HELD = threading.Lock(), dict[int, list[Any]]()  # id of a module or parameter -> [its flag, holders]


@contextmanager
def frozen(energy: Energy) -> Iterator[None]:
    """Inside, the energy is in eval mode and its parameters take no gradient; every flag is restored after.

    A plain function is left alone: it owns no flags that could be found. Of several threads the last one restores.

    >>> with frozen(net := nn.Linear(2, 1)):
    ...     net.training, net.weight.requires_grad
    (False, False)
    >>> net.training, net.weight.requires_grad
    (True, True)
    """
    root = energy if isinstance(energy, nn.Module) else energy.module if isinstance(energy, WrapsModule) else None
    flags, held = list[Any](), list[Any]()
    if root is not None:
        parameters = [p for p in root.parameters() if not p.is_inference()]  # whose flag cannot be set
        flags = [(m, "training") for m in root.modules()] + [(p, "requires_grad") for p in parameters]
    try:
        with _LOCK:
            for owner, flag in flags:
                _HELD.setdefault(id(owner), [getattr(owner, flag), 0])[1] += 1
                held.append((owner, flag))
                if getattr(owner, flag):  # to set a module's attribute takes longer than to look
                    setattr(owner, flag, False)
        yield
    finally:
        with _LOCK:
            for owner, flag in held:
                _HELD[id(owner)][1] -= 1
                if not _HELD[id(owner)][1] and getattr(owner, flag) != (before := _HELD.pop(id(owner))[0]):
                    setattr(owner, flag, before)
