r"""Gibbs sampling: redraw one position from its exact conditional law given all others.

.. math:: p(x_i = v \mid x_{-i}) = \frac{e^{-E(x_1, .., v, .., x_L)}}{\sum_u e^{-E(x_1, .., u, .., x_L)}}

Every such move leaves p unchanged. All V values of all chains are scored in one call. It knows no model and no task.
Source: Geman and Geman (1984).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_finite, check_generator, check_tokens
from ebm_course.core import Energy, Negatives, energies_of, frozen
from ebm_course.samplers.categorical import draw_categorical


@torch.no_grad()
def gibbs(
    energy: Energy,
    x0: Tensor,
    *,
    n_steps: int,
    n_values: int,
    sweep: bool = False,
    keep_path: bool = False,
    generator: torch.Generator,
) -> Negatives:
    """x_i ~ p(x_i | the rest), ``n_steps`` times, one position of each chain a step.

    Args:
        energy: energies of tokens; called with V N rows a step, row m for chain m // V.
        x0: tokens (N, L), int64; not changed.
        n_steps: positions redrawn in each chain, one after another.
        n_values: number V of values.
        sweep: go through the positions in order, the same in all chains; otherwise each chain draws its own.
        keep_path: return every state visited.

    Returns:
        x (N, L); info, each (N,): ``energy`` at x; ``n_moves``, how many steps changed the state.

    Raises:
        ValueError: a token is out of 0 .. V - 1, or the number of steps is negative.
        FloatingPointError: an energy is NaN, or infinite where a chain ends.

    >>> from ebm_course.energies.potts import Potts
    >>> generator = torch.Generator().manual_seed(0)
    >>> energy, x0 = Potts.random(3, 4, generator=generator), torch.zeros(5, 3, dtype=torch.int64)
    >>> chains = gibbs(energy, x0, n_steps=9, n_values=4, generator=generator)
    >>> chains.x.shape, torch.allclose(chains.info["energy"], energy(chains.x))
    (torch.Size([5, 3]), True)
    """
    check_generator(generator, x0)
    check_count("n_steps", n_steps)
    check_count("n_values", n_values, least=1)
    check_tokens(x0, n_values)
    (n, length), x, path = x0.shape, x0.clone(), [x0]
    n_moves = torch.zeros(n, dtype=torch.int64, device=x.device)
    values = torch.arange(n_values, device=x.device).view(1, -1, 1).expand(n, -1, 1)
    with frozen(energy):
        for t in range(n_steps):
            if sweep:
                position = torch.full((n,), t % length, device=x.device)
            else:
                position = torch.randint(length, (n,), generator=generator, device=x.device)
            where = position[:, None, None].expand(n, n_values, 1)
            candidates = x[:, None].expand(n, n_values, length).scatter(2, where, values)  # (N, V, L)
            e = energies_of(energy, candidates.reshape(n * n_values, length)).view(n, n_values)
            new = candidates[torch.arange(n, device=x.device), draw_categorical(e, generator=generator)]
            n_moves += (new != x).any(dim=1)
            x = new
            if keep_path:
                path.append(x)
        e = energies_of(energy, x)
    check_finite("the energy of a Gibbs chain", e, "Check the energy at the states it returned NaN for.")
    return Negatives(x, {"energy": e, "n_moves": n_moves}, path=torch.stack(path) if keep_path else None)
