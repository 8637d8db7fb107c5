from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint
from ebm_course.samplers.combined import combined
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.pgd import pgd

SHAPE, TARGET = (1, 8, 8), torch.tensor([3, 1, 4, 1])
OPTIONS: dict[str, Any] = {"radius": 0.5, "n_pgd_steps": 6, "contrast": 0.8, "n_steps": 4, "step_size": 1.0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def joint() -> Joint:
    torch.manual_seed(0)
    return Joint(ConvNet(SHAPE, 5, width=8)).eval()


def images() -> Tensor:
    return 2 * torch.rand(4, *SHAPE, generator=generator(1)) - 1


def go(model: Joint, x0: Tensor, **changes: Any):
    energies = {"attack": model.negative_log_likelihood(TARGET)}
    return combined(model.given(TARGET), x0, **{**OPTIONS, **energies, "generator": generator(), **changes})


def test_it_is_the_attack_then_less_contrast_then_langevin_steps() -> None:
    model, x0 = joint(), images()
    found = go(model, x0, noise_std=0.01, keep_stages=True)
    attack = pgd(
        model.negative_log_likelihood(TARGET), x0, radius=0.5, n_steps=6, random_start=False, generator=generator()
    )
    paler = 0.8 * attack.x
    moved = langevin(model.given(TARGET), paler, n_steps=4, step_size=1.0, noise_std=0.01, generator=generator())
    for stage, expected in zip(found.path, (x0, attack.x, paler, moved.x), strict=True):
        torch.testing.assert_close(stage, expected)
    assert torch.equal(found.x, found.path[-1])
    assert set(found.info) == {"energy", "grad_norm", "attack_energy"}
    torch.testing.assert_close(found.info["attack_energy"], model.negative_log_likelihood(TARGET)(attack.x).detach())
    torch.testing.assert_close(found.info["energy"], model.given(TARGET)(found.x).detach())


def test_the_attack_makes_its_class_likelier_and_langevin_steps_lower_its_energy() -> None:
    model, x0 = joint(), images()
    found = go(model, x0, noise_std=0.0, keep_stages=True)
    assert (found.info["attack_energy"] < model.negative_log_likelihood(TARGET)(x0)).all()
    assert (found.info["energy"] < model.given(TARGET)(found.path[2])).all()


@pytest.mark.parametrize("bounds, middle", [((-1.0, 1.0), 0.0), ((-1.0, 3.0), 1.0), ((-2.0, 1.0), -0.5), (None, 0.0)])
def test_contrast_shrinks_every_entry_towards_the_middle_of_the_box(
    bounds: tuple[float, float] | None, middle: float
) -> None:
    path = go(joint(), images(), bounds=bounds, keep_stages=True).path
    torch.testing.assert_close(path[2], middle + 0.8 * (path[1] - middle))
    if bounds is not None:  # the same room to either face, for a bright image as for a dark one
        half = (bounds[1] - bounds[0]) / 2
        assert (path[2] - middle).abs().max() <= 0.8 * half + 1e-6


def test_stages_can_be_switched_off_one_by_one() -> None:
    model, x0 = joint(), images()
    nothing: dict[str, Any] = {"radius": 0.0, "contrast": 1.0, "n_steps": 0}
    assert torch.equal(go(model, x0, **nothing).x, x0)
    for stage in ("radius", "contrast", "n_steps"):
        assert not torch.equal(go(model, x0, **{**nothing, stage: OPTIONS[stage]}).x, x0)


def test_langevin_steps_are_free_to_leave_the_box_unless_theirs_is_given() -> None:
    model, x0 = joint(), images()
    far: dict[str, Any] = {"contrast": 1.0, "noise_std": 1.0}
    assert go(model, x0, **far).x.abs().max() > 1
    assert go(model, x0, sampler_bounds=(-1.0, 1.0), **far).x.abs().max() <= 1
    assert go(model, x0, keep_stages=True, **far).path[1].abs().max() <= 1


def test_options_reach_their_stages() -> None:
    model, x0 = joint(), images()
    by_norm = go(model, x0, norm="l2", pgd_step_size=0.1, keep_stages=True).path
    length = (by_norm[1] - x0).flatten(1).norm(dim=1)
    assert (length <= 0.5 + 1e-6).all() and (length > 0.1).all()
    attack: dict[str, Any] = {"radius": 0.5, "n_steps": 6, "step_size": 0.1, "norm": "l2", "random_start": False}
    expected = pgd(model.negative_log_likelihood(TARGET), x0, generator=generator(), **attack).x
    torch.testing.assert_close(by_norm[1], expected)
    limited = go(model, x0, noise_std=0.0, max_grad_value=1e-4, keep_stages=True).path
    assert (limited[3] - limited[2]).abs().max() <= 4e-4 + 1e-6


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"contrast": 1.5}, "contrast is a factor: expected 0 to 1, got 1.5"),
        ({"contrast": torch.nan}, "expected 0 to 1, got nan"),
        ({"n_pgd_steps": -1}, "n_pgd_steps is a whole number"),
        ({"radius": -0.1}, "expected radius >= 0"),
        ({"step_size": 0.0}, "expected step_size > 0"),
        ({"bounds": (0.0, 1.0)}, "x0 has entries out of the bounds"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        go(joint(), images(), **wrong)


def test_flags_of_both_energies_are_restored() -> None:
    model = joint().train()
    attacked = Joint(ConvNet(SHAPE, 5, width=8)).train()
    go(model, images(), attack=attacked.negative_log_likelihood(TARGET))
    for net in (model, attacked):
        assert net.training and net.classifier.training and all(p.requires_grad for p in net.parameters())
        assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("bounds", [(-1.0, float("inf")), (-float("inf"), float("inf"))])
def test_a_box_without_a_middle_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"the box has a middle: expected finite bounds, got \(-.*inf\)"):
        go(joint(), images(), bounds=bounds)


@pytest.mark.parametrize(
    "wrong", [{"step_size": -1.0}, {"noise_std": torch.nan}, {"max_grad_value": 0.0}, {"sampler_bounds": (1.0, -1.0)}]
)
def test_settings_of_the_steps_are_refused_before_the_attack(wrong: dict[str, Any]) -> None:
    def never(x: Tensor) -> Tensor:
        raise AssertionError("the attack has begun")

    with pytest.raises(ValueError, match=r"expected step_size > 0|low < high"):
        go(joint(), images(), attack=never, **wrong)
