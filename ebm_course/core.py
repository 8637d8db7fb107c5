r"""The contract of the course on one page.

An **energy** scores a state: low energy means likely, :math:`p(x) = e^{-E(x)} / Z`. A **sampler** moves states
downhill and returns **negatives**. An **objective** compares the energies of data and negatives and returns a
**loss**. A **step** joins the three and updates the parameters. Any energy meets any sampler under any objective
because each of them sees nothing of the others but what is written here.

Row rule: a sampler that starts from N states may call its energy with K * N rows; row m then belongs to chain
m // K. A sampler from whose batch chains leave asks :func:`select` for the energy of those that stay.

This module knows tensors and modules. It knows no task, no net, no algorithm, no random stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

Energy = Callable[[Tensor], Tensor]
"""A function of states (N, *S) that returns energies (N,) in nats."""


@dataclass(frozen=True)
class Batch:
    """Rows of data: states ``x`` (N, ...), answers ``y`` (N, ...) or None, ``mask`` (N, ...), True where real."""

    x: Tensor
    y: Tensor | None = None
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | slice) -> Batch:
        return self._each(lambda t: t[index])

    def to(self, device: torch.device | str) -> Batch:
        """The same rows on another device."""
        return self._each(lambda t: t.to(device))

    def _each(self, act: Callable[[Tensor], Tensor]) -> Batch:
        y, mask = (None if t is None else act(t) for t in (self.y, self.mask))
        return Batch(act(self.x), y, mask)


@dataclass(frozen=True)
class Task:
    """A problem with data: three parts, the number of values a discrete state takes, and how an answer is scored.

    ``score`` maps states (N, ...) to a dictionary of floats; ``n_values`` is None for continuous states.
    """

    name: str
    train: Batch
    valid: Batch
    test: Batch
    n_values: int | None
    score: Callable[[Tensor], dict[str, float]]


@dataclass(frozen=True)
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


class Conditioned:
    """The energy :math:`y \\mapsto E(x, y)` of a conditional energy at given conditions, ``energy.given(x)``.

    Args:
        function: maps conditions, each (M, ...), and states (M, ...) to energies (M,).
        conditions: tensors of N rows each, one row a chain.
        module: the module that holds the parameters, so that :func:`frozen` finds it.
    """

    def __init__(self, function: Callable[..., Tensor], *conditions: Tensor, module: nn.Module | None = None):
        self.function, self.conditions = function, conditions
        self.module = module if module is not None or not isinstance(function, nn.Module) else function

    def __call__(self, y: Tensor) -> Tensor:
        n = len(self.conditions[0])
        if n == 0 or len(y) % n:
            raise ValueError(
                f"a conditional energy takes K rows for each of its {n} conditions, row m for condition m // K: "
                f"got {len(y)} rows. Pass a multiple of {n}, or use core.select to keep fewer chains."
            )
        repeats = len(y) // n
        return self.function(*(c.repeat_interleave(repeats, dim=0) for c in self.conditions), y)

    def select(self, index: Tensor) -> Conditioned:
        """The same energy for the chains named in ``index`` (int or bool) only."""
        return Conditioned(self.function, *(c[index] for c in self.conditions), module=self.module)


def can_select(energy: Energy) -> bool:
    """Whether chains may leave the batch: true for modules (no condition) and for energies with ``select``."""
    return hasattr(energy, "select") or isinstance(energy, nn.Module)


def select(energy: Energy, index: Tensor) -> Energy:
    """The energy of the chains in ``index``: a module is its own, a conditional energy drops conditions."""
    chosen: Energy = energy.select(index) if hasattr(energy, "select") else energy
    return chosen


def energies_of(energy: Energy, x: Tensor) -> Tensor:
    """E(x), refused unless it has one number a row.

    Raises:
        ValueError: the energy returned another shape than (N,).
    """
    e = energy(x)
    if e.shape != (len(x),):
        hint = "Use e.squeeze(-1), not e.squeeze()." if e.ndim > 1 else "Sum over the state's axes, keep the rows."
        raise ValueError(
            f"an energy maps (N, ...) to (N,): x has shape {tuple(x.shape)}, so expected ({len(x)},), "
            f"got {tuple(e.shape)}. {hint}"
        )
    return e


def energy_grad(energy: Energy, x: Tensor, *, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """E(x) (N,) and its gradient in x, of x's shape; rows do not mix because energies are summed.

    Args:
        x: real-valued states (N, *S); not changed.
        create_graph: keep the graph, so that a gradient penalty can be differentiated in the parameters.

    Raises:
        TypeError: integer states have no gradient; pass a relaxation (N, L, V) of one-hot rows.
        ValueError: the energies do not depend on the states through torch operations.
    """
    if not x.is_floating_point():
        raise TypeError(f"a gradient needs real-valued states, got {x.dtype}: pass one-hot rows (N, L, V).")
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        e = energies_of(energy, x)
        if not e.requires_grad:
            raise ValueError(
                "a gradient needs E(x) made of x by torch operations, got energies without a graph. Remove detach() "
                "and no_grad() inside the energy; a flat one is 0 * x.sum(-1)."
            )
        (grad,) = torch.autograd.grad(e.sum(), x, create_graph=create_graph)
    return (e, grad) if create_graph else (e.detach(), grad)


@contextmanager
def frozen(energy: Energy) -> Iterator[None]:
    """Inside, the energy is in eval mode and its parameters take no gradient; every flag is restored after.

    A plain function is left alone: it owns no flags that could be found.
    """
    root = energy if isinstance(energy, nn.Module) else getattr(energy, "module", None)
    modules = list(root.modules()) if root is not None else []
    parameters = list(root.parameters()) if root is not None else []
    modes, flags = [m.training for m in modules], [p.requires_grad for p in parameters]
    try:
        for m in modules:
            m.training = False
        for p in parameters:
            p.requires_grad_(False)
        yield
    finally:
        for m, mode in zip(modules, modes, strict=True):
            m.training = mode
        for p, flag in zip(parameters, flags, strict=True):
            p.requires_grad_(flag)


def check_generator(generator: torch.Generator | None, x: Tensor) -> None:
    """Refuse no generator, and one that lives on another device than the states it should move."""
    if generator is None:
        raise TypeError("this sampler draws: pass generator=run.generator(name), so that the draw can be repeated.")
    if generator.device.type != x.device.type:
        raise ValueError(
            f"the generator lives on {generator.device}, the states on {x.device}: expected one device. "
            f"Make it with torch.Generator(device={str(x.device)!r}) or run.generator(name)."
        )


def check_tokens(x: Tensor, n_values: int) -> None:
    """Refuse what are no tokens (N, L) of 0 .. n_values - 1 (reads the device)."""
    if x.ndim != 2:
        raise ValueError(f"tokens have shape (N, L), got {tuple(x.shape)}: use x[None] for one sequence.")
    if x.dtype != torch.int64:
        raise TypeError(f"tokens are int64, got {x.dtype}: use x.long(), or one-hot rows (N, L, {n_values}).")
    if x.numel() and (int(x.min()) < 0 or int(x.max()) >= n_values):
        raise ValueError(
            f"a token is out of the vocabulary: expected 0 to {n_values - 1}, got {int(x.min())} to {int(x.max())}. "
            f"Encode the text with this task's encode()."
        )


def check_finite(name: str, values: Tensor, remedy: str) -> None:
    """Stop at the first NaN or infinity, naming it and what to try (reads the device once)."""
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        bad = int((~finite).sum())
        raise FloatingPointError(f"{name} is not finite in {bad} of {values.numel()} entries. {remedy}")
