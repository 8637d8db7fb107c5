"""How many steps the attack has in a training: all of them at once, or a number that grows with the energy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class AttackBudget:
    """How many steps the attack has: always ``most``, or growing from 0 to ``most``.

    Growing from 0 begins with plain noise contrast, because an energy that knows nothing yet loses to any attack. Every
    ``grow_every`` updates the budget grows by one if the energy ranked ``grow_above`` of the rows or more rightly
    since the last look, and shrinks by one if it ranked less than half of them rightly. With ``grow_above = 0`` it
    grows by the clock alone. Its state is saved with the run, so that a resumed one goes on with the same budget.
    """

    def __init__(self, most: int, grow_every: int, grow_above: float = 0.0):
        self.most, self.grow_every, self.grow_above = most, grow_every, grow_above
        self.steps, self.updates = (0 if grow_every else most), 0
        self.accuracy = torch.zeros(())

    def observe(self, accuracy: Tensor) -> None:
        """Count an update; looks at the mean accuracy, which reads the device, once every ``grow_every`` updates."""
        self.updates += 1
        self.accuracy = self.accuracy.to(accuracy) + accuracy.detach()
        if not self.grow_every or self.updates % self.grow_every:
            return
        mean = float(self.accuracy) / self.grow_every
        change = 1 if mean >= self.grow_above else -1 if mean < 0.5 else 0
        self.steps = min(self.most, max(0, self.steps + change))
        self.accuracy = torch.zeros_like(accuracy)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "updates": self.updates, "accuracy": self.accuracy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.updates, self.accuracy = int(state["steps"]), int(state["updates"]), state["accuracy"]
