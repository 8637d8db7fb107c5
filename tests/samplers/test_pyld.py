from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint
from ebm_course.energies.wide_resnet import WideResNet
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.pyld import pyld

SHAPE = (1, 8, 8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def joint(*, scale: float = 1.0, net: type[nn.Module] = ConvNet) -> Joint:
    """Steep where the scale is large: entries of its gradient then exceed 1."""
    torch.manual_seed(0)
    made = ConvNet(SHAPE, 5, width=8) if net is ConvNet else WideResNet(SHAPE, 5, depth=10, widen=1)
    with torch.no_grad():
        list(made.parameters())[-2].mul_(scale)
    return Joint(made)


def images(n: int = 6) -> Tensor:
    return 2 * torch.rand(n, *SHAPE, generator=generator(1)) - 1


class Bent(nn.Module):
    """E(x) = |tanh(W x)|^2 / 2, whose first layer is not affine, by its two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3, bias=False)
        nn.init.eye_(self.linear.weight)

    def first_layer(self, x: Tensor) -> Tensor:
        return self.linear(x).tanh()

    def from_first_layer(self, h: Tensor) -> Tensor:
        return h.square().sum(dim=1) / 2

    def forward(self, x: Tensor) -> Tensor:
        return self.from_first_layer(self.first_layer(x))


def test_two_inner_steps_by_hand_through_a_layer_that_is_not_affine() -> None:
    x0 = torch.tensor([[0.5, -0.2, 0.0]])
    p = x0.tanh()  # the gradient of |h|^2 / 2
    x1 = x0 - 0.1 * p * (1 - x0.tanh() ** 2)
    x2 = x1 - 0.1 * p * (1 - x1.tanh() ** 2)
    found = pyld(Bent(), x0, n_outer=1, n_inner=2, step_size=0.1, generator=generator())
    torch.testing.assert_close(found.x, x2)
    torch.testing.assert_close(found.info["grad_norm"], (p * (1 - x0.tanh() ** 2)).norm(dim=1))
    longer = langevin(Bent(), x0, n_steps=1, step_size=0.2, noise_std=0.0, generator=generator()).x
    assert (found.x - longer).abs().max() > 1e-4  # there the finding below does not hold


@pytest.mark.parametrize("noise_std", [0.0, 0.05])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_with_one_inner_step_it_is_the_plain_sampler(noise_std: float, scale: float) -> None:
    energy, x0 = joint(scale=scale), images()
    alike: dict[str, Any] = {"step_size": 0.3, "noise_std": noise_std, "max_grad_value": 1.0, "bounds": (-1.0, 1.0)}
    plain = langevin(energy, x0, n_steps=5, generator=generator(2), **alike)
    found = pyld(energy, x0, n_outer=5, n_inner=1, generator=generator(2), **alike)
    torch.testing.assert_close(found.x, plain.x, atol=2e-5, rtol=0)
    torch.testing.assert_close(found.info["energy"], plain.info["energy"], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.info["grad_norm"], plain.info["grad_norm"], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("net", [ConvNet, WideResNet])
@pytest.mark.parametrize("n_inner, noise_std", [(5, 0.0), (5, 0.02), (2, 0.02)])
def test_inner_steps_through_an_affine_layer_are_one_longer_step(
    net: type[nn.Module], n_inner: int, noise_std: float
) -> None:
    energy, x0 = joint(net=net), images() / 2
    alike: dict[str, Any] = {"noise_std": noise_std, "bounds": None, "generator": generator(2)}
    found = pyld(energy, x0, n_outer=10, n_inner=n_inner, step_size=0.2, max_grad_value=None, **alike)
    alike["generator"] = generator(2)
    plain = langevin(energy, x0, n_steps=10, step_size=0.2 * n_inner, **alike)
    assert (found.x - x0).abs().max() > 0.05
    torch.testing.assert_close(found.x, plain.x, atol=2e-5, rtol=0)


def test_clamped_gradients_and_the_box_do_not_part_them_without_noise() -> None:
    energy, x0 = joint(scale=300.0), images()
    alike: dict[str, Any] = {"noise_std": 0.0, "max_grad_value": 1.0, "bounds": (-1.0, 1.0)}
    found = pyld(energy, x0, n_outer=4, n_inner=5, step_size=0.05, generator=generator(), **alike)
    plain = langevin(energy, x0, n_steps=4, step_size=0.25, generator=generator(), **alike)
    torch.testing.assert_close(found.x, plain.x, atol=2e-5, rtol=0)
    assert (found.x.abs() == 1).float().mean() > 0.1  # the box is met
    free = langevin(energy, x0, n_steps=4, step_size=0.25, generator=generator(), **{**alike, "max_grad_value": None})
    assert (free.x - plain.x).abs().max() > 0.01  # and so is the limit


def test_noise_comes_with_the_last_inner_step_and_before_its_clamping() -> None:
    class Slope(Bent):
        def first_layer(self, x: Tensor) -> Tensor:
            return self.linear(x)

        def from_first_layer(self, h: Tensor) -> Tensor:
            return -h.sum(dim=1)

    x0, noise = torch.full((2_000, 3), 0.9), torch.randn(2_000, 3, generator=generator(5))
    options: dict[str, Any] = {"step_size": 0.08, "noise_std": 0.3, "generator": generator(5)}
    found = pyld(Slope(), x0, n_outer=1, n_inner=3, **options).x  # 0.98, then 1 at the face
    torch.testing.assert_close(found, (1 + 0.08 + 0.3 * noise).clamp(-1, 1))
    assert (found == 1).float().mean() > 0.5


def test_noise_at_the_faces_of_the_box_parts_them() -> None:
    energy, x0 = joint(scale=300.0), images()
    alike: dict[str, Any] = {"noise_std": 0.1, "max_grad_value": 1.0, "bounds": (-1.0, 1.0)}
    found = pyld(energy, x0, n_outer=1, n_inner=5, step_size=0.05, generator=generator(), **alike)
    plain = langevin(energy, x0, n_steps=1, step_size=0.25, generator=generator(), **alike)
    apart = (found.x - plain.x).abs()
    assert apart.max() > 0.01 and (apart < 1e-6).float().mean() > 0.3
    assert found.x.abs().max() <= 1


def test_the_published_plain_step_before_the_inner_ones_makes_them_longer_by_1() -> None:
    energy, x0 = joint(), images() / 2
    free: dict[str, Any] = {"noise_std": 0.0, "bounds": None}
    first = langevin(energy, x0, n_steps=1, step_size=1.0, generator=generator(), **free).x
    grad = x0 - first  # p belongs to x0 in that code, so the inner steps go on along the gradient there
    whole = langevin(energy, x0, n_steps=1, step_size=2.0, generator=generator(), **free).x
    inner = pyld(energy, x0, n_outer=1, n_inner=5, step_size=0.2, max_grad_value=None, generator=generator(), **free).x
    torch.testing.assert_close(inner - grad, whole, atol=2e-5, rtol=0)


def test_without_noise_chains_from_one_start_stay_together() -> None:
    x0 = images(1).expand(4, *SHAPE)
    x = pyld(joint(), x0, n_outer=5, n_inner=2, step_size=0.2, generator=generator()).x
    torch.testing.assert_close(x, x[:1].expand_as(x), atol=1e-6, rtol=0)


def test_the_rest_of_the_net_is_passed_once_an_outer_step() -> None:
    energy = joint()
    passes = {"first": 0, "rest": 0}
    energy.classifier.first.register_forward_hook(lambda *_: passes.update(first=passes["first"] + 1))
    energy.classifier.hidden.register_forward_hook(lambda *_: passes.update(rest=passes["rest"] + 1))
    pyld(energy, images(), n_outer=3, n_inner=4, step_size=0.2, generator=generator())
    assert passes == {"first": 3 * 5 + 1, "rest": 3 + 1}  # and once for the energies at the end
    found = pyld(energy, images(), n_outer=3, n_inner=4, step_size=0.2, with_energy=False, generator=generator())
    assert set(found.info) == {"grad_norm"}
    assert passes == {"first": 2 * 3 * 5 + 1, "rest": 2 * 3 + 1}


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"n_inner": 0}, "n_inner is a whole number: expected 1 or larger, got 0"),
        ({"step_size": 0.0}, "expected step_size > 0"),
        ({"noise_std": -1.0}, "expected step_size > 0, noise_std >= 0"),
        ({"max_grad_value": 0.0}, "max_grad_value > 0 or None"),
        ({"step_size": torch.nan}, "expected step_size > 0"),
        ({"bounds": (1.0, 1.0)}, "low < high"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    options = {"n_outer": 1, "n_inner": 1, "step_size": 0.1, "generator": generator(), **wrong}
    with pytest.raises(ValueError, match=message):
        pyld(joint(), images(), **options)


def test_an_energy_in_one_piece_is_refused_with_what_does_the_same() -> None:
    options: dict[str, Any] = {"n_outer": 1, "n_inner": 5, "step_size": 0.1}
    given = joint().given(torch.zeros(6, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"got Conditioned\. Use langevin with a step of n_inner \* step_size"):
        pyld(given, images(), generator=generator(), **options)
    with pytest.raises(TypeError, match=r"the classifier has no first layer apart: got Flatten"):
        pyld(Joint(nn.Flatten()), images(), generator=generator(), **options)


def test_by_default_an_entry_of_the_gradient_is_clamped_to_1_as_published() -> None:
    energy, x0 = joint(scale=100.0), images() / 2
    options: dict[str, Any] = {"n_outer": 1, "n_inner": 1, "step_size": 0.01}
    found = [pyld(energy, x0, generator=generator(), **options, **more).x for more in ({}, {"max_grad_value": 1.0})]
    assert torch.equal(*found)
    assert (found[0] - x0).abs().max().item() == pytest.approx(0.01, rel=1e-4)


def test_whole_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match=r"real-valued states, got torch\.int64"):
        pyld(joint(), images().long(), n_outer=1, n_inner=1, step_size=0.1, generator=generator())


def test_limits_larger_than_the_numbers_of_the_states_are_none() -> None:
    options: dict[str, Any] = {"n_outer": 2, "n_inner": 2, "step_size": 0.1}
    x = pyld(joint(), images(), max_grad_value=None, bounds=None, generator=generator(), **options).x
    huge: dict[str, Any] = {"max_grad_value": 1e300, "bounds": (-1e300, 1e300)}
    assert torch.equal(pyld(joint(), images(), generator=generator(), **huge, **options).x, x)
