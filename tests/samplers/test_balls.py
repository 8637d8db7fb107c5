from __future__ import annotations

import torch

from ebm_course.samplers.balls import in_unit_ball, length, unit


def test_directions_have_length_one_where_squares_would_vanish_or_overflow() -> None:
    x = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-30, 1.0, 1e30]).view(
        3, 1, 1
    )
    torch.testing.assert_close(unit(x).flatten(1).norm(dim=1), torch.ones(3))
    assert unit(torch.zeros(2, 3)).eq(0).all() and length(torch.zeros(2, 3)).gt(0).all()


def test_points_are_uniform_in_the_ball_of_the_entries_that_are_not_masked() -> None:
    n, d = 20_000, 3
    mask = torch.tensor([True, False, True, True, False]).expand(n, 5)
    points = in_unit_ball(torch.zeros(n, 5), mask=mask, generator=torch.Generator().manual_seed(0))
    assert points[:, [1, 4]].eq(0).all()
    for radius in (0.3, 0.6, 0.9):
        p = radius**d  # the share of the volume
        share = (points.norm(dim=1) <= radius).float().mean().item()
        assert abs(share - p) < 5 * (p * (1 - p) / n) ** 0.5
