from __future__ import annotations

import pytest
import torch
from torch import nn

from ebm_course.core import Conditioned
from ebm_course.samplers.gradients import chains_at_once, gradients_of


def test_on_a_cpu_large_images_go_in_pieces_and_small_ones_do_not() -> None:
    found = {shape: chains_at_once(None, torch.zeros(64, *shape)) for shape in [(2,), (1, 8, 8), (1, 28, 28)]}
    assert found == {(2,): 2_500, (1, 8, 8): 1_024, (1, 28, 28): 83}
    assert chains_at_once(None, torch.zeros(64, 3, 32, 32)) == 21
    assert chains_at_once(None, torch.zeros(64, 3, 224, 224)) == 16
    assert chains_at_once(7, torch.zeros(64, 3, 32, 32)) == 7


def test_elsewhere_all_go_at_once() -> None:
    assert chains_at_once(None, torch.zeros(5_000, 3, 32, 32, device="meta")) == 5_000
    assert chains_at_once(None, torch.zeros(0, 3, 32, 32, device="meta")) == 1


def test_no_states_and_states_without_entries_have_a_default_too() -> None:
    assert chains_at_once(None, torch.zeros(0, 1, 8, 8)) == 1_024
    assert chains_at_once(None, torch.zeros(4, 1, 0, 8)) == 65_536


def test_fewer_chains_than_one_are_refused() -> None:
    with pytest.raises(ValueError, match="max_rows is a whole number: expected 1 or larger, got 0"):
        chains_at_once(0, torch.zeros(1, 2))


@pytest.mark.parametrize("max_rows", [1, 3, 7, 8])
def test_gradients_in_pieces_are_those_of_each_row(max_rows: int) -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)), torch.randn(7, 4)
    (expected,) = torch.autograd.grad(net(at := x.clone().requires_grad_()).sum(), at)
    torch.testing.assert_close(gradients_of(net, x, max_rows), expected)
    centres = torch.arange(7.0)[:, None]
    given = Conditioned(lambda c, x: (x - c).square().sum(dim=1) / 2, centres)
    torch.testing.assert_close(gradients_of(given, x, max_rows), x - centres)
    torch.testing.assert_close(gradients_of(lambda x: x.square().sum(dim=1) / 2, x, max_rows), x)
