"""One update of each image recipe: what it minimises, what it leaves alone, and that each is one change to another."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Energy, Negatives
from ebm_course.energies.convnet import ConvNet
from ebm_course.recipes.images import classifier, jem, robust_classifier, robust_jem
from ebm_course.recipes.images.chains import Chains, langevin_steps, uniform
from ebm_course.recipes.images.parts import Learner, adam, evaluated, sgd
from ebm_course.runtime import Run
from ebm_course.samplers.replay_buffer import ReplayBuffer

PLAIN: dict[str, Any] = {"optimizer": sgd, "rate": 0.1, "image_noise_std": 0.0}
CONFIG = replace(robust_jem.SMOKE, **PLAIN)
"""Has the fields of all four recipes."""

X = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
Y = torch.arange(16) % 10
BATCH = Batch(X, Y)


def changed(**fields: Any) -> robust_jem.Config:
    return replace(CONFIG, **fields)


def net(**options: Any) -> ConvNet:
    torch.manual_seed(0)
    return ConvNet((1, 8, 8), 10, width=4, **options)


def chains(config: Any) -> Chains:
    fresh = uniform(BATCH, 10)
    buffer = ReplayBuffer(fresh(32, torch.Generator().manual_seed(1)))
    return Chains(langevin_steps(config), fresh, buffer=buffer, restart_probability=config.restart_probability)


def updated(recipe: Any, config: Any, start: nn.Module | None = None) -> tuple[nn.Module, dict[str, Tensor]]:
    """The net after one update of the recipe, and what was logged."""
    learner = Learner(copy.deepcopy(start or net()), config)
    given = [chains(config)] if recipe in (jem, robust_jem) else []
    log = recipe.make_step(learner, *given)(BATCH, torch.Generator().manual_seed(2))
    return learner.net, log


def same(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    return all(torch.allclose(p, q, rtol=1e-5, atol=1e-7) for p, q in pairs)


def test_one_step_of_jem_is_its_five_lines_written_out() -> None:
    config = replace(CONFIG, l2=0.1, energy_weight=0.5)
    found, log = updated(jem, config)
    other, own, generator = net(), chains(config), torch.Generator().manual_seed(2)
    assert own.buffer is not None
    x0, _ = own.buffer.sample(
        16, restart_probability=config.restart_probability, fresh=own.fresh(16, generator), generator=generator
    )
    x = x0
    for _ in range(config.n_sampler_steps):
        x = x.detach().requires_grad_()
        (grad,) = torch.autograd.grad(-other(x).logsumexp(1).sum(), x)
        x = x - config.step_size * grad + 0.01 * torch.randn(x.shape, generator=generator)
    e, e_sample = -other(X).logsumexp(1), -other(x.detach()).logsumexp(1)
    loss = nn.functional.cross_entropy(other(X), Y) + 0.5 * (
        e.mean() - e_sample.mean() + 0.1 * (e.square().mean() + e_sample.square().mean())
    )
    loss.backward()
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    assert same(found, other) and log["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert log["energy_gap"].item() == pytest.approx((e.mean() - e_sample.mean()).item(), rel=1e-4)


def test_jem_without_its_energy_term_is_the_classifier() -> None:
    assert same(updated(jem, replace(CONFIG, energy_weight=0.0))[0], updated(classifier, CONFIG)[0])
    assert not same(updated(jem, CONFIG)[0], updated(classifier, CONFIG)[0])


def test_the_robust_classifier_with_clean_images_alone_is_the_classifier() -> None:
    assert same(updated(robust_classifier, replace(CONFIG, clean_share=1.0))[0], updated(classifier, CONFIG)[0])
    assert not same(updated(robust_classifier, CONFIG)[0], updated(classifier, CONFIG)[0])


def test_robust_jem_with_clean_images_alone_is_jem() -> None:
    config = replace(CONFIG, l2=0.1, energy_weight=0.5)
    (robust, log), (joint, expected) = updated(robust_jem, replace(config, clean_share=1.0)), updated(jem, config)
    assert same(robust, joint)
    shared = ("loss", "e_data", "energy_gap", "sample_grad_norm")
    assert [float(log[name]) for name in shared] == pytest.approx([float(expected[name]) for name in shared], rel=1e-5)
    assert not same(updated(robust_jem, CONFIG)[0], updated(jem, CONFIG)[0])


def test_robust_jem_without_its_energy_term_is_the_robust_classifier_up_to_where_attacks_start() -> None:
    config = replace(CONFIG, random_start=False)
    assert same(updated(robust_jem, replace(config, energy_weight=0.0))[0], updated(robust_classifier, config)[0])


@pytest.mark.parametrize("radius, equal", [(1e-7, True), (0.3, False)])
def test_clean_and_attacked_images_are_one_to_the_energy_where_the_ball_is_a_point(radius: float, equal: bool) -> None:
    nets = [updated(robust_jem, changed(radius=radius, energy_sees=seen))[0] for seen in robust_jem.SEEN]
    assert same(*nets) == equal


@pytest.mark.parametrize("clean_share", [0.0, 0.5])
def test_the_energy_that_sees_attacked_images_is_theirs(clean_share: float) -> None:
    config = replace(CONFIG, energy_sees="adversarial", random_start=False, clean_share=clean_share)
    _, log = updated(robust_jem, config)
    start = net()
    found = robust_classifier.attacked(config, Learner(start, config).log_likelihood(Y), X, torch.Generator())
    assert log["e_data"].item() == pytest.approx(-start(found).logsumexp(1).mean().item(), rel=1e-5)
    _, clean = updated(robust_jem, replace(config, energy_sees="clean"))
    assert clean["e_data"].item() == pytest.approx(-start(X).logsumexp(1).mean().item(), rel=1e-5)


def test_the_attack_is_the_configurations_on_images_in_their_range(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, dict[str, Any]]] = []
    original = robust_classifier.pgd

    def noted(energy: Energy, x0: Tensor, **options: Any) -> Negatives:
        seen.append((x0, options))
        return original(energy, x0, **options)

    monkeypatch.setattr(robust_classifier, "pgd", noted)
    how: dict[str, Any] = {"radius": 0.2, "norm": "l2", "random_start": False}
    config = changed(**how, n_attack_steps=3, attack_step_size=0.07)
    found = robust_classifier.attacked(config, Learner(net(), config).log_likelihood(Y), 2 * X, torch.Generator())
    ((x0, options),) = seen
    del options["generator"], options["with_energy"]
    assert options == {**how, "n_steps": 3, "step_size": 0.07}
    assert torch.equal(x0, (2 * X).clamp(-1, 1)) and found.abs().max() <= 1


@pytest.mark.parametrize("recipe", [robust_classifier, robust_jem])
def test_clean_and_attacked_images_are_augmented_ones(recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Tensor] = {}
    other, original = X.flip(0), Learner.logits

    def noted(self: Learner, **images: Tensor) -> dict[str, Tensor]:
        seen.update(images)
        return original(self, **images)

    def attacked(config: Any, energy: Energy, x: Tensor, generator: torch.Generator) -> Tensor:
        return seen.setdefault("start", x) + 0.01

    monkeypatch.setattr(Learner, "augmented", lambda self, batch, generator: other)
    monkeypatch.setattr(Learner, "logits", noted)
    monkeypatch.setattr(recipe, "attacked", attacked)
    updated(recipe, changed(clean_share=0.5, energy_sees="adversarial"))
    assert seen["start"] is other and seen["clean"] is other and torch.equal(seen["attacked"], other + 0.01)


@pytest.mark.parametrize("recipe", [classifier, jem])
def test_without_attacks_too_the_net_learns_from_augmented_images(recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Tensor] = {}
    other, original = X.flip(0), Learner.logits

    def noted(self: Learner, **images: Tensor) -> dict[str, Tensor]:
        seen.update(images)
        return original(self, **images)

    monkeypatch.setattr(Learner, "augmented", lambda self, batch, generator: other)
    monkeypatch.setattr(Learner, "logits", noted)
    updated(recipe, CONFIG)
    assert seen["clean"] is other


class Spied(ConvNet):
    """Notes of every call how many rows it had, the mode, and whether parameters took gradients."""

    calls: list[tuple[int, bool, bool]]

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((len(x), self.training, any(p.requires_grad for p in self.parameters())))
        return super().forward(x)


def spied(recipe: Any, config: Any, **options: Any) -> list[tuple[int, bool, bool]]:
    start = Spied((1, 8, 8), 10, width=8, **options)
    start.calls = []
    found: Any = updated(recipe, config, start)[0]
    assert all(p.requires_grad for p in found.parameters())
    calls: list[tuple[int, bool, bool]] = found.calls
    return calls


def test_samplers_and_attacks_take_no_gradient_of_parameters_and_the_loss_is_one_call() -> None:
    k, n = CONFIG.n_sampler_steps, CONFIG.n_attack_steps
    sampling, attacking = [(16, False, False)] * k, [(16, False, False)] * n  # no energies are asked for at the end
    assert spied(jem, CONFIG) == [*sampling, (32, True, True)]
    assert spied(robust_jem, CONFIG) == [*sampling, *attacking, (48, True, True)]
    assert spied(robust_jem, replace(CONFIG, energy_sees="adversarial"))[-1] == (32, True, True)


def test_with_batch_norm_each_kind_of_image_passes_alone() -> None:
    assert spied(jem, CONFIG, norm="batch")[-2:] == [(16, True, True)] * 2
    assert spied(jem, CONFIG, norm="group")[-1] == (32, True, True)


@pytest.mark.parametrize("recipe", [jem, robust_jem])
def test_the_buffer_holds_where_the_chains_ended(recipe: Any) -> None:
    learner, own = Learner(net(), CONFIG), chains(CONFIG)
    assert own.buffer is not None
    before = own.buffer.states.clone()
    recipe.make_step(learner, own)(BATCH, torch.Generator().manual_seed(2))
    moved = (own.buffer.states != before).flatten(1).any(dim=1)
    assert int(moved.sum()) == 16


def test_the_rate_follows_its_schedule_from_update_to_update() -> None:
    learner, rates = Learner(net(), changed(warm_up=4, milestones=(0.5,), decay=0.2, n_steps=10)), list[float]()
    for _ in range(6):
        rates.append(learner.optimizer.param_groups[0]["lr"])
        classifier.make_step(learner)(BATCH, torch.Generator())
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.02])


def test_weights_decay_as_the_configuration_says() -> None:
    start = net()
    decayed, plain = (updated(classifier, changed(weight_decay=decay), start)[0] for decay in (0.5, 0.0))
    for p, q, p0 in zip(decayed.parameters(), plain.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(p, q - 0.1 * 0.5 * p0, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("recipe", [classifier, jem, robust_classifier, robust_jem])
def test_what_a_validation_left_in_eval_mode_learns_in_train_mode(recipe: Any) -> None:
    start = Spied((1, 8, 8), 10, width=8)
    start.calls = []
    found: Any = updated(recipe, CONFIG, start.eval())[0]
    assert [training for _, training, takes in found.calls if takes] == [True]


def test_images_are_evaluated_in_eval_mode() -> None:
    dropping = nn.Sequential(nn.Flatten(), nn.Dropout(0.5)).train()
    assert torch.equal(evaluated(dropping, X), X.flatten(1))


def test_processes_agree_on_running_statistics_after_every_update() -> None:
    seen: list[nn.Module] = []

    class Noted(Run):
        def average_buffers(self, module: nn.Module) -> None:
            seen.append(module)

    learner = Learner(net(norm=None), CONFIG, run=Noted(torch.device("cpu"), 0))
    step = classifier.make_step(learner)
    for n in (1, 2):
        step(BATCH, torch.Generator())
        assert seen == [learner.net] * n


def test_images_are_shifted_mirrored_and_shaken_as_the_configuration_says() -> None:
    def augmented(**fields: Any) -> Tensor:
        return Learner(net(), changed(**fields)).augmented(BATCH, torch.Generator().manual_seed(0))

    assert augmented() is X
    as_they_are, mirrored = ((augmented(flip=True) == x).flatten(1).all(dim=1) for x in (X, X.flip(3)))
    assert (as_they_are ^ mirrored).all() and as_they_are.any() and mirrored.any()
    shifted = augmented(pad=2)
    assert not torch.equal(shifted, X) and torch.isin(shifted, X).all()
    noise = augmented(image_noise_std=0.5) - X
    assert abs(noise.std().item() - 0.5) < 5 * 0.5 / (2 * X.numel()) ** 0.5


def test_a_batch_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"learns from labels \(N,\): got a batch without"):
        classifier.make_step(Learner(net(), CONFIG))(Batch(X), torch.Generator())


VALUES = torch.tensor([-1.0, 0.0, 1.0])
STATES = torch.cartesian_prod(VALUES, VALUES).view(9, 1, 1, 2)


class Table(nn.Module):
    """Free logits (9, 3) of the nine images of two pixels with three shades."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(9, 3))

    def forward(self, x: Tensor) -> Tensor:
        shades = (x.flatten(1) + 1).round().long()
        logits: Tensor = self.table[3 * shades[:, 0] + shades[:, 1]]
        return logits


def exact(energy: Energy, x0: Tensor, *, generator: torch.Generator) -> Negatives:
    """As many independent samples as rows, from the nine probabilities."""
    with torch.no_grad():
        p = (-energy(STATES)).softmax(0)
    x = STATES[torch.multinomial(p, len(x0), replacement=True, generator=generator)]
    return Negatives(x, {"grad_norm": x.new_zeros(len(x))})


def test_where_all_images_can_be_summed_jem_recovers_the_joint_distribution() -> None:
    generator, n = torch.Generator().manual_seed(3), 20_000
    p = torch.randn(27, generator=generator).mul(0.7).softmax(0)
    drawn = torch.multinomial(p, n, replacement=True, generator=generator)
    data = Batch(STATES[drawn // 3], drawn % 3)
    config = replace(CONFIG, optimizer=adam, rate=0.1, n_steps=200, milestones=(0.4, 0.6, 0.8))
    learner = Learner(Table(), config)
    step = jem.make_step(learner, Chains(exact, lambda m, g: data.x[:m]))
    for _ in range(config.n_steps):
        step(data, generator)
    assert isinstance(learner.net, Table)
    found = learner.net.table.detach().flatten().softmax(0)
    standard_error = (p * (1 - p) / n).sqrt()  # of the best estimate from so many rows
    assert ((found - p).abs() <= 5 * standard_error).all()
    assert ((torch.full_like(p, 1 / 27) - p).abs() > 5 * standard_error).any()  # which the start is not


@pytest.mark.slow
def test_with_langevin_chains_jem_comes_near_the_density_of_two_pixels_and_a_class() -> None:
    torch.manual_seed(0)
    generator, n, std = torch.Generator().manual_seed(4), 4_000, 0.25
    means = torch.tensor([[-0.5, 0.0], [0.5, 0.0]])
    y = torch.randint(2, (n,), generator=generator)
    data = Batch((means[y] + std * torch.randn(n, 2, generator=generator)).view(n, 1, 1, 2), y)

    class Bowl(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 2)]
            self.layers = nn.Sequential(nn.Flatten(), *layers)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.layers(x) - x.flatten(1).square().sum(1, keepdim=True)
            return logits

    config = replace(
        CONFIG, optimizer=adam, rate=5e-3, n_steps=600, milestones=(0.5, 0.8), n_sampler_steps=20, step_size=0.01,
        noise_std=None, l2=0.0,
    )  # fmt: skip
    fresh = uniform(data, 2)
    own = Chains(langevin_steps(config), fresh, buffer=ReplayBuffer(fresh(512, generator)), restart_probability=0.05)
    learner = Learner(Bowl(), config)
    step = jem.make_step(learner, own)
    for i in range(config.n_steps):
        step(data[(torch.arange(256) + 256 * i) % n], generator)
    side, m = 6.0, 200
    points = (torch.arange(m) + 0.5) / m * side - side / 2
    grid = torch.cartesian_prod(points, points)
    with torch.no_grad():
        log_p = learner.net(grid.view(-1, 1, 1, 2)).flatten().log_softmax(0).view(-1, 2) - math.log((side / m) ** 2)
    distance = (grid[:, None] - means).square().sum(-1)
    log_truth = -distance / (2 * std**2) - math.log(2 * math.pi * std**2) - math.log(2)
    kl = (log_truth.exp() * (log_truth - log_p)).sum() * (side / m) ** 2
    flat = math.log(4) - math.log(2 * math.pi * math.e * std**2)  # of a uniform guess on [-1, 1]^2
    assert kl.item() < 0.1 * flat
