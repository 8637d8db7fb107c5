r"""A multilayer perceptron as an energy of points: a learned landscape and, where wanted, a bowl around it.

.. math:: E(x) = f_\theta(x) + \tfrac{c}{2} \lVert x \rVert^2

SiLU keeps the gradient smooth, which Langevin steps follow. f grows no faster than linearly, so with c > 0 the
integral of exp(-E) is finite; with c = 0 nothing ensures it. It knows no data, sampler or loss.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from torch import Tensor, nn

from ebm_course.checks import check_dtype, check_tensors


class MLP(nn.Module):
    """E(x), (N,), of points (N, d).

    Args:
        n_inputs: number d of dimensions.
        width: units of a hidden layer.
        n_layers: hidden layers, 1 or more.
        confinement: weight c of the bowl, 0 or larger, nats per squared unit of x.

    >>> import torch
    >>> x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    >>> MLP(2, width=8)(x).shape
    torch.Size([2])
    >>> free, bowl = MLP(2, width=8), MLP(2, width=8, confinement=2.0)
    >>> _ = bowl.load_state_dict(free.state_dict())
    >>> [round(e, 3) for e in (bowl(x) - free(x)).tolist()]  # c / 2 |x|^2
    [25.0, 0.0]
    """

    def __init__(self, n_inputs: int, *, width: int = 128, n_layers: int = 3, confinement: float = 0.0):
        super().__init__()
        if min(n_inputs, width, n_layers) < 1 or not 0 <= confinement < math.inf:
            raise ValueError(
                f"expected n_inputs, width and n_layers of 1 or more and a confinement of 0 or larger, "
                f"got {n_inputs}, {width}, {n_layers} and {confinement}."
            )
        self.n_inputs, self.confinement = n_inputs, confinement
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise([n_inputs] + [width] * n_layers):
            layers += [nn.Linear(n_in, n_out), nn.SiLU()]
        self.net = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        check_tensors(x=x)
        if x.ndim != 2 or x.shape[1] != self.n_inputs:
            raise ValueError(f"this energy reads points (N, {self.n_inputs}): got shape {tuple(x.shape)}.")
        first: Any = self.net[0]
        check_dtype(x, first.weight.dtype)
        bowl = 0.5 * self.confinement * x.square().sum(dim=1)
        e: Tensor = self.net(x)[:, 0] + bowl
        return e
