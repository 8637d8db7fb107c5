"""The weights of each member's own best validation, for energies that train side by side. It knows no task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ebm_course.energies.ensemble import Ensemble


class BestOfEach:
    """What every member of an ensemble was when its validation was lowest; the first of equal ones counts.

    Args:
        average: a module like the ensemble's whose weights are those averaged over updates; kept beside them.

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

    def __init__(self, ensemble: Ensemble, *, average: nn.Module | None = None):
        self.modules = {"weights": ensemble.module} | ({} if average is None else {"average": average})
        self.lowest: list[float | None] = [None] * ensemble.size
        self.kept = {
            part: {name: t.detach().clone() for name, t in module.state_dict().items()}
            for part, module in self.modules.items()
        }

    def observe(self, losses: Sequence[float]) -> None:
        """Note one validation of every member."""
        better = [lowest is None or loss < lowest for loss, lowest in zip(losses, self.lowest, strict=True)]
        self.lowest = [loss if new else old for loss, old, new in zip(losses, self.lowest, better, strict=True)]
        for part, module in self.modules.items():
            now = module.state_dict()
            for name, t in self.kept[part].items():
                for r, new in enumerate(better):
                    if new:
                        t[r] = now[name][r]

    @torch.no_grad()
    def restore(self) -> None:
        """Give every member those weights, and their average where there is one."""
        for part, module in self.modules.items():
            module.load_state_dict(self.kept[part])

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": list(self.lowest), **self.kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.lowest = list(state["lowest"])
        self.kept = {
            part: {name: state[part][name].to(t.device).clone() for name, t in own.items()}
            for part, own in self.kept.items()
        }
