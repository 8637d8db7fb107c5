from __future__ import annotations

import numpy as np
import pytest

from ebm_course.figures.pushed_energy import HALF_WIDTH, data_density, train_pushed_energy


def integral(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return ((values[..., 1:] + values[..., :-1]) / 2 * np.diff(grid)).sum(-1)


def test_every_energy_is_normalised_and_so_is_the_density(run):
    np.testing.assert_allclose(integral(np.exp(-run.energies), run.grid), 1.0, atol=1e-9)
    assert integral(data_density(run.grid), run.grid) == pytest.approx(1.0, abs=1e-4)  # a bump's foot lies outside


def test_training_brings_the_energy_to_minus_log_p_of_the_data(run):
    assert run.kl[0] > 1.0
    assert run.kl[-1] < 0.01
    assert np.abs(run.energies[-1] - run.target).max() < 0.3


def test_the_same_seed_gives_the_same_run_and_another_does_not():
    first, second, other = (train_pushed_energy(n_records=20, n_chains=50, n_data=50, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.energies, second.energies)
    assert np.abs(first.energies[-1] - other.energies[-1]).max() > 0.01


def test_kl_is_the_integral_written_out(run):
    p, q = data_density(run.grid), np.exp(-run.energies[40])
    assert run.kl[40] == pytest.approx(integral(p * np.log(p / q), run.grid))


def test_before_the_first_update_the_energy_rests_and_chains_gather_in_its_valleys(run):
    np.testing.assert_array_equal(run.energies[14], run.energies[0])
    assert np.abs(run.energies[15] - run.energies[14]).max() > 0

    def energy(record: int) -> float:
        return float(np.interp(run.negatives[record], run.grid, run.energies[0]).mean())

    assert energy(14) < energy(0) - 0.5


def test_at_the_end_the_chains_are_samples_of_the_data(run):
    assert np.abs(run.negatives).max() <= HALF_WIDTH
    for edge in (-3.0, -1.0, 1.0, 3.0):
        share = data_density(run.grid[run.grid <= edge]).sum() * (run.grid[1] - run.grid[0])
        # 8,000 chains: 5 standard errors, and 0.05 for what separate valleys still owe each other
        tolerance = 5 * np.sqrt(share * (1 - share) / 8000) + 0.05
        assert (run.negatives[-1] <= edge).mean() == pytest.approx(share, abs=tolerance)


def test_data_are_drawn_from_the_density(run):
    for edge in (-2.2, 0.1, 2.1):
        share = data_density(run.grid[run.grid <= edge]).sum() * (run.grid[1] - run.grid[0])
        tolerance = 5 * np.sqrt(share * (1 - share) / len(run.data)) + 0.005  # and half a cell of the grid
        assert (run.data <= edge).mean() == pytest.approx(share, abs=tolerance)
