"""The bare loss and the bare resampling of chapter 4 are the package's, and fitting the table finds log q - log p."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ebm_course.objectives.nce import residual_nce
from ebm_course.samplers.resampling import resampling

NAME = "04_residual_energies_by_noise_contrast"


@pytest.fixture
def bare(chapter: Callable[[str], Any]) -> dict[str, Any]:
    names: dict[str, Any] = chapter(NAME).run("bare")
    return names


def test_the_bare_loss_and_its_gradient_equal_the_package(bare: dict[str, Any]):
    generator = torch.Generator().manual_seed(0)
    energies = [torch.randn(50, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    losses = bare["noise_contrast"](*energies), residual_nce(*energies).value
    torch.testing.assert_close(*losses)
    gradients = [torch.autograd.grad(loss, energies) for loss in losses]
    torch.testing.assert_close(*gradients)


def test_the_bare_table_ends_at_log_q_minus_log_p(bare: dict[str, Any]):
    data, noise = torch.tensor([0] * 6 + [1] * 2), torch.tensor([0] * 2 + [1] * 6)
    energy, losses = bare["fit_table"](data, noise, 2, n_steps=500, rate=5.0)
    torch.testing.assert_close(energy, torch.tensor([1 / 3, 3.0], dtype=torch.float64).log())
    assert losses[-1] < losses[0]


def test_the_bare_resampling_has_the_weights_and_the_law_of_the_package(bare: dict[str, Any]):
    energy, n, groups = torch.tensor([0.0, 1.0, -1.0]), 3, 20_000
    x = torch.tensor([0, 1, 2]).repeat(groups)
    kept, ess = bare["resample"](x, energy, n, generator=torch.Generator().manual_seed(0))
    packaged = resampling(lambda rows: energy[rows], x, group_size=n, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ess, packaged.info["ess"])
    p = torch.softmax(-energy, dim=0)
    for drawn in (kept, packaged.x):
        share = torch.bincount(drawn, minlength=3) / groups
        assert ((share - p).abs() <= 5 * (p * (1 - p) / groups).sqrt()).all()
