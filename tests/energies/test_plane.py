from __future__ import annotations

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
