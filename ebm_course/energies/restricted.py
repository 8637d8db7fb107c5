r"""An energy of sequences seen as an energy of some positions and some values only, the rest held fixed.

With free positions F and allowed values :math:`v_0, .., v_{W-1}`: :math:`E_F(y) = E(x \text{ with } x_F = v_y)`, so a
sampler that knows nothing of operands, signs or markers moves digits of the answer alone. It knows no net and no task.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.core import Conditioned, Discrete, Energy


def restricted(energy: Energy, x: Tensor, free: Tensor, values: Tensor) -> Conditioned:
    """y -> E(x with its free positions filled from y): a conditional energy, one condition a chain.

    Args:
        energy: energies of tokens (N, L) and, for samplers that use gradients, of relaxed tokens (N, L, V).
        x: what stays where nothing is free, (N, L), int64; not changed.
        free: bool (L,), the F positions that may change.
        values: the W tokens a free position may hold, (W,), int64, each once.

    Returns:
        An energy of y (M, F), int64 of 0 .. W - 1, or relaxed y (M, F, W); row m belongs to condition m // K.

    Raises:
        ValueError: no position is free, or ``free`` is not bool (L,).

    >>> x, free = torch.tensor([[9, 0, 0]]), torch.tensor([False, True, True])
    >>> energy = restricted(lambda x: x.sum(dim=1).float(), x, free, values=torch.tensor([4, 5]))
    >>> energy(torch.tensor([[0, 0], [0, 1]]))  # of 9 4 4 and 9 4 5
    tensor([17., 18.])
    """
    if free.dtype != torch.bool or free.shape != x.shape[1:] or not bool(free.any()):
        raise ValueError(
            f"free marks the positions that may change with bool ({x.shape[1]},), one or more of them True: "
            f"got {free.dtype} {tuple(free.shape)}."
        )
    where, values = free.nonzero()[:, 0].to(x.device), values.to(x.device)

    def of_free(rows: Tensor, y: Tensor) -> Tensor:
        if y.ndim == 2:
            return energy(rows.index_copy(1, where, values[y]))
        if not isinstance(energy, Discrete):
            raise TypeError(
                "relaxed states need an energy with n_values, got one without: pass tokens y (M, F) of int64."
            )
        hot = F.one_hot(rows, energy.n_values).to(y)
        return energy(hot.index_copy(1, where, y @ F.one_hot(values, energy.n_values).to(y)))

    return Conditioned(of_free, x, module=energy if isinstance(energy, torch.nn.Module) else None)


def taken(x: Tensor, free: Tensor, values: Tensor) -> Tensor:
    """The state y (N, F) of :func:`restricted` that stands in x (N, L): the number of each free token among values.

    Raises:
        ValueError: a free position of x holds another token than the values.

    >>> taken(torch.tensor([[9, 4, 5]]), torch.tensor([False, True, True]), torch.tensor([4, 5]))
    tensor([[0, 1]])
    """
    match = x[:, free.to(x.device), None] == values.to(x.device)  # (N, F, W)
    if not bool(match.any(dim=2).all()):
        raise ValueError(
            "a free position holds a token that is not among the values: score it apart, or add its value."
        )
    return match.long().argmax(dim=2)
