r"""Densities in the plane with exact log-density and exact draws, each hard for a sampler or a net in its own way.

Many separated modes, thin curved ridges, edges, a neck that narrows exponentially. They are frozen dataclasses of
numbers; tensors are made on the device of what they are asked about. They know no task, energy or sampler.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

LOG_TWO_PI = math.log(2 * math.pi)


class Density(Protocol):
    """What a density can be asked: x is (N, 2), ``log_prob`` gives (N,) in nats, ``sample`` n independent draws.

    The square [-extent, extent]^2 holds at least 99 % of the mass.
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
    """p(x) = mean_k N(x; m_k, std^2): round Gaussians of equal weight; close together they draw a line."""

    name: str
    points: tuple[tuple[float, float], ...]
    std: float

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
        return torch.tensor(self.points, device=generator.device)[k] + self.std * _normal(n, generator)


def ring(n_modes: int = 8, *, radius: float = 2.0, std: float = 0.15) -> Spots:
    """Separated modes on a circle: chains rarely cross, so a model can forget some and look well."""
    angles = [2 * math.pi * k / n_modes for k in range(n_modes)]
    return Spots("ring", tuple((radius * math.cos(a), radius * math.sin(a)) for a in angles), std)


def two_moons(n_points: int = 40, *, std: float = 0.15) -> Spots:
    """Two interlocked half circles of radius 1.5, each a line of overlapping spots."""
    angles = [math.pi * (k + 0.5) / n_points for k in range(n_points)]
    upper = [(1.5 * math.cos(a) - 0.75, 1.5 * math.sin(a) - 0.375) for a in angles]
    return Spots("two_moons", tuple(upper + [(-a, -b) for a, b in upper]), std)


def two_spirals(n_points: int = 80, *, turns: float = 1.25, std: float = 0.12) -> Spots:
    """Two arms wound round one another, as dense along the arm everywhere: a long thin ridge."""
    arm = []
    for k in range(n_points):
        along = math.sqrt((k + 0.5) / n_points)  # the length of an arm grows with the square of its angle
        angle = 2 * math.pi * turns * along
        arm.append((3 * along * math.cos(angle), 3 * along * math.sin(angle)))
    return Spots("two_spirals", tuple(arm + [(-a, -b) for a, b in arm]), std)


@dataclass(frozen=True)
class Pinwheel:
    """Straight arms, twisted: u ~ mean over arms of a Gaussian along the arm, then x = R(twist |u|) u.

    A rotation by an angle that depends on the radius alone keeps radius and area, so p(x) = p(u).
    """

    n_arms: int = 5
    radius: float = 2.0
    radial_std: float = 0.6
    tangential_std: float = 0.15
    twist: float = 0.8  # radians per unit of radius
    name: str = "pinwheel"

    @property
    def extent(self) -> float:
        """Half the side of the square."""
        return self.radius + 3 * self.radial_std

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (N,)."""
        u = _rotate(x, -self.twist * x.norm(dim=1))
        arms = torch.arange(self.n_arms, device=x.device) * (2 * math.pi / self.n_arms)
        v = _rotate(u[:, None], -arms)  # (N, A, 2), each arm laid on the first axis
        along, across = (v[..., 0] - self.radius) / self.radial_std, v[..., 1] / self.tangential_std
        log_norm = LOG_TWO_PI + math.log(self.radial_std * self.tangential_std * self.n_arms)
        return torch.logsumexp(-0.5 * (along.square() + across.square()), dim=1) - log_norm

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n draws (n, 2)."""
        scale = torch.tensor([self.radial_std, self.tangential_std], device=generator.device)
        v = _normal(n, generator) * scale + torch.tensor([self.radius, 0.0], device=generator.device)
        arm = torch.randint(self.n_arms, (n,), generator=generator, device=generator.device)
        return _rotate(v, arm * (2 * math.pi / self.n_arms) + self.twist * v.norm(dim=1))


@dataclass(frozen=True)
class Checkerboard:
    """Uniform on the dark squares of a board; log p is minus infinity elsewhere, so there are edges and no slope."""

    n_squares: int = 4  # a side, even
    side: float = 2.0
    name: str = "checkerboard"

    def __post_init__(self) -> None:
        if self.n_squares < 2 or self.n_squares % 2:
            raise ValueError(f"a board has an even number of squares a side, 2 or more: got {self.n_squares}.")

    @property
    def extent(self) -> float:
        """Half the side of the square."""
        return self.n_squares * self.side / 2

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (N,)."""
        square = ((x + self.extent) / self.side).floor()
        dark = (square.sum(dim=1) % 2 == 0) & (square >= 0).all(dim=1) & (square < self.n_squares).all(dim=1)
        log_p = x.new_tensor(-math.log(self.n_squares**2 / 2 * self.side**2))
        return torch.where(dark, log_p, -torch.inf)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n draws (n, 2)."""
        row, half = (
            torch.randint(high, (n,), generator=generator, device=generator.device)
            for high in (self.n_squares, self.n_squares // 2)
        )
        corner = torch.stack([row, 2 * half + row % 2], dim=1)
        return (corner + torch.rand(n, 2, generator=generator, device=generator.device)) * self.side - self.extent


@dataclass(frozen=True)
class Banana:
    """x1 = width z1, x2 = thickness z2 + bend (x1^2 - width^2): a bent ridge; the map keeps areas up to a factor."""

    width: float = 1.2
    thickness: float = 0.3
    bend: float = 0.4
    name: str = "banana"

    @property
    def extent(self) -> float:
        """Half the side of the square."""
        return max(2.8 * self.width, 4 * self.thickness + 7 * self.bend * self.width**2)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (N,)."""
        z1 = x[:, 0] / self.width
        z2 = (x[:, 1] - self.bend * (x[:, 0].square() - self.width**2)) / self.thickness
        return -0.5 * (z1.square() + z2.square()) - LOG_TWO_PI - math.log(self.width * self.thickness)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n draws (n, 2)."""
        z1, z2 = _normal(n, generator).unbind(dim=1)
        x1 = self.width * z1
        return torch.stack([x1, self.thickness * z2 + self.bend * (x1.square() - self.width**2)], dim=1)


@dataclass(frozen=True)
class Funnel:
    """x2 ~ N(0, spread^2), x1 ~ N(0, e^x2): a neck so narrow that no one step size suits it.

    Source: Neal (2003), Section 8. Departure: two dimensions, and a smaller spread than 3.
    """

    spread: float = 1.2
    name: str = "funnel"

    @property
    def extent(self) -> float:
        """Half the side of the square."""
        return 5.0 * self.spread

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (N,)."""
        x1, x2 = x.unbind(dim=1)
        log_p2 = -0.5 * (x2 / self.spread).square() - math.log(self.spread)
        return log_p2 - 0.5 * x1.square() * (-x2).exp() - 0.5 * x2 - LOG_TWO_PI

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n draws (n, 2)."""
        z1, z2 = _normal(n, generator).unbind(dim=1)
        x2 = self.spread * z2
        return torch.stack([(0.5 * x2).exp() * z1, x2], dim=1)


def _normal(n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, 2, generator=generator, device=generator.device)


def _rotate(x: Tensor, angle: Tensor) -> Tensor:
    """x (..., 2) turned by angles (...), radians."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([c * x[..., 0] - s * x[..., 1], s * x[..., 0] + c * x[..., 1]], dim=-1)
