r"""A replay buffer: chains that go on where they stopped, so that short runs add up to long ones.

Persistent contrastive divergence without restarts; with them, a share of the chains starts anew each time, so that no
corner of the space is forgotten. With a label for each state, chains can be asked for by class. It holds states on one
device and knows neither energy nor sampler.
Source: Tieleman (2008); restarts: Du and Mordatch (2019); slots by class: Grathwohl et al. (2020), JEM.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ebm_course.batch import ranks_in_class
from ebm_course.checks import check_finite, check_generator, check_number


class ReplayBuffer:
    """As many states as it is given, (C, *S), on their device; copied, as are their labels (C,), int64, where given.

    Use: ``x0, slots = buffer.sample(...)``, move x0, ``buffer.push(slots, x)``. It has ``state_dict`` and
    ``load_state_dict``, so training can be resumed with the same chains.

    >>> buffer = ReplayBuffer(torch.zeros(100, 2))
    >>> x0, slots = buffer.sample(10, generator=torch.Generator().manual_seed(0))
    >>> x0.shape, slots.shape
    (torch.Size([10, 2]), torch.Size([10]))
    >>> buffer.push(slots, x0 + 1)
    >>> int((buffer.states == 1).all(dim=1).sum())
    10
    >>> by_class = ReplayBuffer(torch.zeros(6, 2), labels=torch.arange(6) % 3)
    >>> _, slots = by_class.sample(2, labels=torch.tensor([2, 0]), generator=torch.Generator().manual_seed(0))
    >>> by_class.labels[slots]
    tensor([2, 0])
    """

    def __init__(self, states: Tensor, labels: Tensor | None = None):
        _check_tensor("states", states)
        if states.ndim == 0 or len(states) == 0:
            raise ValueError(
                f"a buffer starts from states (C, ...), C > 0: got shape {tuple(states.shape)}. Pass the first chains."
            )
        with torch.inference_mode(False):  # lest they be tensors that cannot be changed outside of it
            self.states = states.detach().clone()
            self.labels = None if labels is None else _checked(labels, len(states)).clone()

    def __len__(self) -> int:
        return len(self.states)

    def sample(
        self,
        n: int,
        *,
        restart_probability: float = 0.0,
        fresh: Tensor | None = None,
        labels: Tensor | None = None,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """n chains of different slots, each replaced by a fresh state with ``restart_probability``.

        Args:
            n: 1 to C.
            restart_probability: 0 to 1.
            fresh: states (n, *S) to restart from; needed unless the probability is 0.
            labels: wanted classes (n,): chain i comes from a slot of class ``labels[i]``, each as likely, and so should
                row i of ``fresh``. Without, from any slot.

        Returns:
            states (n, *S), copies; slots (n,), to be handed to :meth:`push`.

        Raises:
            ValueError: n is larger than the buffer, the probability outside 0 to 1, or ``fresh`` is missing or of
                another shape or dtype, or a class has fewer slots than chains were asked of it.

        Departure from Du and Mordatch (2019): without replacement, so that no chain is moved twice and stored once.
        """
        check_generator(generator, self.states)
        restart_probability = check_number("restart_probability", restart_probability)
        if not 0 <= restart_probability <= 1:
            raise ValueError(
                f"restart_probability is a share of the chains: expected 0 to 1, got {restart_probability}. "
                "Pass 0 for chains that all go on."
            )
        if isinstance(n, float) or n not in range(1, len(self) + 1):
            raise ValueError(f"{n} chains were asked for, the buffer holds {len(self)}: expected 1 to {len(self)}.")
        slots = torch.randperm(len(self), generator=generator, device=self.states.device)
        slots = slots[:n] if labels is None else self._of_classes(slots, _checked(labels, n))
        states = self.states[slots]
        if restart_probability == 0:
            return states, slots
        if fresh is not None:
            _check_tensor("fresh", fresh)
        if fresh is None or fresh.shape != states.shape or fresh.dtype != states.dtype:
            given = "none" if fresh is None else f"shape {tuple(fresh.shape)} of {fresh.dtype}"
            raise ValueError(
                f"restarts need fresh states of shape {tuple(states.shape)} of {states.dtype}: got {given}."
            )
        restart = torch.rand(n, generator=generator, device=states.device) < restart_probability
        return torch.where(restart.view(-1, *[1] * (states.ndim - 1)), fresh.detach(), states), slots

    def _of_classes(self, shuffled: Tensor, wanted: Tensor) -> Tensor:
        """For the r-th chain of a class its r-th slot in the shuffled order, all classes at once."""
        if self.labels is None:
            raise ValueError("labels were asked for, this buffer has none: expected ReplayBuffer(states, labels).")
        grouped = shuffled[self.labels[shuffled].argsort(stable=True)]
        classes, of = torch.cat([self.labels, wanted]).unique(return_inverse=True)  # waits for the device
        n, of_wanted = len(classes), of[len(self) :]  # classes are counted from 0, whatever their names
        held, asked = of[: len(self)].bincount(minlength=n), of_wanted.bincount(minlength=n)
        if bool((asked > held).any()):
            k = int((asked - held).argmax())
            raise ValueError(
                f"{asked[k]} chains of class {classes[k]} were asked for, the buffer holds {held[k]}: expected no "
                "more. Ask for fewer, or build it with more of each class."
            )
        return grouped[(held.cumsum(dim=0) - held)[of_wanted] + ranks_in_class(of_wanted, n)]

    def push(self, slots: Tensor, states: Tensor, labels: Tensor | None = None) -> None:
        """Store states (n, *S) in their slots (n,); changes the buffer.

        Args:
            slots: as :meth:`sample` gave them.
            states: those that replace what is there.
            labels: the classes (n,) of the states, where restarts have changed them; without, a slot keeps its class.

        Raises:
            TypeError: slots, states or labels are no tensors.
            ValueError: slots are not those of the buffer or come twice, states do not fit them or have another dtype,
                or labels meet a buffer without any.
            FloatingPointError: a state is not finite (on a CPU): its chain would go on from there.
        """
        self._check_slots(slots)
        _check_tensor("states", states)
        expected = (len(slots), *self.states.shape[1:])
        if tuple(states.shape) != expected or states.dtype != self.states.dtype:
            raise ValueError(
                f"the slots take states {expected} of {self.states.dtype}: got {tuple(states.shape)} of {states.dtype}."
            )
        if states.device.type == "cpu":
            check_finite("a state for the buffer", states, "Shorten the step, or look for the chain that diverged.")
        if labels is not None:
            if self.labels is None:
                raise ValueError("labels were given, this buffer has none: expected ReplayBuffer(states, labels).")
            self.labels.index_copy_(0, slots, _checked(labels, len(slots)))
        self.states.index_copy_(0, slots, states.detach())

    def _check_slots(self, slots: Tensor) -> None:
        _check_tensor("slots", slots)
        right = slots.ndim == 1 and slots.dtype == torch.int64
        # Elsewhere than on a CPU a look at the numbers would wait for the device at every call.
        if right and slots.device.type == "cpu" and len(slots):
            right = int(slots.min()) >= 0 and int(slots.max()) < len(self) and len(slots.unique()) == len(slots)
        if not right:
            raise ValueError(
                f"slots are int64 (n,) of 0 to {len(self) - 1}: got {tuple(slots.shape)} of {slots.dtype}"
                f"{f', {int(slots.min())} to {int(slots.max())}' if slots.numel() else ''}. Pass those of sample(), "
                "each once."
            )

    def state_dict(self) -> dict[str, Tensor]:
        """The states by name, and their labels where there are any."""
        return {"states": self.states} | ({} if self.labels is None else {"labels": self.labels})

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over saved states and labels; changes the buffer.

        Raises:
            ValueError: there are none, they are of another shape or dtype, or only one of the two buffers has labels.
            FloatingPointError: a state is not finite.
        """
        given = state if isinstance(state, Mapping) else dict[str, Tensor]()
        if wrong := [key for key in {"states"} | given.keys() if not isinstance(given.get(key), Tensor)]:
            raise ValueError(
                f"this is no state of a buffer: expected tensors, got none as {', '.join(sorted(wrong))}. "
                "Pass state_dict()."
            )
        found = state["states"]
        if found.shape != self.states.shape or found.dtype != self.states.dtype:
            raise ValueError(
                f"this buffer holds {tuple(self.states.shape)} of {self.states.dtype}: got {tuple(found.shape)} "
                f"of {found.dtype}. Build it with as many states as were saved."
            )
        if ("labels" in state) != (self.labels is not None):
            saved = "labels" if "labels" in state else "no labels"
            raise ValueError(f"{saved} were saved with the states: expected a buffer built alike. Build it so.")
        labels = None if self.labels is None else _checked(state["labels"], len(self))
        check_finite("a state for the buffer", found, "Take a state from before it diverged.")
        self.states.copy_(found.detach())
        if self.labels is not None and labels is not None:
            self.labels.copy_(labels)


def _check_tensor(name: str, x: object) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} are a tensor: got a {type(x).__name__}. Pass torch.as_tensor({name}).")


def _checked(labels: Tensor, n: int) -> Tensor:
    _check_tensor("labels", labels)
    if labels.shape != (n,) or labels.dtype != torch.int64 or bool((labels < 0).any()):
        raise ValueError(
            f"labels have shape ({n},) of torch.int64, 0 or larger: got {tuple(labels.shape)} of {labels.dtype}. "
            "Pass one class for each state."
        )
    return labels
