r"""Which substitutions an attack tries: the position that matters most, or the pairs that promise most.

Each proposal maps (energy, x (M, L), eligible (M, L), synonyms (V, K) or None) to the current energies (M,), to the
positions (M, K') of its candidates, or (M, 1) where all candidates of a chain share one, and to their values (M, K').
The current value may be among them; the attack never moves to it. A proposal follows from the state alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.checks import check_count
from ebm_course.core import Discrete, Energy, energy_grad
from ebm_course.samplers.substitution_scores import StepEnergy

Proposal = Callable[[Energy, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]


def n_values_of(energy: Energy, synonyms: Tensor | None) -> int:
    """Size V of the vocabulary, from the table or else from the energy.

    Raises:
        ValueError: neither says it.

    >>> n_values_of(torch.nn.Identity(), torch.tensor([[1], [0]]))
    2
    """
    if synonyms is not None:
        return len(synonyms)
    inner = energy.energy if isinstance(energy, StepEnergy) else energy
    if not isinstance(inner, Discrete):
        raise ValueError("synonyms=None means every other value, and this energy has no n_values: pass a table (V, K).")
    return inner.n_values


def _step_energy(energy: Energy, x: Tensor) -> StepEnergy:
    return energy if isinstance(energy, StepEnergy) else StepEnergy(energy, max_rows=len(x))


def saliency(energy: Energy, x: Tensor, n_values: int) -> tuple[Tensor, Tensor]:
    """E (M,) and ||grad of E in each token's embedding||_1, (M, L).

    An energy with ``embed`` and ``from_embeddings`` is differentiated in its embeddings; for any other the embedding
    is the one-hot row itself. Source: Yin (2023), Eq. 4 (the sign of E does not matter to the norm).

    >>> field = torch.tensor([0.0, 1.0, 3.0])
    >>> e, weight = saliency(lambda hot: (hot[..., 1] * field).sum(dim=1), torch.tensor([[0, 1, 1]]), n_values=2)
    >>> e.tolist(), weight.tolist()
    ([4.0], [[0.0, 1.0, 3.0]])
    """
    e, grad = _step_energy(energy, x).gradient(x, n_values)
    return e, grad.abs().sum(dim=-1)


def by_saliency(energy: Energy, x: Tensor, eligible: Tensor, synonyms: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The most salient eligible position with all its synonyms: Eqs. 4 and 5.

    >>> from ebm_course.energies.potts import Potts
    >>> energy, x = Potts(3, 5), torch.zeros(2, 3, dtype=torch.int64)
    >>> e, where, what = by_saliency(energy, x, torch.tensor([[False, True, False]]).expand(2, 3), None)
    >>> where.tolist(), what.shape
    ([[1], [1]], torch.Size([2, 5]))
    """
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

    >>> from ebm_course.energies.potts import Potts
    >>> energy, x = Potts(3, 5), torch.zeros(2, 3, dtype=torch.int64)
    >>> e, where, what = by_short_list(energy, x, torch.ones_like(x).bool(), None, n_candidates=2)
    >>> e.shape, where.shape, what.shape
    (torch.Size([2]), torch.Size([2, 1]), torch.Size([2, 2]))
    """
    check_count("n_candidates", n_candidates, least=1)
    n_values, rows, step = n_values_of(energy, synonyms), torch.arange(len(x), device=x.device), _step_energy(energy, x)
    # 1. The most salient position (Yin, Eq. 4).
    e, grad = step.gradient(x, n_values)
    position = _most_salient(grad.abs().sum(dim=-1), eligible)
    g, current, table = (
        grad[rows, position[:, 0]],
        x.gather(1, position),
        step.table(x, n_values),
    )  # (M, D) (M, 1) (V, D)
    # 2. The first-order fall of E for every value there, but for what is the same in all of them.
    slope = g if table is None else g @ table.T  # (M, V)
    if synonyms is None:
        gain, values = (-slope).scatter(1, current, -torch.inf), None
    else:
        values = synonyms[current[:, 0]]  # (M, K)
        gain = (-slope.gather(1, values)).masked_fill(values == current, -torch.inf)
    # 3. The values that promise most; where fewer are left the current token stands in.
    best, index = gain.topk(min(n_candidates, gain.shape[1]), dim=1)
    what = index if values is None else values.gather(1, index)
    return e, position, torch.where(best.isneginf(), current, what)


def by_gain(
    energy: Energy, x: Tensor, eligible: Tensor, synonyms: Tensor | None, *, n_candidates: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``n_candidates`` pairs of position and value with the largest first-order fall of E.

    With g the gradient of E in one-hot rows (M, L, V), putting v at position i lowers E by about g[i, x_i] - g[i, v].
    The number of energies does not grow with the vocabulary, the gradient does: see ``by_short_list``.
    Source: Ebrahimi et al. (2018), the first-order estimate of a flip. Departure: minimises an energy instead of
    maximising a loss.

    >>> cost = torch.tensor([[0.0, -1.0, 2.0], [0.0, 5.0, -7.0]])  # of 3 values at 2 positions
    >>> table = torch.tensor([[1, 2], [0, 2], [0, 1]])
    >>> x, everywhere = torch.tensor([[0, 0]]), torch.tensor([[True, True]])
    >>> e, where, what = by_gain(lambda hot: (hot * cost).sum(dim=(1, 2)), x, everywhere, table, n_candidates=2)
    >>> where.tolist(), what.tolist()  # value 2 at position 1 first, then value 1 at position 0
    ([[1, 0]], [[2, 1]])
    """
    check_count("n_candidates", n_candidates, least=1)
    v = n_values_of(energy, synonyms)
    # 1. The first-order fall of E for every pair.
    e, grad = energy_grad(energy, F.one_hot(x, v).to(torch.get_default_dtype()))  # (M, L, V)
    gain = grad.gather(2, x[..., None]) - grad
    values = None if synonyms is None else synonyms[x]  # (M, L, K)
    if values is None:
        gain = gain.scatter(2, x[..., None], -torch.inf)
    else:
        gain = gain.gather(2, values).masked_fill(values == x[..., None], -torch.inf)
    # 2. The pairs that promise most.
    k = gain.shape[2]
    gain = gain.masked_fill(~eligible[..., None], -torch.inf).flatten(1)
    best, pair = gain.topk(min(n_candidates, gain.shape[1]), dim=1)
    where, what = pair // k, pair % k if values is None else values.flatten(1).gather(1, pair)
    # 3. Where fewer are left the current token stands in, at a position that counts as tried already.
    none_left = best.isneginf()
    where = torch.where(none_left, where[:, :1], where)
    return e, where, torch.where(none_left, x.gather(1, where), what)


def _most_salient(weight: Tensor, eligible: Tensor) -> Tensor:
    return weight.masked_fill(~eligible, -torch.inf).argmax(dim=1, keepdim=True)  # (M, 1)
