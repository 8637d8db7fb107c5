"""The weights of each member's own best validation, for energies that train side by side. It knows no task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ebm_course.energies.ensemble import Ensemble


class BestOfEach:
    """What every member of an ensemble was when its validation was lowest; the first of equal ones counts.

    >>> from torch import nn
    >>> ensemble = Ensemble([nn.Linear(1, 1), nn.Linear(1, 1)])
    >>> best, weight = BestOfEach(ensemble), ensemble.module.energy.weight
    >>> for x, losses in ((1.0, (0.5, 0.5)), (2.0, (0.4, 0.6))):
    ...     _ = weight.data.fill_(x)
    ...     best.observe(losses)
    >>> best.restore()
    >>> weight.flatten().tolist()
    [2.0, 1.0]
    """

    def __init__(self, ensemble: Ensemble):
        self.ensemble = ensemble
        self.lowest: list[float | None] = [None] * ensemble.size
        self.weights = {name: t.detach().clone() for name, t in ensemble.module.state_dict().items()}

    def observe(self, losses: Sequence[float]) -> None:
        """Note one validation of every member."""
        now = self.ensemble.module.state_dict()
        for r, (loss, lowest) in enumerate(zip(losses, self.lowest, strict=True)):
            if lowest is None or loss < lowest:
                self.lowest[r] = loss
                for name, t in self.weights.items():
                    t[r] = now[name][r]

    @torch.no_grad()
    def restore(self) -> None:
        """Give every member those weights."""
        self.ensemble.module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": list(self.lowest), "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.lowest = list(state["lowest"])
        weights: Mapping[str, Tensor] = state["weights"]
        self.weights = {name: weights[name].to(t.device).clone() for name, t in self.weights.items()}
