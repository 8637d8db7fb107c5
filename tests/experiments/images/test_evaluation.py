"""What is measured of a classifier, where the answer is known: attacks, foreign images, the gap."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Negatives
from ebm_course.energies.joint import Joint
from ebm_course.experiments.images import evaluation
from ebm_course.experiments.images.config import SMOKE
from ebm_course.experiments.images.evaluation import classified, foreign_images, gap, told_apart
from ebm_course.runtime import Run

RUN = Run(torch.device("cpu"), 0)


class Mean(nn.Module):
    """Two classes by the sign of the mean pixel: an attack beats an image whose mean is nearer to 0 than its radius."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, x: Tensor) -> Tensor:
        m = self.scale * x.flatten(1).mean(dim=1)
        return torch.stack([m, -m], dim=1)


def test_attacks_beat_exactly_the_images_within_their_radius() -> None:
    means = torch.tensor([0.05, 0.15, 0.25, 0.6, -0.05, -0.15, -0.25, -0.6])
    test = Batch(means.view(-1, 1, 1, 1).expand(-1, 1, 2, 2), (means < 0).long())
    config = replace(SMOKE, radii=(0.1, 0.2, 0.3, 0.5), n_attack_steps=20)
    found = classified(Joint(Mean()), test, config, RUN)
    assert found["accuracy"] == 1
    assert [found[f"pgd-{r}"] for r in (0.1, 0.2, 0.3, 0.5)] == [0.75, 0.5, 0.25, 0.25]
    certain = torch.sigmoid(16 * means.abs())
    assert found["calibration"] == pytest.approx(float(1 - certain.mean()), abs=1e-5)


def test_attacks_of_every_radius_have_a_stream_of_their_own_and_the_steps_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds, asked = list[int](), list[tuple[float, int]]()

    def attacked(energy: object, x: Tensor, *, generator: torch.Generator, **options: Any) -> Negatives:
        seeds.append(generator.initial_seed())
        asked.append((options["radius"], options["n_steps"]))
        return Negatives(x)

    monkeypatch.setattr(evaluation, "pgd", attacked)
    test = Batch(torch.full((3, 1, 2, 2), 0.5), torch.zeros(3).long())
    classified(Joint(Mean()), test, replace(SMOKE, radii=(0.1, 0.2, 0.3), n_attack_steps=7), RUN)
    assert len(set(seeds)) == 3 and asked == [(0.1, 7), (0.2, 7), (0.3, 7)]


def test_foreign_images_are_what_they_are_called() -> None:
    x = 2 * torch.rand(20, 3, 4, 4, generator=torch.Generator().manual_seed(0)) - 1
    found = foreign_images(x, torch.zeros_like(x), torch.Generator().manual_seed(0))
    assert {y.shape for y in found.values()} == {x.shape}
    assert torch.equal(found["inverted"], -x) and not torch.equal(found["shuffled"], x)
    pixels, moved = (y.flatten(2).mT for y in (x, found["shuffled"]))  # (N, H W, C): channels stay together
    assert all((p[:, None] == m[None]).all(dim=2).any(dim=1).all() for p, m in zip(pixels, moved, strict=True))
    torch.testing.assert_close(found["mixes"][1:], (x[1:] + x[:-1]) / 2)
    assert -1 <= float(found["noise"].min()) < -0.9


def test_the_pixels_of_each_image_are_shuffled_in_an_order_of_its_own() -> None:
    one = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)
    found = foreign_images(one.expand(8, 1, 4, 4), torch.zeros(8, 1, 4, 4), torch.Generator().manual_seed(0))
    assert len(found["shuffled"].flatten(1).unique(dim=0)) == 8


def test_data_far_from_the_border_is_told_from_what_lies_on_it_by_every_score_that_sees_it() -> None:
    data, border = torch.full((5, 1, 2, 2), 0.9), torch.full((5, 1, 2, 2), 0.01)
    found = told_apart(Joint(Mean()), data, {"border": border, "same": data.clone()})
    assert found["border"]["logsumexp"] == found["border"]["max_probability"] == 1.0
    assert found["border"]["approximate_mass"] == 0.0  # flat at the border, steep elsewhere
    assert found["same"] == dict.fromkeys(("logsumexp", "max_probability", "approximate_mass"), 0.5)


def test_the_gap_is_the_energy_of_data_minus_that_of_samples() -> None:
    data, low = torch.zeros(3, 1, 2, 2), torch.ones(4, 1, 2, 2)
    expected = -math.log(2) + math.log(math.exp(8) + math.exp(-8))
    assert gap(Joint(Mean()), data, low) == pytest.approx(expected, rel=1e-5)
