r"""Which substitutions an attack tries: the position that matters most, or the pairs that promise most.

Each proposal maps (energy, x (M, L), eligible (M, L), synonyms (V, K) or None) to the current energies (M,), to the
positions (M, K') of its candidates, or (M, 1) where all candidates of a chain share one, and to their values (M, K').
The current value may be among them; the attack never moves to it. A proposal follows from the state alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.core import Energy, energy_grad
from ebm_course.samplers.substitution_scores import StepEnergy

Proposal = Callable[[Energy, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]


def n_values_of(energy: Energy, synonyms: Tensor | None) -> int:
    """Size V of the vocabulary, from the table or else from the energy.

    Raises:
        ValueError: neither says it.
    """
    n = len(synonyms) if synonyms is not None else getattr(energy, "n_values", None)
    if n is None:
        raise ValueError("synonyms=None means every other value, and this energy has no n_values: pass a table (V, K).")
    return int(n)


def _has_embeddings(energy: Energy) -> bool:
    return hasattr(energy.energy if isinstance(energy, StepEnergy) else energy, "from_embeddings")


def _gradient(energy: Energy, x: Tensor, n_values: int) -> tuple[Tensor, Tensor]:
    """E (M,) and its gradient (M, L, D) in embeddings, or (M, L, V) in one-hot rows where the energy has none."""
    if not _has_embeddings(energy):
        return energy_grad(energy, F.one_hot(x, n_values).to(torch.get_default_dtype()))
    step = energy if isinstance(energy, StepEnergy) else StepEnergy(energy, max_rows=len(x), reuse_prefix=False)
    return step.gradient(x)


def _table(energy: Any, x: Tensor, n_values: int) -> Tensor:
    """Embeddings of all values (V, D), which do not depend on the position: read as sequences of a usual length."""
    length = x.shape[1]
    rows = -(-n_values // length)
    values = torch.arange(rows * length, device=x.device).remainder(n_values).view(rows, length)
    with torch.no_grad():
        embeddings: Tensor = energy.embed(values)
    return embeddings.flatten(0, 1)[:n_values]


def saliency(energy: Energy, x: Tensor, n_values: int) -> tuple[Tensor, Tensor]:
    """E (M,) and ||grad of E in each token's embedding||_1, (M, L).

    An energy with ``embed`` and ``from_embeddings`` is differentiated in its embeddings; for any other the embedding
    is the one-hot row itself. Source: Yin (2023), Eq. 4 (the sign of E does not matter to the norm).
    """
    e, grad = _gradient(energy, x, n_values)
    return e, grad.abs().sum(dim=-1)


def by_saliency(energy: Energy, x: Tensor, eligible: Tensor, synonyms: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The most salient eligible position with all its synonyms: Eqs. 4 and 5."""
    n_values = n_values_of(energy, synonyms)
    e, weight = saliency(energy, x, n_values)
    position = _most_salient(weight, eligible)
    if synonyms is None:
        return e, position, torch.arange(n_values, device=x.device).expand(len(x), -1)
    return e, position, synonyms[x.gather(1, position)[:, 0]]


def by_short_list(
    energy: Energy, x: Tensor, eligible: Tensor, synonyms: Tensor | None, *, n_candidates: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """The most salient eligible position, there the ``n_candidates`` values with the largest first-order fall of E.

    For large vocabularies: with g the gradient of E in the embedding at that position, value v lowers E by about
    g . (e_current - e_v), one product (M, D) x (D, V); the energy scores the short list alone.
    Source: position by Yin (2023), Eq. 4; the estimate by Ebrahimi et al. (2018). Departure: Eq. 5 tries all values.
    """
    n_values, rows = n_values_of(energy, synonyms), torch.arange(len(x), device=x.device)
    e, grad = _gradient(energy, x, n_values)
    position = _most_salient(grad.abs().sum(dim=-1), eligible)
    g, current = grad[rows, position[:, 0]], x.gather(1, position)  # (M, D) (M, 1)
    slope = g @ _table(energy, x, n_values).T if _has_embeddings(energy) else g  # (M, V)
    if synonyms is None:
        gain, values = (-slope).scatter(1, current, -torch.inf), None
    else:
        values = synonyms[current[:, 0]]  # (M, K)
        gain = (-slope.gather(1, values)).masked_fill(values == current, -torch.inf)
    best, index = gain.topk(min(n_candidates, gain.shape[1]), dim=1)
    what = index if values is None else values.gather(1, index)
    return e, position, torch.where(best.isneginf(), current, what)  # the current token stands in


def by_gain(
    energy: Energy, x: Tensor, eligible: Tensor, synonyms: Tensor | None, *, n_candidates: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``n_candidates`` pairs of position and value with the largest first-order fall of E.

    With g the gradient of E in one-hot rows (M, L, V), putting v at position i lowers E by about g[i, x_i] - g[i, v].
    The number of energies does not grow with the vocabulary, the gradient does: see ``by_short_list``.
    Source: Ebrahimi et al. (2018), the first-order estimate of a flip. Departure: minimises an energy instead of
    maximising a loss.
    """
    v = n_values_of(energy, synonyms)
    e, grad = energy_grad(energy, F.one_hot(x, v).to(torch.get_default_dtype()))  # (M, L, V)
    gain = grad.gather(2, x[..., None]) - grad
    values = None if synonyms is None else synonyms[x]  # (M, L, K)
    if values is None:
        gain = gain.scatter(2, x[..., None], -torch.inf)
    else:
        gain = gain.gather(2, values).masked_fill(values == x[..., None], -torch.inf)
    k = gain.shape[2]
    gain = gain.masked_fill(~eligible[..., None], -torch.inf).flatten(1)
    best, pair = gain.topk(min(n_candidates, gain.shape[1]), dim=1)
    where, what = pair // k, pair % k if values is None else values.flatten(1).gather(1, pair)
    none_left = best.isneginf()
    where = torch.where(none_left, where[:, :1], where)  # so that no other position counts as tried
    return e, where, torch.where(none_left, x.gather(1, where), what)  # the current token stands in


def _most_salient(weight: Tensor, eligible: Tensor) -> Tensor:
    return weight.masked_fill(~eligible, -torch.inf).argmax(dim=1, keepdim=True)  # (M, 1)
