r"""A classifier is an energy: its logits :math:`f(x)[y]` are minus the joint energy of an image and its class.

.. math:: E(x, y) = -f(x)[y], \qquad E(x) = -\log \sum_y e^{f(x)[y]}, \qquad \log p(y \mid x) = E(x) - E(x, y)

One net holds p(x, y), p(x) and p(y | x); softmax forgets the first two, which differ by the one constant log Z.
It knows no data, no sampler and no loss.
Source: Grathwohl et al. (2020), Eqs. 4-7.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.core import Conditioned, SplitsFirstLayer

NO_CLASS = -(2**62)
"""What ``nll_loss`` passes over in silence: not its own -100, for a wrong class is to be refused."""


class Joint(nn.Module):
    """E(x) = -logsumexp_y f(x)[y], (N,), in nats, of a classifier's inputs (N, *S).

    Args:
        classifier: maps states (N, *S) to logits (N, K); held, not copied. Logits of 16 bits are made 32.

    Raises:
        TypeError: the classifier returns no tensor of real numbers.
        ValueError: the classifier returns another shape than (N, K), or K is 0.

    >>> net = nn.Linear(2, 2, bias=False)
    >>> net = net.requires_grad_(False)
    >>> _ = net.load_state_dict({"weight": torch.eye(2)})  # the logits are the state itself
    >>> joint, x, y = Joint(net), torch.tensor([[0.0, 3.0]]), torch.tensor([1])
    >>> [round(float(e), 3) for e in (joint(x), joint.given(y)(x), joint.log_likelihood(y)(x))]
    [-3.049, -3.0, -0.049]
    """

    def __init__(self, classifier: nn.Module):
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        return -self.logits(x).logsumexp(dim=1)

    def logits(self, x: Tensor) -> Tensor:
        """f(x), (N, K)."""
        return _checked(self.classifier(x), len(x))

    def given(self, y: Tensor) -> Conditioned:
        """x -> E(x, y) = -f(x)[y] of classes y (N,), int64, one a chain: row m of K N rows belongs to y[m // K].

        Raises:
            ValueError: y are no classes (N,), or (on a CPU) out of 0 .. K - 1.
        """
        return Conditioned(self._of_class, _classes(y), module=self)

    def log_likelihood(self, y: Tensor) -> Conditioned:
        """x -> log p(y | x) of true classes y (N,): downhill in it is an attack without a target."""
        return Conditioned(self._log_p, _classes(y), module=self)

    def negative_log_likelihood(self, target: Tensor) -> Conditioned:
        """x -> -log p(target | x) of wanted classes (N,): downhill in it is an attack with a target."""
        return Conditioned(self._minus_log_p, _classes(target), module=self)

    # Methods and no lambdas, so that what is given a class can be pickled.
    def _of_class(self, y: Tensor, x: Tensor) -> Tensor:
        return _minus(self.logits(x), y)

    def _log_p(self, y: Tensor, x: Tensor) -> Tensor:
        return -self._minus_log_p(y, x)

    def _minus_log_p(self, y: Tensor, x: Tensor) -> Tensor:
        return _minus(self.logits(x).log_softmax(dim=1), y)

    def first_layer(self, x: Tensor) -> Tensor:
        return self._split().first_layer(x)

    def from_first_layer(self, h: Tensor) -> Tensor:
        return -_checked(self._split().from_first_layer(h), len(h)).logsumexp(dim=1)

    def _split(self) -> SplitsFirstLayer:
        if not isinstance(self.classifier, SplitsFirstLayer):
            raise TypeError(
                f"the classifier has no first layer apart: got {type(self.classifier).__name__}, expected one with "
                f"first_layer and from_first_layer, such as ConvNet. Use a sampler that does not split the net."
            )
        return self.classifier


def _checked(logits: Any, n: int) -> Tensor:
    if not isinstance(logits, Tensor) or logits.is_complex():
        got = f"a tensor of {logits.dtype}" if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(
            f"a classifier maps (N, ...) to a tensor of real logits (N, K): got {got}. Wrap the net so that it does."
        )
    if logits.ndim != 2 or len(logits) != n or logits.shape[1] == 0:
        raise ValueError(
            f"a classifier maps (N, ...) to logits (N, K), K > 0: got {tuple(logits.shape)} for {n} rows. "
            f"Flatten what is in front of its last layer."
        )
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _classes(y: Tensor) -> Tensor:
    if not isinstance(y, Tensor):
        raise TypeError(f"classes are a tensor (N,): got a {type(y).__name__}. Pass torch.as_tensor(y).")
    if y.ndim != 1 or y.dtype != torch.int64:
        raise ValueError(f"classes are int64 (N,), one a chain: got {tuple(y.shape)} of {y.dtype}. Use y.long().")
    return y


def _minus(values: Tensor, y: Tensor) -> Tensor:
    """-values[y], (N,)."""
    try:
        return F.nll_loss(values, y, ignore_index=NO_CLASS, reduction="none")
    except (IndexError, RuntimeError) as error:  # on a CPU; elsewhere the device stops on its own
        n_classes = values.shape[1]
        if not len(y) or (int(y.min()) >= 0 and int(y.max()) < n_classes):
            raise
        raise ValueError(
            f"a class is out of range: expected 0 to {n_classes - 1}, got {int(y.min())} to {int(y.max())}. "
            f"Use the labels of the task that the classifier was made for."
        ) from error
