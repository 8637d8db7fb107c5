from __future__ import annotations

import pytest
import torch

from ebm_course.core import energies_of
from ebm_course.energies.mlp import MLP


def test_one_energy_a_row_and_one_row_is_no_special_case():
    model = MLP(3, width=8, n_layers=2)
    x = torch.randn(5, 3)
    e = energies_of(model, x)
    torch.testing.assert_close(torch.cat([energies_of(model, row[None]) for row in x]), e)


def test_energy_equals_its_layers_by_hand():
    model = MLP(2, width=4, n_layers=1, confinement=0.5)
    x = torch.randn(6, 2)
    first, _, last = model.net
    h = x @ first.weight.T + first.bias
    expected = (h * torch.sigmoid(h)) @ last.weight[0] + last.bias + 0.25 * (x**2).sum(1)
    torch.testing.assert_close(model(x), expected)


def test_confinement_wins_far_away():
    far = 1e3 * torch.nn.functional.normalize(torch.randn(100, 2), dim=1)
    assert (MLP(2, confinement=1.0)(far) > 4e5).all()


def test_layers_are_counted_as_hidden_ones():
    assert sum(isinstance(m, torch.nn.Linear) for m in MLP(2, n_layers=3).modules()) == 4


def test_other_shapes_and_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(N, 2\): got shape \(5, 3\)"):
        MLP(2)(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="got 2, 128, 0 and"):
        MLP(2, n_layers=0)


def test_a_confinement_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="confinement of 0 or larger"):
        MLP(2, confinement=float("nan"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_points_of_another_type_than_the_weights_are_refused_with_the_remedy(dtype: torch.dtype):
    net, x = MLP(2, width=8), torch.zeros(3, 2)
    remedy = rf", or energy\.to\({dtype}\)" if dtype.is_floating_point else ""
    with pytest.raises(ValueError, match=rf"got {dtype}\. Use x\.to\(torch\.float32\){remedy}\."):
        net(x.to(dtype))
    with torch.autocast("cpu"):
        assert net(x.bfloat16()).shape == net(x).shape == (3,)
