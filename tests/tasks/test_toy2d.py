from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch

from ebm_course.tasks.toy2d import N_CELLS, cell_masses, score, toy2d
from ebm_course.tasks.toy2d_densities import Spots, ring


def test_parts_are_independent_draws_and_do_not_depend_on_the_size_of_the_first():
    small, large = toy2d(ring(), n_train=10, n_valid=20, n_test=30), toy2d(ring(), n_train=40, n_valid=20, n_test=30)
    assert [len(part) for part in (small.train, small.valid, small.test)] == [10, 20, 30]
    assert torch.equal(small.test.x, large.test.x) and torch.equal(small.valid.x, large.valid.x)
    assert not torch.equal(small.test.x[:20], small.valid.x)
    assert not torch.equal(small.test.x, toy2d(ring(), n_train=10, n_valid=20, n_test=30, seed=1).test.x)
    assert small.n_values is None and small.name == "toy2d-ring"


def test_cell_masses_of_a_gaussian_are_products_of_normal_probabilities():
    density = Spots("one", ((0.0, 0.0),), 1.0)
    edges = torch.linspace(-density.extent, density.extent, N_CELLS + 1, dtype=torch.float64)
    one = torch.special.ndtr(edges).diff()
    masses = cell_masses(density)
    torch.testing.assert_close(masses[:-1], torch.outer(one, one).flatten(), atol=1e-5, rtol=1e-3)
    assert masses.sum().item() == pytest.approx(1)


def test_cells_and_points_are_numbered_alike():
    flat = Spots("flat", ((-1.0, 0.0), (1.0, 0.0)), 0.1)  # wide along x1, narrow along x2
    x = flat.sample(4_000, generator=torch.Generator().manual_seed(0))
    assert score(x, flat)["total_variation"] < 0.1
    assert score(x.flip(1), flat)["total_variation"] > 0.5


def test_score_by_hand():
    density, masses = Spots("one", ((0.0, 0.0),), 1.0), torch.zeros(N_CELLS**2 + 1)  # the square ends at 4
    masses[0], masses[-1] = 0.75, 0.25  # the cell at the lowest corner, and all that is outside
    x = torch.tensor([[-3.9, -3.9], [-3.9, 0.1], [4.1, 0.0], [0.0, -9.0]])  # in that cell, in another, two outside
    result = score(x, density, masses=masses)
    assert result["log_density"] == pytest.approx(density.log_prob(x).mean().item())
    assert result["total_variation"] == pytest.approx((0.5 + 0.25 + 0.25) / 2)


def test_exact_draws_score_like_the_test_part_and_a_forgotten_mode_shows():
    task = toy2d(ring(), n_train=4_000, n_test=4_000)
    exact, yardstick = task.score(task.train.x, task.train), task.score(task.test.x, task.test)
    assert exact["total_variation"] == pytest.approx(yardstick["total_variation"], abs=0.03)
    lost = task.train.x[task.train.x[:, 0] < 1.0]  # three of eight modes are missing
    assert task.score(lost, task.test)["log_density"] == pytest.approx(exact["log_density"], abs=0.1)
    assert task.score(lost, task.test)["total_variation"] > 0.33


def test_copies_of_the_best_point_have_a_high_density_and_a_bad_cover():
    task = toy2d(ring())
    result = task.score(torch.tensor([[2.0, 0.0]]).repeat(100, 1), task.test)
    assert result["log_density"] > task.score(task.test.x, task.test)["log_density"]
    assert result["total_variation"] > 0.9


@pytest.mark.parametrize("x", [torch.zeros(0, 2), torch.zeros(3), torch.zeros(3, 3), torch.tensor([[0.0, torch.nan]])])
def test_what_are_no_finite_points_is_refused(x):
    with pytest.raises(ValueError, match=r"expected finite points \(N, 2\)"):
        score(x, ring())


def test_points_of_large_seeds_are_their_own():
    sets = [toy2d(ring(), n_train=5, n_valid=1, n_test=1, seed=seed).train.x for seed in (1, 1 + 2**32, 2**64)]
    assert not torch.equal(sets[0], sets[1]) and not torch.equal(sets[1], sets[2])


def test_points_with_a_graph_or_of_sixteen_bits_score_as_the_same_points_in_thirty_two() -> None:
    x = ring().sample(500, generator=torch.Generator().manual_seed(0)).half()
    assert score(x, ring()) == score(x.float(), ring())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(x.float().requires_grad_(), ring()) == score(x.float(), ring())


@pytest.mark.parametrize("density", [lambda: ring(0), lambda: ring(std=0.0), lambda: ring(std=-1.0)])
def test_no_spots_and_spots_without_a_width_are_refused(density: Callable[[], Spots]) -> None:
    with pytest.raises(ValueError, match="spots are one or more, and std is above 0"):
        density()


def test_masses_need_a_point_a_cell() -> None:
    with pytest.raises(ValueError, match="n_inside is a whole number: expected 1 or larger"):
        cell_masses(ring(), n_inside=0)
