from __future__ import annotations

import pytest
import torch
from torch import tensor

from ebm_course.metrics.energy_gap import energy_gap
from ebm_course.metrics.separation import separation
from ebm_course.objectives.contrastive import contrastive


def test_data_below_its_samples_have_a_negative_gap():
    assert energy_gap(tensor([-3.0, -1.0]), tensor([0.0, 1.0, 5.0])) == pytest.approx(-4)


def test_it_is_the_contrastive_loss_and_minus_the_gap_of_separation():
    e_data, e_samples = torch.randn(7), torch.randn(5)
    assert energy_gap(e_data, e_samples) == -separation(e_data, e_samples)["gap"]
    assert energy_gap(e_data, e_samples) == pytest.approx(float(contrastive(e_data, e_samples).value), abs=1e-6)


def test_energies_that_are_not_finite_have_no_gap():
    with pytest.raises(ValueError, match="e_data holds finite energies"):
        energy_gap(tensor([torch.nan]), tensor([0.0]))
