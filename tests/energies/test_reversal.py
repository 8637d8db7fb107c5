from __future__ import annotations

import pytest
import torch

from ebm_course.energies.reversal import reversed_within


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 2), (3, 5, 2, 2)])
def test_each_row_is_turned_inside_its_own_length(shape):
    x, lengths = torch.randn(shape, generator=torch.Generator().manual_seed(0)), torch.tensor([5, 1, 3])
    mask = torch.arange(5) < lengths[:, None]
    found = reversed_within(x, mask)
    for n, length in enumerate(lengths):
        assert torch.equal(found[n, :length], x[n, :length].flip(0))
        assert torch.equal(found[n, length:], x[n, length:])
    assert torch.equal(reversed_within(found, mask), x)


def test_without_a_mask_whole_rows_are_turned():
    x = torch.arange(6).view(2, 3)
    assert torch.equal(reversed_within(x, None), x.flip(1))
    assert torch.equal(reversed_within(x, torch.ones(2, 3, dtype=torch.bool)), x.flip(1))


@pytest.mark.parametrize("mask", [[[True, False, True]], [[True, False]], [[False, True, True]]])
def test_a_mask_with_a_hole_or_of_another_shape_is_refused(mask: list[list[bool]]) -> None:
    with pytest.raises(ValueError, match=r"mask says which tokens are real|begins with a pad or has one inside"):
        reversed_within(torch.tensor([[1, 2, 3]]), torch.tensor(mask))
