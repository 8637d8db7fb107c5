"""The numbers of a configuration reach the model, its optimiser and the space in which a way of training works."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ebm_course.core import Batch, Negatives
from ebm_course.energies.mlp import MLP
from ebm_course.energies.potts import Potts
from ebm_course.objectives.nce import nce
from ebm_course.recipes.likelihood import chains, exact, noise_contrast, plane, potts, ways
from ebm_course.runtime import Run

RUN = Run(torch.device("cpu"), 3)
SPACES = []


def noted(space):
    """A way of training that is asked for nothing but where it would work."""
    SPACES.append(space)
    return ways.Supplied(lambda batch, generator: {}, 7)


def rate_at_the_end(space, n_steps):
    for _ in range(n_steps):
        space.optimizer.step()
        space.scheduler.step()
    return space.optimizer.param_groups[0]["lr"]


def drawn_by(monkeypatch):
    """The seeds that points are drawn by: few points, of which one more is held out."""
    seeds = []

    def toy(density, *, n_train, seed):
        seeds.append(seed)
        train, valid = torch.randn(40 + 1, 2, generator=torch.Generator().manual_seed(0)).split([40, 1])
        return SimpleNamespace(train=Batch(train), valid=Batch(valid))

    monkeypatch.setattr(plane, "toy2d", toy)
    return seeds


def test_the_plane_is_the_configurations(monkeypatch):
    config = replace(
        plane.SMOKE, way=noted, n_train=40, width=5, n_layers=4, confinement=0.7, buffer_size=40, n_sampler_steps=6,
        restart_probability=0.25, step_size=0.03, max_grad_norm=1.5, l2=0.4, rate=0.02, n_steps=8, n_points=9,
    )  # fmt: skip
    seeds = drawn_by(monkeypatch)
    plane.fit(config, RUN, progress=False)
    assert seeds == [3]  # points of a run are its own
    space = SPACES.pop()
    model = space.energy
    assert model.confinement == 0.7 and model.net[0].out_features == 5 and len(model.net) == 2 * 4 + 1
    group = space.optimizer.param_groups[0]
    assert (group["initial_lr"], group["betas"]) == (0.02, (0.9, 0.99))
    assert rate_at_the_end(space, 8) == pytest.approx(0.02 / 100)
    assert space.sampler.keywords == {"n_steps": 6, "step_size": 0.03, "max_grad_norm": 1.5}
    assert (space.sampler_evaluations, space.n_summed, space.n_chains, space.batch_size) == (7, 81, 40, 32)
    assert (space.restart_probability, space.l2) == (0.25, 0.4)
    start = space.fresh(2_000, generator=torch.Generator().manual_seed(0)).abs().max()
    assert 0.99 * config.density().extent < start <= config.density().extent


def test_the_points_that_are_held_out_are_those_a_plane_is_measured_on(monkeypatch):
    seen = []
    drawn_by(monkeypatch)
    monkeypatch.setattr(plane, "nll", lambda model, x, density: seen.append(x) or 0.0)
    monkeypatch.setattr(plane, "kl", lambda *_, device: 0.0)
    plane.fit(replace(plane.SMOKE, way=noted), RUN, progress=False)
    assert [len(x) for x in seen] == [1, 1]


@pytest.mark.parametrize("sweep", [False, True])
def test_the_potts_model_is_the_configurations(sweep, monkeypatch):
    config = replace(
        potts.SMOKE, way=noted, length=4, n_values=2, n_sampler_steps=5, sweep=sweep, rate=0.02, n_steps=8,
        batch_size=25, field_std=0.1, coupling_std=3.0,
    )  # fmt: skip
    held_out, original = [], potts.scores
    monkeypatch.setattr(potts, "scores", lambda m, law, x: held_out.append(x) or original(m, law, x))
    potts.fit(config, RUN, progress=False)
    space = SPACES.pop()
    assert space.optimizer.param_groups[0]["initial_lr"] == 0.02
    assert rate_at_the_end(space, 8) == pytest.approx(0.02 / 100)
    assert space.sampler.keywords == {"n_steps": 5, "n_values": 2, "sweep": sweep}
    assert (space.sampler_evaluations, space.n_summed, space.n_chains, space.batch_size) == (11, 16, 25, 25)
    truth = Potts.random(4, 2, field_std=0.1, coupling_std=3.0, generator=RUN.generator("truth"))
    torch.testing.assert_close(potts.random_potts(config, RUN), truth.probabilities().detach())
    law = truth.probabilities().detach()
    codes = torch.multinomial(law, 250, replacement=True, generator=RUN.generator("data"))
    assert all(torch.equal(x, truth.states()[codes[200:]]) for x in held_out) and held_out


def test_a_value_that_a_position_never_took_is_noise_with_a_chance():
    noise = potts.independent_positions(torch.tensor([[0, 1], [0, 1]]), 2)  # one more of each is counted
    found = noise.log_prob(torch.tensor([[0, 1], [1, 1], [1, 0]])).exp()
    torch.testing.assert_close(found, torch.tensor([9 / 16, 3 / 16, 1 / 16]))


def space_of(**changes):
    torch.manual_seed(0)
    model = MLP(2, width=4, n_layers=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    options = {
        "log_z": lambda: model(torch.zeros(1, 2)).sum(), "n_summed": 1, "sampler_evaluations": 1,
        "sampler": lambda energy, x0, *, generator: Negatives(x0 + 1), "n_chains": 5,
        "fresh": lambda n, generator: torch.full((n, 2), 9.0) + 0 * torch.rand(n, 2, generator=generator),
        "noise": noise_contrast.Noise(lambda n, generator: torch.ones(n, 2), lambda x: x[:, 0] - 2 * x[:, 1]),
    }  # fmt: skip
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    return ways.Space(model, optimizer, scheduler, RUN, 3, **(options | changes))


def test_every_way_turns_its_schedule_once_an_update():
    for way in (ways.exact_gradient, ways.contrastive_divergence, ways.persistent_chains, ways.noise_contrastive):
        space = space_of()
        supplied = way(space)
        for _ in range(2):
            supplied.step(Batch(torch.randn(3, 2)), torch.Generator())
        assert space.scheduler.last_epoch == 2, way.__name__


@pytest.mark.parametrize("way", [ways.contrastive_divergence, ways.persistent_chains])
def test_chains_learn_with_the_penalty_of_their_space(way):
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    losses = []
    for l2 in (0.0, 0.5):
        space = space_of(l2=l2)
        log = way(space).step(Batch(x), torch.Generator())
        negatives = x + 1 if way is ways.contrastive_divergence else torch.full((3, 2), 10.0)
        squares = (space.energy(x).square().mean() + space.energy(negatives).square().mean()).detach()
        losses.append(log["loss"] - l2 * squares)
    assert float(squares) > 1e-3
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_persistent_chains_are_as_many_as_asked_for_and_begin_anew_as_often(share):
    supplied = ways.persistent_chains(space_of(restart_probability=share))
    buffer = supplied.keep["buffer"]
    assert len(buffer) == 5 and bool((buffer.states == 9).all())
    buffer.states.zero_()
    supplied.step(Batch(torch.zeros(3, 2)), torch.Generator())
    moved = buffer.states[buffer.states[:, 0] != 0]
    assert len(moved) == 3 and bool((moved == (10 if share else 1)).all())


def test_noise_contrast_gives_data_and_noise_their_own_log_q():
    space, x = space_of(), torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    step = noise_contrast.make_step(space.energy, space.optimizer, space.noise)
    found, ones = step(Batch(x), torch.Generator())["loss"], torch.ones(3, 2)
    e_data, e_noise = space.energy(x), space.energy(ones)
    expected = nce(e_data, e_noise, log_q_data=x[:, 0] - 2 * x[:, 1], log_q_noise=-torch.ones(3)).value
    torch.testing.assert_close(found, expected.detach())


def test_steps_without_a_schedule_need_none():
    space, x = space_of(), Batch(torch.zeros(3, 2))
    for step in (
        exact.make_step(space.energy, space.optimizer, space.log_z),
        chains.make_step(space.energy, space.optimizer, space.sampler),
        noise_contrast.make_step(space.energy, space.optimizer, space.noise),
    ):
        assert torch.isfinite(step(x, torch.Generator())["loss"])
