r"""A watch on the energy gap, mean E(data) - mean E(samples): it stops a run whose chains run away, or takes it back.

A healthy gap of a joint model on digits is 0.1 to 0.7 nats after the first updates: chains with less noise than their
steps call for end a little lower than the data. Where steps are longer than the energy's slopes allow, chains
overshoot, pushing up where they land steepens the slopes, and the gap grows without end, long before any number is
infinite. It knows gaps and what has a state; no net, no sampler.
Source: Grathwohl et al. (2020), whose code stops at a loss of 1e8. Departure: the gap and not the loss, read from the
device every ``every`` updates alone; on request a run goes back to its last good state by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Batch, Step
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.training.resume import load_states, states_of

GOOD = 0.01
"""A state is good, to go back to, where the gap has stayed within this share of the limit since the last look."""


class DivergedError(FloatingPointError):
    """The energy gap left its limits, or a state or energy is no longer finite.

    Args:
        update: the one it was seen at, from 1.
        why: the message, without the update.

    >>> error = DivergedError(40, "the largest energy gap was 7e+03 nats.")
    >>> error.update, str(error), isinstance(error, FloatingPointError)
    (40, 'update 40: the largest energy gap was 7e+03 nats.', True)
    """

    def __init__(self, update: int, why: str):
        super().__init__(f"update {update}: {why}")
        self.update = update


class GapWatch:
    """A step that also looks at the ``energy_gap`` it logs; with restarts it goes back to the last good state.

    What is lost stays lost: updates and random numbers go on, so that the second attempt meets other noise.

    Args:
        step: one update; logs ``energy_gap``, a scalar.
        kept: name -> what a restart puts back: net, optimiser (but not its rate, which a schedule holds), buffer.
        limit: the largest gap, either way, nats.
        every: updates between two looks; none in between is missed, for the largest gap is kept on the device.
        last: the last update of the run, after which it looks too; None where that is not known.
        restarts: how often in a run; 0: stop at once.
        cause: what to say of the cause and the remedy.
        run: whose processes train together; they look at the mean of their gaps.

    Raises:
        DivergedError: from the step, naming update, gap, limit, cause and remedy.

    >>> gaps = iter([0.2, 7e3])
    >>> step = lambda batch, generator: {"energy_gap": torch.tensor(next(gaps))}
    >>> watch = GapWatch(step, {}, limit=1e3, every=1, restarts=0, cause="Lower step_size.")
    >>> float(watch(None, None)["energy_gap"]) > 0
    True
    >>> watch(None, None)
    Traceback (most recent call last):
    ebm_course.recipes.images.gap_watch.DivergedError: update 2: the largest energy gap, mean E(data) - mean \
E(samples), was 7e+03 nats either way, expected at most 1e+03. Lower step_size.
    """

    def __init__(
        self,
        step: Step,
        kept: Mapping[str, Any],
        *,
        limit: float,
        every: int,
        restarts: int,
        cause: str,
        last: int | None = None,
        run: Run = SINGLE_PROCESS,
    ):
        self.step, self.kept, self.limit, self.every, self.restarts = step, kept, limit, every, restarts
        self.cause, self.run, self.last, self.updates, self.done = cause, run, last, 0, 0
        self.largest = torch.zeros((), device=run.device)
        self.good = self._copy() if restarts else {}

    def __call__(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        self.updates += 1
        try:
            log = self.step(batch, generator)
            self.largest = torch.maximum(self.largest, self.run.mean(log["energy_gap"].detach()).abs())  # a NaN stays
            if self.updates % self.every == 0 or self.updates == self.last:
                self._look()
        except FloatingPointError as error:
            self._go_back(error)
            return {}
        return log

    def _look(self) -> None:
        largest = float(self.largest)
        if not largest <= self.limit:
            raise FloatingPointError(
                f"the largest energy gap, mean E(data) - mean E(samples), was {largest:.3g} nats either way, expected "
                f"at most {self.limit:.3g}."
            )
        self.largest = torch.zeros_like(self.largest)
        if self.restarts and largest <= GOOD * self.limit:
            self.good = self._copy()

    def _go_back(self, error: FloatingPointError) -> None:
        if self.done == self.restarts:
            after = f" It went back {self.restarts} times already." if self.restarts else ""
            raise DivergedError(self.updates, f"{error} {self.cause}{after}") from error
        self.done += 1
        self.largest = torch.zeros_like(self.largest)
        optimizers = [x for x in self.kept.values() if isinstance(x, torch.optim.Optimizer)]
        rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
        load_states(self.kept, copy.deepcopy(self.good))  # an optimiser takes over the tensors it is given
        for group, rate in zip((g for o in optimizers for g in o.param_groups), rates, strict=True):
            group["lr"] = rate

    def _copy(self) -> dict[str, Any]:
        return copy.deepcopy(states_of(self.kept))

    def state_dict(self) -> dict[str, Any]:
        """Updates, restarts done, the largest gap since the last look, and the good state where one is kept."""
        return {"updates": self.updates, "done": self.done, "largest": self.largest, "good": self.good}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self.updates, self.done, self.good = state["updates"], state["done"], copy.deepcopy(state["good"])
        self.largest = state["largest"].to(self.run.device, copy=True)
