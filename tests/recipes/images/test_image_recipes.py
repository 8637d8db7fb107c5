"""The image recipes whole: they learn, resume, refuse what they cannot do, and stop where chains run away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.commands import choices
from ebm_course.core import Batch, Task
from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint
from ebm_course.energies.wide_resnet import WideResNet
from ebm_course.recipes.images import classifier, jem, parts, robust_classifier, robust_jem
from ebm_course.recipes.images.chains import Chains, class_gaussians, langevin_steps, pyld_steps, uniform
from ebm_course.recipes.images.gap_watch import DivergedError
from ebm_course.recipes.images.parts import Data, rate_factor
from ebm_course.recipes.shared import Fitted
from ebm_course.runtime import Run
from ebm_course.samplers.pgd import pgd
from ebm_course.tasks.images import digits, score

RECIPES = (classifier, jem, robust_classifier, robust_jem)
RUN = Run(torch.device("cpu"), 0)


def fitted(recipe: ModuleType, config: Any, *, run: Run = RUN, folder: Path | None = None) -> Fitted:
    torch.manual_seed(run.seed)
    found: Fitted = recipe.fit(config, run, folder=folder, progress=False)
    return found


def accuracy(net: torch.nn.Module, batch: Batch, *, radius: float = 0.0) -> float:
    """On images moved by PGD of 20 steps, from nearby starts."""
    assert batch.y is not None
    attack = Joint(net).log_likelihood(batch.y)
    x = pgd(attack, batch.x, radius=radius, n_steps=20, generator=torch.Generator().manual_seed(0)).x
    with torch.no_grad():
        return float((net(x).argmax(1) == batch.y).float().mean())


def test_a_classifier_learns_digits_in_a_few_seconds() -> None:
    net, rows, *_ = fitted(classifier, replace(classifier.NOTEBOOK, n_steps=150))
    test = digits().test
    assert accuracy(net, test) > 0.95 and not net.training
    assert rows[-1]["valid_accuracy"] > 0.95 and rows[-1]["loss"] < 0.2 < rows[0]["loss"]


@pytest.mark.slow
def test_adversarial_training_makes_robust_what_is_not() -> None:
    test = digits().test
    plain, robust = (fitted(r, replace(r.NOTEBOOK, n_steps=300)).module for r in (classifier, robust_classifier))
    assert accuracy(robust, test) > 0.9
    assert accuracy(plain, test, radius=0.3) < 0.4 < 0.6 < accuracy(robust, test, radius=0.3)


@pytest.mark.slow
def test_robust_jem_is_robust_and_its_gap_stays_small() -> None:
    net, rows, *_ = fitted(robust_jem, replace(robust_jem.NOTEBOOK, n_steps=400))
    assert accuracy(net, digits().test) > 0.85 and accuracy(net, digits().test, radius=0.3) > 0.5
    assert max(abs(row["energy_gap"]) for row in rows[-5:]) < 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_langevin_steps_of_ten_are_stopped_and_steps_of_one_repair_it(seed: int) -> None:
    config, run = replace(jem.NOTEBOOK, step_size=10.0, n_steps=300), replace(RUN, seed=seed)
    with pytest.raises(DivergedError, match=r"energy gap.*Langevin steps of step_size 10 .*Lower step_size"):
        fitted(jem, config, run=run)
    repaired = fitted(jem, replace(config, step_size=1.0), run=run)
    assert all(abs(row["energy_gap"]) < 5 for row in repaired.rows)


LIMIT: dict[str, Any] = {"gap_limit": 1.0, "watch_every": 1, "n_steps": 12, "step_size": 30.0}
"""Smoke size meets a limit after a few updates where steps are long."""


def test_a_run_that_may_go_back_counts_how_often_it_did() -> None:
    with pytest.raises(DivergedError, match=r"^update \d+: .*at most 1\. Langevin steps of step_size 30"):
        fitted(jem, replace(jem.SMOKE, **LIMIT))
    found = fitted(jem, replace(jem.SMOKE, **LIMIT, restarts=12))
    counts = [row["valid_restarts"] for row in found.rows if "valid_restarts" in row]
    assert counts == sorted(counts) and counts[-1] >= 1
    assert fitted(jem, jem.SMOKE).rows[-1]["valid_restarts"] == 0


@pytest.mark.parametrize("recipe, restarts", [*((recipe, 0) for recipe in RECIPES), (jem, 9), (robust_jem, 9)], ids=str)
def test_a_killed_run_ends_with_the_same_net_and_rows(
    recipe: ModuleType, restarts: int, tmp_path: Path, killed_at: Callable
) -> None:
    config = replace(recipe.SMOKE, n_steps=9, milestones=(0.5,), warm_up=3, pad=1)
    if restarts:
        config = replace(config, **LIMIT | {"n_steps": 9}, restarts=restarts)
    straight = fitted(recipe, config)
    assert (straight.rows[-1].get("valid_restarts", 0) > 0) == bool(restarts)  # the state to go back to is compared too
    with killed_at(parts, 5), pytest.raises(KeyboardInterrupt):  # of nine; the state of the third was saved
        fitted(recipe, config, folder=tmp_path)
    torch.manual_seed(99)  # what is drawn before the state is loaded does not matter
    resumed = recipe.fit(config, RUN, folder=tmp_path, progress=False)
    assert resumed.rows == straight.rows
    for name, value in straight.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], value)


def test_the_best_net_is_returned_where_asked_for_and_the_last_beside_it() -> None:
    config = replace(classifier.NOTEBOOK, n_steps=60, validate_every=10, rate=0.03, keep_best=True)
    net, rows, last, _ = fitted(classifier, config)
    valid = digits().valid
    nlls = [row["valid_nll"] for row in rows if "valid_nll" in row]
    with torch.no_grad():
        assert score(net(valid.x), valid)["nll"] == pytest.approx(min(nlls), rel=1e-5)
        net.load_state_dict(last or {})
        assert score(net(valid.x), valid)["nll"] == pytest.approx(nlls[-1], rel=1e-5)
    assert min(nlls) < nlls[-1]
    without, rows, last, _ = fitted(classifier, replace(config, keep_best=False))
    assert last is None and all(map(torch.equal, without.state_dict().values(), net.state_dict().values()))


def test_every_validation_reports_what_the_recipe_promises() -> None:
    expected = {"valid_nll", "valid_accuracy"}
    joint, robust = {"valid_energy_gap", "valid_restarts"}, {"valid_robust_accuracy"}
    for recipe, more in zip(RECIPES, (set(), joint, robust, joint | robust), strict=True):
        last = fitted(recipe, recipe.SMOKE).rows[-1]
        assert {name for name in last if name.startswith("valid")} == expected | more
        assert ("sample_grad_norm" in last) == ("energy_gap" in last) == bool(more & joint)


@pytest.mark.parametrize("options", [{"norm": "batch"}, {"norm": "group"}, {"slope": 0.0}])
def test_any_net_can_be_trained_as_a_robust_joint_model(options: dict[str, Any]) -> None:
    for net in (partial(ConvNet, width=8, **options), partial(WideResNet, depth=10, widen=1, **options)):
        rows = fitted(robust_jem, replace(robust_jem.SMOKE, net=net, n_steps=2)).rows
        assert rows[-1]["step"] == 2


@pytest.mark.parametrize("start", [class_gaussians, uniform])
def test_jem_plus_plus_steps_are_longer_plain_ones_where_nothing_is_clamped(start: Any) -> None:
    config = replace(jem.SMOKE, start=start, noise_std=0.0, bounds=None)
    plain = fitted(jem, replace(config, sampler=langevin_steps, step_size=1.0))
    split = fitted(jem, replace(config, sampler=pyld_steps, step_size=0.2, n_inner_steps=5))
    for row, other in zip(plain.rows, split.rows, strict=True):
        assert other == pytest.approx(row, rel=1e-3, abs=1e-4)  # rounding of float32 over six updates


def test_fresh_chains_come_from_the_data_or_from_everywhere() -> None:
    train = digits().train
    gaussian, even = (start(train, 10)(2_000, torch.Generator().manual_seed(0)) for start in (class_gaussians, uniform))
    assert gaussian.abs().max() <= 1 and even.abs().max() <= 1
    apart = [float((x.mean(0) - train.x.mean(0)).abs().mean()) for x in (gaussian, even)]
    assert apart[0] < 0.1 < 0.3 < apart[1]
    assert abs(float(even.mean())) < 5 / (3 * even.numel()) ** 0.5 and even.min() < -0.99


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_as_many_chains_begin_anew_as_the_configuration_says(share: float) -> None:
    config, task = replace(jem.SMOKE, restart_probability=share), digits()
    chains = Chains.of(config, Data(task.train, task.valid, (1, 8, 8), 10, score), RUN)
    x0, slots = chains.start(16, torch.Generator().manual_seed(0))
    fresh = chains.fresh(16, torch.Generator().manual_seed(0))
    assert chains.buffer is not None
    assert torch.equal(x0, fresh if share else chains.buffer.states[slots])


class Steep(torch.nn.Module):
    """E(x) = 100 times the sum of the pixels, with a first layer apart."""

    def first_layer(self, x: Tensor) -> Tensor:
        return 100.0 * x

    def from_first_layer(self, h: Tensor) -> Tensor:
        return h.flatten(1).sum(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.from_first_layer(self.first_layer(x))


@pytest.mark.parametrize("sampler, n_inner", [(langevin_steps, 1), (pyld_steps, 3)])
def test_the_numbers_of_a_configuration_reach_its_sampler(sampler: Any, n_inner: int) -> None:
    numbers: dict[str, Any] = {"n_sampler_steps": 2, "n_inner_steps": 3, "step_size": 0.01, "bounds": None}
    config, x0 = replace(jem.SMOKE, **numbers, noise_std=0.0, max_grad_value=0.5), torch.zeros(4, 1, 2, 2)

    def moved(config: jem.Config) -> Tensor:
        return sampler(config)(Steep(), x0, generator=torch.Generator().manual_seed(0)).x

    torch.testing.assert_close(moved(config), x0 - 2 * n_inner * 0.01 * 0.5)
    torch.testing.assert_close(moved(replace(config, max_grad_value=None)), x0 - 2 * n_inner * 0.01 * 100)
    assert moved(replace(config, max_grad_value=None, bounds=(-0.3, 0.3))).unique().tolist() == pytest.approx([-0.3])
    shaken = moved(replace(config, noise_std=1.0)) - moved(config)
    assert shaken.std() > 0.5


def test_fresh_chains_have_classes_as_often_as_the_data() -> None:
    train = Batch(torch.tensor([-0.5, 0.5, 0.5, 0.5]).repeat(4).view(16, 1, 1, 1), torch.tensor([0, 1, 1, 1] * 4))
    x = class_gaussians(train, 2)(2_000, torch.Generator().manual_seed(0))
    assert abs(float((x > 0).float().mean()) - 0.75) < 5 * (0.75 * 0.25 / 2_000) ** 0.5


def test_the_first_chains_of_a_buffer_are_those_of_the_run_s_seed() -> None:
    task = digits()
    data = Data(task.train, task.valid, (1, 8, 8), 10, score)
    buffers = [Chains.of(jem.SMOKE, data, replace(RUN, seed=seed)).buffer for seed in (0, 0, 1)]
    one, again, other = (buffer.states for buffer in buffers if buffer is not None)
    assert torch.equal(one, again) and not torch.equal(one, other) and len(one) == jem.SMOKE.buffer_size


def test_the_reported_energy_gap_is_that_of_validation_images_minus_the_buffers_chains() -> None:
    still = {"n_sampler_steps": 0, "restart_probability": 0.0, "start": uniform, "optimizer": parts.sgd, "rate": 0.1}
    net, rows, *_ = fitted(jem, replace(jem.SMOKE, **still))
    task, chains = digits(), uniform(digits().train, 10)(jem.SMOKE.buffer_size, RUN.generator("buffer"))
    with torch.no_grad():
        e_data, e_chains = (-net(x).logsumexp(dim=1).mean().item() for x in (task.valid.x, chains))
    assert rows[-1]["valid_energy_gap"] == pytest.approx(e_data - e_chains, rel=1e-4) != 0


def test_net_optimiser_and_buffer_go_back_together_watched_as_the_configuration_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, asked = list[dict[str, Any]](), list[dict[str, Any]]()

    class Noted(jem.GapWatch):
        def __init__(self, step: Any, states: Any, **options: Any):
            kept.append(dict(states))
            asked.append(options)
            super().__init__(step, states, **options)

    monkeypatch.setattr(jem, "GapWatch", Noted)
    net = fitted(jem, replace(jem.SMOKE, gap_limit=50.0, watch_every=4, restarts=2)).module
    assert set(kept[0]) == {"net", "optimizer", "buffer"} and kept[0]["net"] is net
    assert len(kept[0]["buffer"].states) == jem.SMOKE.buffer_size
    how = {"limit": 50.0, "every": 4, "restarts": 2, "last": jem.SMOKE.n_steps}
    assert how.items() <= asked[0].items() and asked[0]["run"] is RUN


def test_the_reported_robust_accuracy_is_that_under_attack() -> None:
    rows = fitted(robust_classifier, replace(robust_classifier.NOTEBOOK, n_steps=40, n_attack_steps=3)).rows
    assert rows[-1]["valid_robust_accuracy"] < rows[-1]["valid_accuracy"] - 0.1


def test_every_validation_attacks_from_the_same_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []

    def attacked(config: Any, energy: Any, x: Tensor, generator: torch.Generator) -> Tensor:
        drawn.append(torch.rand(x.shape, generator=generator))
        return x

    monkeypatch.setattr(robust_classifier, "attacked", attacked)
    task, config = digits(), robust_classifier.SMOKE
    data = Data(task.train, task.valid[:20], (1, 8, 8), 10, score)
    measure = robust_classifier.robust_accuracy(parts.Learner(config.net(data.shape, 10), config, run=RUN), data)
    assert measure() == measure() and torch.equal(*drawn)


def test_the_papers_rate_rises_and_falls_as_published() -> None:
    epoch = 703
    rates = [0.1 * rate_factor(i, classifier.PAPER) for i in (0, 499, 999, 50 * epoch - 1, 50 * epoch, 125 * epoch)]
    assert rates == pytest.approx([1e-4, 0.05, 0.1, 0.1, 0.02, 0.0008])


def test_the_papers_settings_are_the_defaults() -> None:
    paper = robust_jem.Config()
    assert (paper.batch_size, paper.n_steps, paper.rate, paper.weight_decay) == (64, 105_450, 0.1, 4e-4)
    assert (paper.pad, paper.flip, paper.image_noise_std, paper.optimizer) == (4, True, 0.03, parts.sgd)
    assert (paper.n_sampler_steps, paper.n_inner_steps, paper.step_size, paper.noise_std) == (10, 5, 0.2, 0.0)
    assert (paper.max_grad_value, paper.bounds, paper.sampler, paper.start) == (1, (-1, 1), pyld_steps, class_gaussians)
    assert (paper.buffer_size, paper.restart_probability, paper.energy_weight, paper.l2) == (10_000, 0.05, 1.0, 0.0)
    assert (paper.radius, paper.n_attack_steps, paper.norm, paper.random_start) == (0.1, 15, "linf", True)
    net = torch.nn.Linear(1, 1)
    (group,) = parts.sgd(net, rate=0.1, weight_decay=4e-4).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.9, 4e-4)
    (group,) = parts.adam(net, rate=1e-3, weight_decay=0.5).param_groups
    assert (group["lr"], group["weight_decay"]) == (1e-3, 0.5)


def test_one_recipe_differs_from_another_by_the_fields_it_adds() -> None:
    names = [{f.name for f in fields(recipe.Config)} for recipe in RECIPES]
    assert names[0] < names[1] and names[0] < names[2] and names[1] | names[2] | {"energy_sees"} == names[3]
    for preset in ("PAPER", "NOTEBOOK", "SMOKE"):
        base, *others = (getattr(recipe, preset) for recipe in RECIPES)
        assert all(getattr(other, name) == getattr(base, name) for other in others for name in names[0] - {"net"})


def bright(*, seed: int = 0) -> Task:
    task = digits(seed=seed)
    return replace(task, train=Batch(task.train.x / 2 + 0.5, task.train.y))


def test_images_of_another_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images lie in \[-1, 1\]: got none below 0"):
        fitted(classifier, replace(classifier.SMOKE, task=bright))


def bright_to_validate(*, seed: int = 0) -> Task:
    task = digits(seed=seed)
    return replace(task, valid=Batch(task.valid.x / 2 + 0.5, task.valid.y))


def test_validation_images_of_another_range_are_refused_too() -> None:
    with pytest.raises(ValueError, match=r"images lie in \[-1, 1\]: got none below 0"):
        fitted(classifier, replace(classifier.SMOKE, task=bright_to_validate))


def from_minus_one(*, seed: int = 0) -> Task:
    task = digits(seed=seed)
    return replace(task, train=Batch(task.train.x, task.train.y - 1))  # type: ignore[operator]


def in_halves(*, seed: int = 0) -> Task:
    task = digits(seed=seed)
    return replace(task, train=Batch(task.train.x, task.train.y / 2))  # type: ignore[operator]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    "task, words", [(from_minus_one, "expected 0 to 9, got -1 to 8"), (in_halves, "labels are int64")]
)
def test_labels_that_are_no_classes_are_refused(recipe: ModuleType, task: Callable[..., Task], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fitted(recipe, replace(recipe.SMOKE, task=task))


@pytest.mark.parametrize(
    "recipe, field, bad",
    [
        (classifier, "milestones", (0.5, 1.5)),
        (classifier, "precision", "float16"),
        (jem, "buffer_size", 10),
        (jem, "bounds", (1.0, -1.0)),
        (jem, "noise_std", -0.1),
        (jem, "max_grad_value", 0.0),
        (jem, "restart_probability", 1.5),
        (jem, "gap_limit", 0.0),
        (robust_classifier, "norm", "l1"),
        (robust_classifier, "radius", -0.1),
        (robust_classifier, "attack_step_size", 0.0),
        (robust_jem, "energy_sees", "both"),
        (robust_jem, "clean_share", 2.0),
        (robust_jem, "step_size", 0.0),
    ],
)
def test_a_field_out_of_its_range_is_refused_by_name(recipe: ModuleType, field: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        replace(recipe.SMOKE, **{field: bad})


def test_noise_without_a_number_is_refused_of_inner_steps() -> None:
    with pytest.raises(ValueError, match="noise_std: expected a number for pyld_steps"):
        fitted(jem, replace(jem.SMOKE, sampler=pyld_steps, noise_std=None))


def test_recipes_and_their_fields_are_named_on_the_command_line() -> None:
    recipe = choices.recipe("robust_jem")
    config = choices.changed(recipe.NOTEBOOK, ["energy_sees=adversarial", "sampler=pyld_steps"], recipe.PRESETS)
    assert config.energy_sees == "adversarial" and config.sampler is pyld_steps
    with pytest.raises(choices.RefusedError, match="energy_sees"):
        choices.changed(recipe.NOTEBOOK, ["energy_sees=both"], recipe.PRESETS)


def test_seeds_split_the_data_anew_and_the_same_seed_repeats_a_run() -> None:
    one, two = (fitted(robust_jem, robust_jem.SMOKE) for _ in "12")
    other = fitted(robust_jem, robust_jem.SMOKE, run=replace(RUN, seed=1))
    assert one.rows == two.rows != other.rows
    assert one.origin and other.origin and one.origin.data != other.origin.data
    assert isinstance(one.module(torch.zeros(2, 1, 8, 8)), Tensor)
