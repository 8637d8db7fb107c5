r"""How many steps the attack has in a training: all of them at once, or a number that grows with the energy.

Every ``grow_every`` updates, with m the mean of what was observed since the last look and S the budget,

.. math:: S \leftarrow \begin{cases} S + 1 & m \ge \text{grow} \\ S - 1 & m < \text{shrink} \\ S & \text{else}
    \end{cases} \quad \text{between 0 and its most.}

Two numbers can be observed. The *accuracy*, the share of pairs in which data lie below negatives (shrink: 1/2), does
not see by how much: an energy that is flat but for a thousandth of a nat may have all of it. The *distance*
(``distance.distances``, the mean over negatives; shrink: 0) says in nats how much less likely negatives are than data:
the attack gets stronger only when they have been pushed away, and weaker when they pass below the data.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor


class AttackBudget:
    """How many steps the attack has: always ``most``, or growing from 0 to ``most``.

    Growing from 0 begins with plain noise contrast, because an energy that knows nothing yet loses to any attack. Every
    ``grow_every`` updates the budget grows by one if the energy ranked ``grow_above`` of the rows or more rightly
    since the last look, and shrinks by one if it ranked less than half of them rightly. With ``grow_above = 0`` it
    grows by the clock alone. Its state is saved with the run, so that a resumed one goes on with the same budget.

    >>> budget, seen = AttackBudget(3, grow_every=2, grow_above=0.7), []
    >>> for accuracy in (0.6, 0.9, 0.9, 0.9, 0.4, 0.4):
    ...     budget.observe(torch.tensor(accuracy))
    ...     seen.append(budget.steps)
    >>> seen
    [0, 1, 1, 2, 2, 1]
    """

    reads: ClassVar[str] = "accuracy"
    """What is observed."""
    shrink_below: ClassVar[float] = 0.5

    def __init__(self, most: int, grow_every: int, grow_above: float = 0.0):
        self.most, self.grow_every, self.grow_above = most, grow_every, grow_above
        self.steps, self.updates = (0 if grow_every else most), 0
        self.total = torch.zeros(())

    def observe(self, seen: Tensor) -> None:
        """Count an update; looks at the mean of ``seen``, which reads the device, once every ``grow_every`` updates."""
        self.updates += 1
        self.total = self.total.to(seen) + seen.detach()
        if not self.grow_every or self.updates % self.grow_every:
            return
        mean = float(self.total) / self.grow_every
        change = 1 if mean >= self.grow_above else -1 if mean < self.shrink_below else 0
        self.steps = min(self.most, max(0, self.steps + change))
        self.total = torch.zeros_like(seen)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "updates": self.updates, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.updates, self.total = int(state["steps"]), int(state["updates"]), state["total"]


class DistanceBudget(AttackBudget):
    """The same by distance: grows where negatives lie ``grow_above`` nats above the data or more, shrinks below 0.

    It needs a loss that holds the scale of energies, such as the logistic one: with a bare difference nats are of no
    fixed size.

    >>> budget, seen = DistanceBudget(5, grow_every=1, grow_above=2.0), []
    >>> for distance in (0.1, 2.5, 3.0, 1.0, -0.5):
    ...     budget.observe(torch.tensor(distance))
    ...     seen.append(budget.steps)
    >>> seen
    [0, 1, 2, 2, 1]
    """

    reads = "distance"
    shrink_below = 0.0


def budget_of(config: Any) -> AttackBudget:
    """The budget that a configuration of ``adversarial`` asks for.

    >>> from ebm_course.recipes.sequences.adversarial import NOTEBOOK, PAPER
    >>> budget_of(PAPER).steps, budget_of(NOTEBOOK).steps, budget_of(NOTEBOOK).most  # all at once, and growing
    (10, 0, 5)
    """
    if config.grow_beyond is not None:
        return DistanceBudget(config.n_attack_steps, config.grow_every, config.grow_beyond)
    return AttackBudget(config.n_attack_steps, config.grow_every, config.grow_above)


def check_budget(config: Any) -> None:
    """Refuse a configuration that asks for both kinds of budget, or for one by distance that never looks.

    >>> from ebm_course.recipes.sequences.adversarial import Config
    >>> Config(grow_beyond=2.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: grow_beyond: a budget that grows by distance looks every grow_every updates ... got grow_every=0, ...
    """
    if config.grow_beyond is not None and (config.grow_above or not config.grow_every):
        raise ValueError(
            f"grow_beyond: a budget that grows by distance looks every grow_every updates and not at the accuracy: "
            f"got grow_every={config.grow_every}, grow_above={config.grow_above}. Set the first, leave the second at 0."
        )
