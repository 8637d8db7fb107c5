r"""Densities in the plane with exact log-density and exact draws, each hard for a sampler or a net in its own way.

Separated modes on a ring, and thin curved ridges. They are frozen dataclasses of numbers; tensors are made on the
device of what they are asked about. They know no task, energy or sampler.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ebm_course.checks import check_number

LOG_TWO_PI = math.log(2 * math.pi)


class Density(Protocol):
    """What a density can be asked: x is (N, 2), ``log_prob`` gives (N,) in nats, ``sample`` n independent draws.

    The square [-extent, extent]^2 holds at least 99 % of the mass.

    >>> density: Density = ring(8)
    >>> x = density.sample(1000, generator=torch.Generator().manual_seed(0))
    >>> x.shape, bool((x.abs() <= density.extent).all(dim=1).float().mean() >= 0.99)
    (torch.Size([1000, 2]), True)
    """

    @property
    def name(self) -> str:
        """What figures and tasks call it."""
        ...

    @property
    def extent(self) -> float:
        """Half the side of the square that holds the mass."""
        ...

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (N,)."""
        ...

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n draws (n, 2)."""
        ...


@dataclass(frozen=True)
class Spots:
    """p(x) = mean_k N(x; m_k, std^2): round Gaussians of equal weight; close together they draw a line.

    >>> spot = Spots("one", points=((1.0, 0.0),), std=1.0)
    >>> log_p = spot.log_prob(torch.tensor([[1.0, 0.0], [1.0, 2.0]]))
    >>> [round(p, 3) for p in log_p.tolist()]  # -log(2 pi), and 2^2 / 2 less
    [-1.838, -3.838]
    >>> spot.sample(5, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([5, 2])
    """

    name: str
    points: tuple[tuple[float, float], ...]
    std: float

    def __post_init__(self) -> None:
        if not 0 < check_number("std", self.std) < math.inf or len(self.points) == 0:
            raise ValueError(
                f"spots are one or more, and std is above 0: got {len(self.points)} and {self.std}. "
                f"Pass points=((0.0, 0.0),) and std=1.0."
            )

    @property
    def extent(self) -> float:
        """Half the side of the square."""
        return max(abs(c) for point in self.points for c in point) + 4 * self.std

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (N,)."""
        x1, x2 = x.new_tensor(self.points).unbind(dim=1)
        distance = (x[:, :1] - x1).square() + (x[:, 1:] - x2).square()  # (N, K)
        log_norm = LOG_TWO_PI + 2 * math.log(self.std) + math.log(len(self.points))
        return torch.logsumexp(-0.5 * distance / self.std**2, dim=1) - log_norm

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n draws (n, 2)."""
        k = torch.randint(len(self.points), (n,), generator=generator, device=generator.device)
        noise = torch.randn(n, 2, generator=generator, device=generator.device)
        return torch.tensor(self.points, device=generator.device)[k] + self.std * noise


def ring(n_modes: int = 8, *, radius: float = 2.0, std: float = 0.15) -> Spots:
    """Separated modes on a circle: chains rarely cross, so a model can forget some and look well.

    >>> [tuple(round(c, 3) + 0 for c in point) for point in ring(4, radius=2.0).points]
    [(2.0, 0.0), (0.0, 2.0), (-2.0, 0.0), (0.0, -2.0)]
    """
    angles = [2 * math.pi * k / n_modes for k in range(n_modes)]
    return Spots("ring", tuple((radius * math.cos(a), radius * math.sin(a)) for a in angles), std)


def two_moons(n_points: int = 40, *, std: float = 0.15) -> Spots:
    """Two interlocked half circles of radius 1.5, each a line of overlapping spots.

    >>> moons = two_moons(40)
    >>> len(moons.points), round(moons.extent, 1)  # both half circles, and half the side of the square around them
    (80, 2.8)
    """
    angles = [math.pi * (k + 0.5) / n_points for k in range(n_points)]
    upper = [(1.5 * math.cos(a) - 0.75, 1.5 * math.sin(a) - 0.375) for a in angles]
    return Spots("two_moons", tuple(upper + [(-a, -b) for a, b in upper]), std)
