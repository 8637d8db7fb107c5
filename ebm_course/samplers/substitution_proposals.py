r"""Which substitutions an attack tries: the position that matters most, or the pairs that promise most.

Each proposal maps (energy, x (M, L), eligible (M, L), synonyms (V, K)) to the current energies (M,) and to the
positions and values (M, K') of its candidates. The current value may be among them; the attack decides on it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.core import Energy, energies_of, energy_grad

Proposal = Callable[[Energy, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def saliency(energy: Energy, x: Tensor, n_values: int) -> tuple[Tensor, Tensor]:
    """E (M,) and ||grad of E in each token's embedding||_1, (M, L).

    An energy with ``embed`` and ``from_embeddings`` is differentiated in its embeddings; for any other the embedding
    is the one-hot row itself. Source: Yin (2023), Eq. 4 (the sign of E does not matter to the norm).
    """
    if not hasattr(energy, "from_embeddings"):
        e, grad = energy_grad(energy, F.one_hot(x, n_values).to(torch.get_default_dtype()))
    else:
        with torch.no_grad():
            embeddings = energy.embed(x)  # type: ignore[attr-defined]
        e, grad = energy_grad(lambda h: energy.from_embeddings(h, x), embeddings)
    return e, grad.abs().sum(dim=-1)


def by_saliency(energy: Energy, x: Tensor, eligible: Tensor, synonyms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The most salient eligible position, with the current token first and then all its synonyms: Eqs. 4 and 5."""
    e, weight = saliency(energy, x, len(synonyms))
    position = weight.masked_fill(~eligible, -torch.inf).argmax(dim=1, keepdim=True)  # (M, 1)
    current = x.gather(1, position)
    values = torch.cat([current, synonyms[current[:, 0]]], dim=1)  # (M, K + 1)
    return e, position.expand_as(values), values


def by_gain(
    energy: Energy, x: Tensor, eligible: Tensor, synonyms: Tensor, *, n_candidates: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``n_candidates`` pairs of position and value with the largest first-order fall of E.

    With g the gradient of E in one-hot rows, putting v at position i lowers E by about g[i, x_i] - g[i, v].
    The cost does not grow with the vocabulary: a short list for large ones. The current state comes first.
    Source: Ebrahimi et al. (2018), the first-order estimate of a flip. Departure: minimises an energy instead of
    maximising a loss.
    """
    v = len(synonyms)
    hot = F.one_hot(x, v).to(torch.get_default_dtype())
    _, grad = energy_grad(energy, hot)  # (M, L, V)
    gain = grad.gather(2, x[..., None]) - grad
    allowed = torch.zeros(v, v, dtype=torch.bool, device=x.device).scatter(1, synonyms, True)
    allowed = allowed & ~torch.eye(v, dtype=torch.bool, device=x.device)
    gain = gain.masked_fill(~(allowed[x] & eligible[..., None]), -torch.inf).flatten(1)  # (M, L V)
    best, pair = gain.topk(min(n_candidates, gain.shape[1]), dim=1)
    where, what, none_left = pair // v, pair % v, best.isneginf()
    first = where[:, :1]
    where = torch.where(none_left, first, where)  # so that no other position counts as tried
    what = torch.where(none_left, x.gather(1, where), what)  # the current token stands in
    with torch.no_grad():
        e = energies_of(energy, x)
    return e, torch.cat([first, where], dim=1), torch.cat([x.gather(1, first), what], dim=1)
