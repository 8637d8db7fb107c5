from __future__ import annotations

import functools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ebm_course.core import Batch, Negatives
from ebm_course.energies.potts import Potts
from ebm_course.metrics.density import density_distance
from ebm_course.objectives.contrastive import contrastive
from ebm_course.recipes.likelihood import chains, exact, potts
from ebm_course.recipes.likelihood.chains import make_step
from ebm_course.recipes.likelihood.potts import NOTEBOOK, SMOKE
from ebm_course.recipes.likelihood.ways import (
    contrastive_divergence,
    exact_gradient,
    noise_contrastive,
    persistent_chains,
)
from ebm_course.runtime import setup
from ebm_course.samplers.gibbs import gibbs
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.replay_buffer import ReplayBuffer

SMALL = replace(NOTEBOOK, length=3, n_train=2_000, n_valid=200, n_steps=150, validate_every=150, rate=0.05)
WAYS = {"exact": exact_gradient, "cd": contrastive_divergence, "pcd": persistent_chains}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(gradients) -> torch.Tensor:
    return torch.cat([g.flatten() for g in gradients])


@pytest.fixture
def model() -> Potts:
    return Potts.random(3, 3, generator=generator(1)).double()


def likelihood_gradient(model: Potts, x: torch.Tensor) -> torch.Tensor:
    return flat(torch.autograd.grad(-model.log_prob(x).mean(), list(model.parameters())))


def test_equation_3_gives_the_gradient_of_the_likelihood(model):
    x = torch.randint(3, (40, 3), generator=generator())
    p, e = model.probabilities().detach(), model(model.states())
    two_terms = model(x).mean() - (p * e).sum()  # down on data, up on the model's own states
    by_equation_3 = flat(torch.autograd.grad(two_terms, list(model.parameters())))
    torch.testing.assert_close(by_equation_3, likelihood_gradient(model, x))


def test_equation_3_agrees_with_finite_differences(model):
    x, step, slopes = torch.randint(3, (40, 3), generator=generator()), 1e-5, []
    with torch.no_grad():
        for p in model.parameters():
            for k in range(p.numel()):
                nll = []
                for shift in (step, -step):
                    p.view(-1)[k] += shift
                    nll.append(-model.log_prob(x).mean().item())
                    p.view(-1)[k] -= shift
                slopes.append((nll[0] - nll[1]) / (2 * step))
    torch.testing.assert_close(likelihood_gradient(model, x), torch.tensor(slopes).double(), atol=1e-8, rtol=1e-6)


def test_the_step_with_exact_draws_has_the_exact_gradient_on_average(model):
    n, x = 60_000, torch.randint(3, (40, 3), generator=generator())
    negatives = model.sample(n, generator=generator(2))
    loss = contrastive(model(x), model(negatives))
    found = flat(torch.autograd.grad(loss.value, list(model.parameters())))
    # a parameter's feature is on (-1) or off (0) in each draw; likelihood_gradient holds its mean
    share = (
        likelihood_gradient(model, x) - flat(torch.autograd.grad(model(x).mean(), list(model.parameters())))
    ).clamp(0, 1)
    standard_error = (share * (1 - share) / n).sqrt()
    assert ((found - likelihood_gradient(model, x)).abs() <= 5 * standard_error + 1e-12).all()


def test_one_update_of_cd_by_hand(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before, x = model.fields.detach().clone(), torch.tensor([[0, 1, 2], [0, 0, 2]])

    def to_ones(energy, x0, *, generator):
        assert torch.equal(x0, x), "CD starts at the data"
        return Negatives(torch.ones_like(x0))

    log = make_step(model, optimizer, to_ones)(Batch(x), generator())
    change = torch.tensor([[1.0, -1, 0], [0.5, -0.5, 0], [0, -1, 1]]).double()  # share in data - share in negatives
    torch.testing.assert_close(model.fields.detach(), before + 0.1 * change)
    assert set(log) == {"loss", "e_data", "e_negative", "gap"} and not log["loss"].requires_grad


def test_persistent_chains_go_on_where_they_stopped(model):
    buffer, seen = ReplayBuffer(torch.zeros(4, 3).long()), []

    def one_more(energy, x0, *, generator):
        seen.append(x0)
        return Negatives(x0 + 1)

    step = make_step(model, torch.optim.SGD(model.parameters(), lr=0.0), one_more, buffer=buffer)
    for _ in range(2):
        step(Batch(torch.zeros(4, 3).long()), generator())
    assert torch.equal(seen[1], torch.ones(4, 3).long())
    assert torch.equal(buffer.states, torch.full((4, 3), 2))


def test_restarted_chains_begin_at_fresh_states(model):
    def stay(energy, x0, *, generator):
        return Negatives(x0)

    def ones(n, generator):
        return torch.ones(n, 3).long()

    buffer = ReplayBuffer(torch.zeros(4, 3).long())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    step = make_step(model, optimizer, stay, buffer=buffer, fresh=ones, restart_probability=1.0)
    step(Batch(torch.zeros(4, 3).long()), generator())
    assert (buffer.states == 1).all()


def test_the_exact_step_descends_the_likelihood(model):
    x = Batch(Potts.random(3, 3, generator=generator(5)).sample(300, generator=generator()))
    step = exact.make_step(model, torch.optim.SGD(model.parameters(), lr=0.2), model.log_z)
    losses = [step(x, generator())["loss"].item() for _ in range(30)]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("way", WAYS)
def test_training_recovers_the_probabilities_of_the_model_behind_the_data(way):
    run = setup(0, device="cpu", quiet=True)
    config = replace(SMALL, way=WAYS[way])
    model, rows, *_ = potts.fit(config, run, progress=False)
    p = potts.random_potts(config, run)
    start = density_distance(p, torch.full_like(p, 1 / len(p)))
    assert rows[-1]["valid_kl"] < 0.05 * start["kl"]
    assert rows[-1]["valid_total_variation"] < 0.2 * start["total_variation"]
    found = density_distance(p, model.probabilities().detach())
    assert found["kl"] == pytest.approx(rows[-1]["valid_kl"], rel=1e-5)


def test_noise_contrast_learns_the_level_too():
    run = setup(0, device="cpu", quiet=True)
    config = replace(SMALL, way=noise_contrastive, n_train=20_000, n_steps=600, validate_every=600)
    model, rows, *_ = potts.fit(config, run, progress=False)
    assert rows[-1]["valid_kl"] < 0.1
    assert abs(model.log_z().item()) < 0.2  # exp(-E) is nearly normalised, from log Z = 3 log 3 at the start


def test_the_noise_has_the_frequencies_of_each_position_and_knows_its_own_probability():
    x = torch.tensor([[0, 1], [0, 2], [0, 1]])
    noise = potts.independent_positions(x, 3)
    states = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    p = noise.log_prob(states).exp()
    assert p.sum() == pytest.approx(1.0)
    assert p[1].item() == pytest.approx(4 / 6 * 3 / 6)  # one count is added to each value
    drawn = noise.draw(60_000, generator())
    shares = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9) / 60_000
    assert ((shares - p).abs() <= 5 * (p * (1 - p) / 60_000).sqrt()).all()


def test_the_law_of_chapter_2_is_what_its_words_say():
    p = potts.two_words(replace(NOTEBOOK, length=6), setup(0, device="cpu", quiet=True))
    assert p[0].item() == pytest.approx(0.8 * 0.95**6 + 0.2 * 0.025**6) and p.sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("way", [exact_gradient, contrastive_divergence, persistent_chains, noise_contrastive])
def test_evaluations_are_the_rows_that_the_energy_is_asked_for(way, monkeypatch):
    rows, forward = [], Potts.forward

    def counted(self, x):
        rows.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(Potts, "forward", counted)
    monkeypatch.setattr(potts, "scores", lambda *_: {"nll": 0.0})
    config = replace(SMOKE, way=way)
    log = potts.fit(config, setup(0, device="cpu", quiet=True), progress=False).rows
    summed = config.n_steps * config.n_values**config.length if way is exact_gradient else 0  # log Z by tables
    assert log[-1]["valid_evaluations"] == sum(rows) + summed


def with_a_well_far_from_the_data() -> tuple[Potts, Potts]:
    """A truth whose states are nearly all 0 or all 1, and an untrained model with a deep well where all are 2."""
    truth, model = Potts(5, 3), Potts(5, 3)
    with torch.no_grad():
        truth.couplings += torch.diag(torch.tensor([0.6, 0.6, 0.0]))
        truth.fields[:, 2] = -3.0
        model.couplings += torch.diag(torch.tensor([0.0, 0.0, 2.0]))
    return truth, model


def test_cd_leaves_a_well_far_from_the_data_and_persistent_chains_fill_it():
    left = {}
    for name in ("cd", "pcd"):
        stream, (truth, model) = generator(), with_a_well_far_from_the_data()
        p = truth.probabilities().detach()
        optimizer, x = torch.optim.Adam(model.parameters(), lr=0.03), truth.sample(2_000, generator=stream)
        buffer = ReplayBuffer(torch.randint(3, (100, 5), generator=stream)) if name == "pcd" else None
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=150)
        sweep = functools.partial(gibbs, n_steps=5, n_values=3)
        step = make_step(model, optimizer, sweep, buffer=buffer, scheduler=scheduler)
        for i in range(150):
            step(Batch(x[i % 20 * 100 :][:100]), stream)
        q = model.probabilities().detach()
        left[name] = q[-1].item(), density_distance(p, q)["total_variation"]
    assert left["cd"][0] > 0.5, "short chains from the data never see the well"
    assert left["pcd"][0] < 0.01
    assert left["pcd"][1] < left["cd"][1] / 3


def gibbs_step(p: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """The exact kernel (S, S) of redrawing one random position under p."""
    kernels = []
    for i in range(states.shape[1]):
        rest = [j for j in range(states.shape[1]) if j != i]
        same = (states[:, None, rest] == states[None, :, rest]).all(2)
        kernels.append(same * p / (same * p).sum(1, keepdim=True))
    return torch.stack(kernels).mean(0)


def test_at_maximum_likelihood_cd_still_pulls_unless_the_data_fit_the_model():
    pulls = []
    for misfit in (0.0, 1.5):
        model = Potts.random(4, 2, generator=generator(2)).double()
        noise = misfit * torch.randn(16, generator=generator(2)).double()
        law = torch.softmax(-model.all_energies().detach() + noise, 0)
        optimizer = torch.optim.LBFGS(
            model.parameters(),
            max_iter=300,
            tolerance_grad=1e-10,
            tolerance_change=1e-14,
            line_search_fn="strong_wolfe",
        )

        def cross_entropy(law=law, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (law * model.all_energies()).sum() + model.log_z()
            loss.backward()
            return loss

        optimizer.step(cross_entropy)
        e, p = model.all_energies(), model.probabilities().detach()
        after_a_step = law @ gibbs_step(p, model.states())  # CD's negatives; PCD's settle at p instead
        for negatives in (p, after_a_step):
            gradient = torch.autograd.grad(((law - negatives) * e).sum(), list(model.parameters()), retain_graph=True)
            pulls.append(flat(gradient).norm().item())
    pcd_fits, cd_fits, pcd_misfits, cd_misfits = pulls
    assert max(pcd_fits, cd_fits, pcd_misfits) < 1e-6
    assert cd_misfits > 1e-3


def test_langevin_chains_teach_a_gaussian_its_mean_and_width():
    class Bowl(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = nn.Parameter(torch.zeros(2))
            self.log_precision = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return 0.5 * self.log_precision.exp() * (x - self.mean).square().sum(1)

    energy, stream = Bowl(), generator()
    x = torch.tensor([1.0, -2.0]) + 0.5 * torch.randn(4_000, 2, generator=stream)
    buffer = ReplayBuffer(torch.zeros(200, 2))
    sampler = functools.partial(langevin, n_steps=5, step_size=0.02)
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=250)
    step = make_step(energy, optimizer, sampler, buffer=buffer, scheduler=scheduler)
    for i in range(250):
        step(Batch(x[i % 20 * 200 :][:200]), stream)
    torch.testing.assert_close(energy.mean.detach(), torch.tensor([1.0, -2.0]), atol=0.05, rtol=0)
    variance = math.exp(-energy.log_precision.item())
    assert variance == pytest.approx(0.25 - 0.01, abs=0.03)  # the known bias, v / (1 - a / (2 v)), of chains that fit


def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = potts.fit(SMOKE, setup(0, device="cpu", quiet=True), progress=False).module.state_dict()
    calls, update = [], chains.update

    def killed(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return update(*arguments, **options)

    monkeypatch.setattr(chains, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        potts.fit(SMOKE, setup(0, device="cpu", quiet=True), folder=tmp_path, progress=False)
    resumed = potts.fit(SMOKE, setup(0, device="cpu", quiet=True), folder=tmp_path, progress=False)
    assert len(calls) == 8 + 5, "it went on from update 5"
    assert all(torch.equal(whole[name], t) for name, t in resumed.module.state_dict().items())


def test_the_papers_setting_is_small_enough_to_be_exact():
    assert potts.PAPER.n_values**potts.PAPER.length <= 2**20


@pytest.mark.parametrize("law", [[0.5, 0.6, 0.0], [1.0], [1.5, -0.5, 0.0], [math.nan, 0.5, 0.5], []])
def test_what_is_no_law_of_all_states_is_refused(law):
    with pytest.raises(ValueError, match="a law gives each of the 3 states a probability, with sum 1: got shape"):
        potts.check_law(torch.tensor(law), 3)


def test_parameters_so_large_that_their_law_is_none_are_refused_before_training():
    config = replace(potts.SMOKE, field_std=1e308)
    with pytest.raises(ValueError, match=r"a law gives .* Lower field_std"):
        potts.fit(config, setup(0, device="cpu", quiet=True), progress=False)
