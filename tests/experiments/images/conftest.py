"""A classifier whose energies have known slopes: what attacks and Langevin steps are computed by hand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn


class Slope(nn.Module):
    """Logits (s, -s) of the sum s of the pixels, which are its features too.

    An attack and a step on E(x, y), whose gradient is -1 or 1 everywhere, move every pixel towards its class's sign.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        s = self.scale * x.flatten(1).sum(dim=1)
        return torch.stack([s, -s], dim=1)


@pytest.fixture
def slope() -> nn.Module:
    """A fresh one."""
    return Slope()
