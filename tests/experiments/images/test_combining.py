"""The grid of combined inference: its stages on an energy with known steps, and a choice blind to the score."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Energy, Negatives
from ebm_course.energies.joint import Joint
from ebm_course.experiments.images import combining
from ebm_course.experiments.images.combining import Setting, chosen, grid, samples, scored, settings
from ebm_course.experiments.images.config import SMOKE
from ebm_course.experiments.images.quality import Reference
from ebm_course.experiments.images.sampling import Starts, starts, ways
from ebm_course.samplers.class_gaussians import ClassGaussians
from ebm_course.samplers.pgd import pgd

CONFIG = replace(SMOKE, noise_std=0.0, step_size=0.1)


def begin(n: int = 30, seed: int = 0) -> Starts:
    generator = torch.Generator().manual_seed(seed)
    x = 0.2 * (2 * torch.rand(n, 1, 2, 2, generator=generator) - 1)
    return Starts(x, x.flip(0), torch.arange(n) % 2)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def sign(start: Starts) -> Tensor:
    return (1 - 2 * start.classes.float()).view(-1, 1, 1, 1)


def stepped(x: Tensor, n: int) -> Tensor:
    """n steps on E(x) = -log(2 cosh s) of the sum s of the pixels."""
    for _ in range(n):
        x = x + CONFIG.step_size * x.flatten(1).sum(dim=1).tanh().view(-1, 1, 1, 1)
    return x


def test_every_setting_is_attack_then_contrast_then_steps(slope: nn.Module) -> None:
    start, joint = begin(), Joint(slope)
    found = dict(samples(joint, start, CONFIG, generator(), settings(CONFIG)))
    assert len(found) == 2 * (
        2 * 3 + 2 * 2 + 3
    )  # radii; contrasts and numbers of steps on E(x, y), on E(x), from noise
    for setting, x in found.items():
        x0 = start.gaussians if setting.start == "gaussians" else start.noise
        attacked = (x0 + setting.radius * sign(start)).clamp(-1, 1)
        expected = setting.contrast * attacked
        if setting.energy == "class":
            expected = expected + setting.n_steps * CONFIG.step_size * sign(start)
        else:
            expected = stepped(expected, setting.n_steps)
        torch.testing.assert_close(x, expected)


def test_settings_that_differ_in_what_follows_the_attack_share_one(
    slope: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, original = [], combining.attacked
    monkeypatch.setattr(combining, "attacked", lambda *given: made.append(given[3]) or original(*given))
    list(samples(Joint(slope), begin(), CONFIG, generator(), settings(CONFIG)))
    assert made == [*CONFIG.grid_radii] * 2  # from class Gaussians, from noise


def test_the_paper_s_setting_of_the_grid_is_its_combined_inference(slope: nn.Module) -> None:
    start, joint = begin(), Joint(slope)
    whole = dict(ways(joint, start, CONFIG, generator()))["combined"]
    setting = Setting("gaussians", CONFIG.radius, CONFIG.contrast, "class", CONFIG.n_many)
    torch.testing.assert_close(dict(samples(joint, start, CONFIG, generator(), settings(CONFIG)))[setting], whole)
    [(only, x)] = samples(joint, start, CONFIG, generator(), [setting])
    assert only == setting
    torch.testing.assert_close(x, whole)


def test_a_chain_begins_at_the_gaussian_of_its_own_class_and_noise_lies_in_the_range_of_pixels() -> None:
    means = torch.tensor([-0.9, 0.0, 0.9])
    y = torch.arange(30) % 3
    x = means[y].view(-1, 1, 1, 1) + 0.01 * torch.randn(30, 1, 2, 2, generator=generator())
    start = starts(ClassGaussians.fit(x, y, 3), 40, generator())
    nearest = (start.gaussians.flatten(1).mean(dim=1)[:, None] - means).abs().argmin(dim=1)
    assert torch.equal(nearest, start.classes) and len(start.classes.unique()) == 3
    assert -1 <= float(start.noise.min()) < -0.8 and 0.8 < float(start.noise.max()) <= 1


def test_ways_are_steps_from_class_gaussians_or_noise_and_attacks(slope: nn.Module) -> None:
    start, joint = begin(), Joint(slope)
    found = dict(ways(joint, start, CONFIG, generator()))
    assert list(found) == ["short", "long", "noise", "towards", "combined"]
    torch.testing.assert_close(found["towards"], start.gaussians + CONFIG.radius * sign(start))
    torch.testing.assert_close(found["short"], stepped(start.gaussians, CONFIG.n_few))
    torch.testing.assert_close(found["long"], stepped(start.gaussians, CONFIG.n_many))
    torch.testing.assert_close(found["noise"], stepped(start.noise, CONFIG.n_many))


def test_steps_have_the_noise_of_the_configuration(slope: nn.Module) -> None:
    config, start, joint = replace(CONFIG, noise_std=0.3), begin(200), Joint(slope)
    [(_, x)] = samples(joint, start, config, generator(), [Setting("gaussians", 0.0, 1.0, "class", 1)])
    found, once = dict(ways(joint, start, config, generator())), config.step_size * sign(start)
    attacked = config.contrast * (start.gaussians + config.radius * sign(start))
    for moved, where, n in (
        (x, start.gaussians + once, 1),
        (found["short"], stepped(start.gaussians, 1), config.n_few),
        (found["combined"], attacked + config.n_many * once, config.n_many),
    ):
        std = 0.3 * n**0.5
        assert (moved - where).std().item() == pytest.approx(std, abs=5 * std / (2 * moved.numel()) ** 0.5)


def test_attacks_have_as_many_steps_as_the_configuration_says(
    slope: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def noted(energy: Energy, x0: Tensor, **options: Any) -> Negatives:
        taken.append(options["n_steps"])
        return pgd(energy, x0, **options)

    for module in ("experiments.images.sampling", "samplers.combined"):
        monkeypatch.setattr(f"ebm_course.{module}.pgd", noted)
    config, start, joint = replace(CONFIG, n_attack_steps=7), begin(), Joint(slope)
    dict(ways(joint, start, config, generator()))  # towards a class, and combined inference
    dict(samples(joint, start, config, generator(), [Setting("gaussians", 0.5, 0.8, "class", 2)]))
    assert taken == [7, 7, 7]


def test_the_grid_says_how_far_samples_went_and_how_low_they_lie(slope: nn.Module) -> None:
    start, joint = begin(), Joint(slope)
    reference = Reference(slope, begin(seed=5).gaussians, begin(seed=6).gaussians)
    rows = grid(joint, reference, start, CONFIG, generator())
    still, far = rows[0], rows[-1]
    assert (still["radius"], still["contrast"], still["n_steps"], still["moved"]) == (0.0, 1.0, 0, 0.0)
    expected = -(sign(start)[:, 0, 0, 0] * start.gaussians.flatten(1).sum(dim=1)).mean()
    assert still["mean_energy"] == pytest.approx(float(expected), abs=1e-6)
    assert far["moved"] > 0.4 and far["mean_energy"] < -1 and still["outside"] == 0
    *_, (setting, x) = samples(joint, start, CONFIG, generator(), settings(CONFIG))
    assert setting == combining.setting_of(far) and setting.start == "noise"
    moved = (x - start.noise).flatten().tolist()
    assert far["moved"] == pytest.approx(math.sqrt(math.fsum(d * d for d in moved) / len(moved)), rel=1e-5)
    large = replace(CONFIG, step_size=1.0)
    *_, (_, x) = samples(joint, start, large, generator(), settings(large))
    far, share = grid(joint, reference, start, large, generator())[-1], float((x.abs() > 1).float().mean())
    assert far["outside"] == pytest.approx(share) and share > 0.1  # before pixels are clamped to be judged


def row(setting: Setting, distance: float) -> dict[str, Any]:
    return {**setting._asdict(), "distance": distance}


def test_the_best_of_either_kind_is_chosen_and_neither_the_start_itself_nor_an_attack_alone() -> None:
    best, alone = Setting("gaussians", 0.1, 1.0, "class", 10), Setting("noise", 0.0, 1.0, "class", 50)
    rows = [
        row(Setting("gaussians", 0.0, 1.0, "class", 0), 0.0),
        row(Setting("gaussians", 0.0, 0.8, "class", 10), 0.1),
        row(Setting("gaussians", 0.1, 1.0, "class", 0), 0.2),
        row(best, 0.3),
        row(Setting("gaussians", 0.5, 0.8, "class", 50), 0.9),
        row(alone, 0.4),
        row(Setting("gaussians", 0.0, 1.0, "class", 50), 0.5),
    ]
    assert chosen(rows, "combined") == best and chosen(rows, "alone") == alone


def test_a_setting_chosen_on_what_is_scored_is_refused_and_other_starts_are_not(slope: nn.Module) -> None:
    reference = Reference(slope, begin(seed=5).gaussians, begin(seed=6).gaussians)
    setting, joint, start = Setting("gaussians", 0.5, 0.8, "class", 2), Joint(slope), begin()
    options: dict[str, Any] = {"config": CONFIG, "generator": generator()}
    assert scored(joint, setting, reference, start, **options, chosen_on=begin(seed=1))["distance"] > 0
    one_again = begin(seed=1)
    one_again.gaussians[3] = start.gaussians[7]
    with pytest.raises(ValueError, match="chosen on other samples than those scored"):
        scored(joint, setting, reference, start, **options, chosen_on=one_again)


def test_a_setting_s_name_says_all_of_it() -> None:
    assert Setting("noise", 0.3, 0.8, "class", 50).name == "noise/radius-0.3/contrast-0.8/class/steps-50"
    assert len({setting.name for setting in settings(CONFIG)}) == len(settings(CONFIG))
