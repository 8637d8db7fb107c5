from __future__ import annotations

import math

import pytest
import torch

from ebm_course.energies.gaussian_mixture import GaussianMixture
from ebm_course.energies.mlp import MLP
from ebm_course.energies.plane import log_z_plane, midpoints


def test_midpoints_by_hand():
    assert midpoints(1.0, n_points=2).tolist() == [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]


def test_log_z_of_a_mixture_is_minus_its_constant():
    model = GaussianMixture(torch.tensor([[-1.0, 0.0], [1.5, 0.5]]), 0.25, constant=-2.3)
    assert log_z_plane(model, 5.0).item() == pytest.approx(2.3, abs=1e-4)


def test_log_z_of_a_flat_energy_is_the_area():
    assert log_z_plane(lambda x: torch.zeros(len(x)), 3.0, n_points=7).exp().item() == pytest.approx(36.0)


def test_half_a_gaussian_is_left_out_where_the_square_holds_half():
    model = GaussianMixture(torch.tensor([[4.0, 0.0]]), 0.25)
    assert log_z_plane(model, 4.0).exp().item() == pytest.approx(0.5, abs=1e-3)


def test_modes_are_restored_and_nothing_is_differentiated():
    model = MLP(2, width=4).train()
    assert not log_z_plane(model, 2.0, n_points=10).requires_grad
    assert model.training and all(p.requires_grad for p in model.parameters())


def test_a_square_without_a_side_or_without_points_is_refused():
    flat = lambda x: 0 * x[:, 0]  # noqa: E731
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"half the side .* expected a finite number above 0, got {bad}"):
            log_z_plane(flat, bad)
    with pytest.raises(ValueError, match="extent is a number: expected a real one, got True"):
        log_z_plane(flat, True)
    with pytest.raises(ValueError, match="n_points is a whole number: expected 1 or larger, got 0"):
        log_z_plane(flat, 1.0, n_points=0)


def test_points_are_of_the_type_that_the_energy_reads():
    net = MLP(2, width=8, confinement=1.0)
    single = log_z_plane(net, 6.0, n_points=50)
    with pytest.raises(ValueError, match=r"reads torch.float64, .*got torch.float32. Use x.to\(torch.float64\)"):
        log_z_plane(net.double(), 6.0, n_points=50)
    double = log_z_plane(net, 6.0, n_points=50, dtype=torch.float64)
    assert double.dtype == torch.float64 and float(double) == pytest.approx(float(single), abs=1e-5)
