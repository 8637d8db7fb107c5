"""The first number to look at when training with samples: how far below them the data lies."""

from __future__ import annotations

from torch import Tensor

from ebm_course.metrics.separation import separation


def energy_gap(e_data: Tensor, e_samples: Tensor) -> float:
    """mean E(data) - mean E(samples), nats: the value of the contrastive loss, minus the gap of ``separation``.

    While an image model learns it stays near 0, on digits at 0.1 to 0.7 with chains colder than the model: they end
    a little lower than the data. Far below 0 the samples lie far above the data, as after steps that are too long; far
    above it samples fall into holes.
    Training is dead when it grows without turning back, to hundreds.

    Args:
        e_data: energies of data (N,), nats.
        e_samples: energies of samples (M,), nats.

    Raises:
        ValueError: energies are not (N,) with N > 0, or not finite.

    >>> import torch
    >>> energy_gap(torch.tensor([-2.0, -1.0]), torch.tensor([-1.0, -1.0]))
    -0.5
    """
    return -separation(e_data, e_samples)["gap"]
