r"""A replay buffer: chains that go on where they stopped, so that short runs add up to long ones.

Persistent contrastive divergence without restarts; with them, a share of the chains starts anew each time, so that no
corner of the space is forgotten. It holds states on one device and knows neither energy nor sampler.
Source: Tieleman (2008); restarts: Du and Mordatch (2019).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ebm_course.checks import check_generator


class ReplayBuffer:
    """As many states as it is given, (C, *S), on their device; copied.

    Use: ``x0, slots = buffer.sample(...)``, move x0, ``buffer.push(slots, x)``. It has ``state_dict`` and
    ``load_state_dict``, so training can be resumed with the same chains.

    >>> buffer = ReplayBuffer(torch.zeros(100, 2))
    >>> x0, slots = buffer.sample(10, generator=torch.Generator().manual_seed(0))
    >>> x0.shape, slots.shape
    (torch.Size([10, 2]), torch.Size([10]))
    >>> buffer.push(slots, x0 + 1)
    >>> int((buffer.states == 1).all(dim=1).sum())
    10
    """

    def __init__(self, states: Tensor):
        if states.ndim == 0 or len(states) == 0:
            raise ValueError(
                f"a buffer starts from states (C, ...), C > 0: got shape {tuple(states.shape)}. Pass the first chains."
            )
        self.states = states.detach().clone()

    def __len__(self) -> int:
        return len(self.states)

    def sample(
        self, n: int, *, restart_probability: float = 0.0, fresh: Tensor | None = None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """n chains of different slots, each replaced by a fresh state with ``restart_probability``.

        Args:
            n: 1 to C.
            restart_probability: 0 to 1.
            fresh: states (n, *S) to restart from; needed unless the probability is 0.

        Returns:
            states (n, *S), copies; slots (n,), to be handed to :meth:`push`.

        Raises:
            ValueError: n is larger than the buffer, the probability outside 0 to 1, or ``fresh`` is missing or of
                another shape or dtype.

        Departure from Du and Mordatch (2019): without replacement, so that no chain is moved twice and stored once.
        """
        check_generator(generator, self.states)
        if not 0 <= restart_probability <= 1:
            raise ValueError(
                f"restart_probability is a share of the chains: expected 0 to 1, got {restart_probability}. "
                "Pass 0 for chains that all go on."
            )
        if not 1 <= n <= len(self):
            raise ValueError(f"{n} chains were asked for, the buffer holds {len(self)}: expected 1 to {len(self)}.")
        slots = torch.randperm(len(self), generator=generator, device=self.states.device)[:n]
        states = self.states[slots]
        if restart_probability == 0:
            return states, slots
        if fresh is None or fresh.shape != states.shape or fresh.dtype != states.dtype:
            given = "none" if fresh is None else f"shape {tuple(fresh.shape)} of {fresh.dtype}"
            raise ValueError(
                f"restarts need fresh states of shape {tuple(states.shape)} of {states.dtype}: got {given}."
            )
        restart = torch.rand(n, generator=generator, device=states.device) < restart_probability
        return torch.where(restart.view(-1, *[1] * (states.ndim - 1)), fresh, states), slots

    def push(self, slots: Tensor, states: Tensor) -> None:
        """Store states (n, *S) in their slots (n,); changes the buffer.

        Raises:
            ValueError: the states do not fit the slots, or have another dtype.
        """
        expected = (len(slots), *self.states.shape[1:])
        if tuple(states.shape) != expected or states.dtype != self.states.dtype:
            raise ValueError(
                f"the slots take states {expected} of {self.states.dtype}: got {tuple(states.shape)} of {states.dtype}."
            )
        self.states.index_copy_(0, slots, states.detach())

    def state_dict(self) -> dict[str, Tensor]:
        """The states by name."""
        return {"states": self.states}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over saved states; changes the buffer.

        Raises:
            ValueError: they are of another shape or dtype.
        """
        found = state["states"]
        if found.shape != self.states.shape or found.dtype != self.states.dtype:
            raise ValueError(
                f"this buffer holds {tuple(self.states.shape)} of {self.states.dtype}: got {tuple(found.shape)} "
                f"of {found.dtype}. Build it with as many states as were saved."
            )
        self.states.copy_(found)
