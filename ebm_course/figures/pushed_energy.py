"""One energy over a line, trained before your eyes: data push it down, chains that roll on it push it up.

NumPy and SciPy only, so that the cover can be drawn where torch is not at hand. It knows nothing of drawing.

>>> run: PushedEnergy = train_pushed_energy(n_records=20, n_warm=1, n_chains=1000, n_data=1000)
>>> run.energies.shape, run.negatives.shape, bool(run.kl[-1] < run.kl[0] / 2)
((20, 401), (20, 1000), True)
>>> round(float(trapezoid(data_density(run.grid), run.grid)), 2)
1.0
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.integrate import trapezoid

HALF_WIDTH = 4.0
WEIGHTS, MEANS, DEVIATIONS = np.array([0.37, 0.20, 0.33]), np.array([-2.2, 0.1, 2.1]), np.array([0.38, 0.28, 0.50])
BACKGROUND = 0.10
"""Share of data spread evenly over the line: it keeps -log p finite, so that the whole curve can be learned."""


@dataclass(frozen=True)
class PushedEnergy:
    """A recorded training: R moments of an energy on a grid of W positions, and of chains on it.

    ``energies`` (R, W) are normalised, so each row is -log p of the model, nats; ``target`` (W,) is -log p of the data;
    ``negatives`` (R, M) and ``data`` (N,) are positions; ``kl`` (R,) is KL(data || model), nats.
    """

    grid: np.ndarray
    energies: np.ndarray
    target: np.ndarray
    negatives: np.ndarray
    data: np.ndarray
    kl: np.ndarray


def data_density(x: np.ndarray) -> np.ndarray:
    """p(x) = 0.1 / 8 + sum_k w_k N(x; m_k, s_k^2), three bumps over an even background on [-4, 4]."""
    z = (x[..., None] - MEANS) / DEVIATIONS
    bumps = WEIGHTS / (DEVIATIONS * np.sqrt(2 * np.pi)) * np.exp(-(z**2) / 2)
    return BACKGROUND / (2 * HALF_WIDTH) + bumps.sum(-1)


def train_pushed_energy(
    *,
    n_records: int = 129,
    n_warm: int = 14,
    n_updates: int = 2,
    n_steps: int = 4,
    step_size: float = 0.005,
    learning_rate: float = 0.15,
    n_chains: int = 8000,
    n_data: int = 8000,
    seed: int = 1,
) -> PushedEnergy:
    """Persistent contrastive divergence: w <- w - rate (mean phi(data) - mean phi(chains)), chains by Langevin.

    The energy is a sum of 33 bumps phi; it starts with two valleys where there are no data.

    Args:
        n_records: R, moments kept; n_updates updates lie between two of them.
        n_warm: records before the first update, in which chains only roll downhill.
        n_updates: updates between records.
        n_steps: Langevin steps before each update.
        step_size: h of a Langevin step x - h E'(x) + sqrt(2 h) noise, reflected at both ends.
        learning_rate: at the start; it grows ninefold, because hills are rarely visited and so rise slowly, and falls
            at the end, because the chains are noisy.
        n_chains: M, chains that give the gradient.
        n_data: N, data drawn once.
        seed: of the one random stream.

    Source: Tieleman (2008), persistent contrastive divergence. Departure: Langevin steps and not Gibbs sampling.
    """
    rng = np.random.default_rng(seed)
    grid = np.linspace(-HALF_WIDTH, HALF_WIDTH, 401)
    centres = np.linspace(-HALF_WIDTH - 0.5, HALF_WIDTH + 0.5, 33)
    bumps = np.exp(-((grid[:, None] - centres) ** 2) / (2 * 0.3**2))  # (W, K)
    weights = np.linalg.lstsq(bumps, _two_wrong_valleys(grid), rcond=None)[0]  # (K,)
    data, chains = _draw_data(rng, n_data), rng.uniform(-HALF_WIDTH, HALF_WIDTH, n_chains)
    pull = bumps.T @ _shares(data, grid)  # (K,), mean phi of the data
    energies, negatives = [], []
    for record in range(n_records):
        energies.append(_normalised(bumps @ weights, grid))
        negatives.append(chains)
        progress = max(0.0, (record - n_warm) / max(1, n_records - n_warm))
        rate = learning_rate * (1 + 8 * progress) * (0.3 if progress > 0.85 else 1.0) * (record >= n_warm)
        for _ in range(n_updates):
            chains = _roll(chains, bumps @ weights, grid, n_steps, step_size, rng)
            weights = weights - rate * (pull - bumps.T @ _shares(chains, grid))
    target, model = -np.log(data_density(grid)), np.stack(energies)
    kl = trapezoid(np.exp(-target) * (model - target), grid)
    return PushedEnergy(grid, model, target, np.stack(negatives), data, kl)


def _two_wrong_valleys(x: np.ndarray) -> np.ndarray:
    return -3.2 * np.exp(-((x + 0.95) ** 2) / 0.32) - 2.6 * np.exp(-((x - 3.3) ** 2) / 0.32)


def _draw_data(rng: np.random.Generator, n: int) -> np.ndarray:
    kind = rng.choice(4, size=n, p=[*WEIGHTS, BACKGROUND])
    bump = rng.normal(np.append(MEANS, 0.0)[kind], np.append(DEVIATIONS, 1.0)[kind])
    return np.where(kind < 3, _reflected(bump), rng.uniform(-HALF_WIDTH, HALF_WIDTH, n))


def _roll(
    x: np.ndarray, energy: np.ndarray, grid: np.ndarray, n_steps: int, step_size: float, rng: np.random.Generator
) -> np.ndarray:
    slope = np.gradient(energy, grid)
    for _ in range(n_steps):
        x = x - step_size * np.interp(x, grid, slope) + np.sqrt(2 * step_size) * rng.normal(size=len(x))
        x = _reflected(x)
    return x


def _reflected(x: np.ndarray) -> np.ndarray:
    x = np.where(x > HALF_WIDTH, 2 * HALF_WIDTH - x, x)
    return np.where(x < -HALF_WIDTH, -2 * HALF_WIDTH - x, x)


def _shares(x: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Share of points nearest to each position of the grid (W,)."""
    nearest = np.rint((x - grid[0]) / (grid[1] - grid[0])).astype(int)
    return np.bincount(nearest, minlength=len(grid)) / len(x)


def _normalised(energy: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return energy + np.log(trapezoid(np.exp(-energy), grid))
