"""A conditional energy at given conditions: an energy of states alone, as every sampler asks for.

It knows the row rule of ``core`` and what a condition is, rows; no net and no sampler.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class Conditioned:
    """The energy :math:`y \\mapsto E(x, y)` of a conditional energy at given conditions, ``energy.given(x)``.

    Args:
        function: maps conditions, each (M, ...), and states (M, ...) to energies (M,).
        condition: N rows, one a chain.
        more: further conditions of N rows, such as a mask (N, L); None, as of a batch without a mask, stays None.
        module: the module that holds the parameters, so that :func:`~ebm_course.core.frozen` finds it.

    Raises:
        ValueError: the number of states is no multiple of the number of conditions.

    >>> import torch
    >>> energy = Conditioned(lambda x, y: (x - y).abs().sum(dim=1), torch.tensor([[0.0], [10.0]]))
    >>> energy(torch.tensor([[1.0], [2.0], [1.0], [2.0]])).tolist()  # rows 0 and 1 of chain 0, the others of chain 1
    [1.0, 2.0, 9.0, 8.0]
    >>> energy.select(torch.tensor([1]))(torch.tensor([[1.0]])).tolist()
    [9.0]
    """

    def __init__(
        self, function: Callable[..., Tensor], condition: Tensor, *more: Tensor | None, module: nn.Module | None = None
    ):
        self.function, self.condition, self.more = function, condition, more
        self.module = module if module is not None or not isinstance(function, nn.Module) else function

    def __call__(self, y: Tensor) -> Tensor:
        n = len(self.condition)
        if len(y) % n if n else len(y):
            raise ValueError(
                f"a conditional energy takes K rows for each of its {n} conditions, row m for condition m // K: "
                f"got {len(y)} rows. Pass a multiple of {n}, or use core.select to keep fewer chains."
            )
        k = len(y) // max(n, 1)
        conditions = (self.condition, *self.more)
        repeated = [c if c is None else c.clone() if k == 1 else c.repeat_interleave(k, dim=0) for c in conditions]
        return self.function(*repeated, y)

    def select(self, index: Tensor) -> Conditioned:
        """The same energy for the chains named in ``index`` (int or bool) only."""
        more = (None if c is None else c[index] for c in self.more)
        return Conditioned(self.function, self.condition[index], *more, module=self.module)
