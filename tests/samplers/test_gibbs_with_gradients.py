from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from ebm_course.energies.potts import Potts
from ebm_course.samplers.gibbs_with_gradients import gibbs_with_gradients


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Bent(torch.nn.Module):
    """A Potts energy with its square added: its gradient gives no exact differences. Tokens or relaxed tokens."""

    def __init__(self, potts: Potts):
        super().__init__()
        self.potts = potts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        e = self.potts(x)
        return e + 0.3 * e.square()


@torch.no_grad()
def gradient(energy, x: list[int], n_values: int) -> list[list[float]]:
    """Central differences of E in every entry of the one-hot rows."""
    hot, step = F.one_hot(torch.tensor([x]), n_values).double(), 1e-4
    rows = []
    for i in range(len(x)):
        rows.append([])
        for v in range(n_values):
            shift = torch.zeros_like(hot)
            shift[0, i, v] = step
            rows[-1].append(float(energy(hot + shift) - energy(hot - shift)) / (2 * step))
    return rows


def exact_kernel(energy, states: list[list[int]], n_values: int, temperature: float) -> torch.Tensor:
    """P(x' | x) (S, S) by the definition: propose, accept or stay."""
    s, numbers = len(states), {tuple(x): k for k, x in enumerate(states)}
    q = torch.zeros(s, s, dtype=torch.float64)
    for k, x in enumerate(states):
        g, weights = gradient(energy, x, n_values), {}
        for i, v in itertools.product(range(len(x)), range(n_values)):
            if v != x[i]:
                new = (*x[:i], v, *x[i + 1 :])
                weights[numbers[new]] = math.exp(-(g[i][v] - g[i][x[i]]) / temperature)
        for new, w in weights.items():
            q[k, new] = w / sum(weights.values())
    e = energy(torch.tensor(states)).detach()
    ratio = torch.exp(e[:, None] - e[None, :]) * q.T / q.where(q > 0, torch.ones_like(q))
    kernel = q * ratio.clamp_max(1)
    return kernel + torch.diag(1 - kernel.sum(1))


@pytest.fixture
def potts() -> Potts:
    return Potts.random(2, 3, field_std=0.5, coupling_std=0.8, generator=generator(1)).double()


@pytest.mark.parametrize("n_steps, temperature", [(1, 2.0), (1, 1.0), (3, 0.5)])  # at 0.5 many are rejected
@pytest.mark.parametrize("wrap", [Bent, lambda potts: potts])
def test_the_whole_transition_matrix(potts, wrap, n_steps, temperature):
    energy, n, states = wrap(potts), 20_000, potts.states()
    exact = torch.linalg.matrix_power(exact_kernel(energy, states.tolist(), 3, temperature), n_steps)
    x0, options = states.repeat_interleave(n, 0), {"n_values": 3, "temperature": temperature}
    x = gibbs_with_gradients(energy, x0, n_steps=n_steps, **options, generator=generator()).x
    pair = torch.arange(9).repeat_interleave(n) * 9 + potts.index(x)
    found = torch.bincount(pair, minlength=81).view(9, 9) / n
    standard_error = (exact.clamp(0, 1) * (1 - exact).clamp(0, 1) / n).sqrt()
    assert ((found - exact).abs() <= 5 * standard_error + 1e-9).all()


def test_the_exact_kernel_is_in_detailed_balance_with_the_model(potts):
    p = torch.softmax(-Bent(potts)(potts.states()).detach(), 0)
    flow = p[:, None] * exact_kernel(Bent(potts), potts.states().tolist(), 3, 2.0)
    torch.testing.assert_close(flow, flow.T, atol=1e-8, rtol=1e-6)


def test_long_chains_reach_the_stationary_law():
    potts, n = Potts.random(3, 3, generator=generator(2)), 5_000
    energy = Bent(potts)
    x = gibbs_with_gradients(energy, torch.zeros(n, 3).long(), n_steps=40, n_values=3, generator=generator()).x
    p = torch.softmax(-energy(potts.states()).detach(), 0)
    frequency = torch.bincount(potts.index(x), minlength=27) / n
    assert ((frequency - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()


def test_acceptance_is_reported(potts):
    energy, states = Bent(potts), potts.states()
    x0 = states.repeat_interleave(4000, 0)
    info = gibbs_with_gradients(energy, x0, n_steps=1, n_values=3, generator=generator()).info
    torch.testing.assert_close(info["acceptance"], info["log_acceptance"].clamp_max(0).exp())
    stay = exact_kernel(energy, states.tolist(), 3, 2.0).diagonal()
    rate = info["acceptance"].view(9, 4000)
    assert ((rate.mean(1) - (1 - stay)).abs() <= 5 * rate.std(1) / math.sqrt(4000) + 1e-6).all()


def test_independent_positions_of_equal_energy_are_always_accepted():
    # no couplings, no fields: the proposal is symmetric
    result = gibbs_with_gradients(Potts(4, 3), torch.zeros(8, 4).long(), n_steps=10, n_values=3, generator=generator())
    torch.testing.assert_close(result.info["acceptance"], torch.ones(8))


def test_a_path_changes_one_position_at_most_a_step(potts):
    result = gibbs_with_gradients(
        potts, torch.zeros(30, 2).long(), n_steps=6, n_values=3, keep_path=True, generator=generator()
    )
    assert result.path.shape == (7, 30, 2)
    assert (result.path[1:] != result.path[:-1]).sum(2).max() == 1


def test_a_nan_that_a_chain_meets_stops_it_though_it_could_move_on(potts):
    def hole(x):
        hit = (x[..., 2] > 0.5).all(1) if x.ndim == 3 else (x == 2).all(1)
        return torch.where(hit, torch.nan, potts(x))

    with pytest.raises(FloatingPointError, match="along a chain is not finite"):
        gibbs_with_gradients(hole, torch.zeros(20, 2).long(), n_steps=40, n_values=3, generator=generator())


def test_states_of_infinite_energy_are_never_entered(potts):
    def wall(x):
        hit = (x[..., 2] > 0.5).any(1) if x.ndim == 3 else (x == 2).any(1)
        return potts(x).masked_fill(hit, torch.inf)

    x = gibbs_with_gradients(wall, torch.zeros(300, 2).long(), n_steps=20, n_values=3, generator=generator()).x
    assert (x < 2).all() and (x > 0).any()


def test_a_temperature_of_zero_is_refused(potts):
    with pytest.raises(ValueError, match="a number above 0, got 0"):
        gibbs_with_gradients(
            potts, torch.zeros(1, 2).long(), n_steps=1, n_values=3, temperature=0, generator=generator()
        )


def test_an_unlikely_move_is_not_accepted_because_energies_are_of_half_precision():
    # Of numbers in bfloat16 one in 256 is exactly 0, which would accept a move whose probability is exp(-30).
    def steep(x):
        return (30.0 * x[..., 1].sum(dim=-1)).bfloat16() if x.ndim == 3 else (30.0 * (x == 1).sum(dim=1)).bfloat16()

    x0 = torch.zeros(20_000, 1, dtype=torch.int64)
    end = gibbs_with_gradients(steep, x0, n_steps=1, n_values=2, generator=generator())
    assert torch.equal(end.x, x0)


def test_acceptance_is_a_mean_over_many_steps_whatever_the_energys_precision():
    def flat(x):
        return (0 * x.sum(dim=(1, 2)) if x.ndim == 3 else 0.0 * x.sum(dim=1)).bfloat16()

    x0 = torch.zeros(4, 2, dtype=torch.int64)
    end = gibbs_with_gradients(flat, x0, n_steps=400, n_values=2, generator=generator())  # bfloat16 counts to 256
    torch.testing.assert_close(end.info["acceptance"], torch.ones(4))


@pytest.mark.parametrize("temperature", [torch.nan, torch.inf, -1.0])
def test_a_temperature_that_is_none_is_refused(potts, temperature):
    options = {"n_steps": 1, "n_values": 3, "temperature": temperature, "generator": generator()}
    with pytest.raises(ValueError, match="a number above 0, got"):
        gibbs_with_gradients(potts, torch.zeros(1, 2).long(), **options)


def test_blocks_with_a_generator_each_move_as_they_would_alone() -> None:
    energy, x0 = Potts.random(3, 4, generator=generator()), torch.zeros(6, 3, dtype=torch.int64)
    options = {"n_steps": 9, "n_values": 4}
    both = gibbs_with_gradients(energy, x0, generator=[generator(1), generator(2)], **options).x
    alone = [gibbs_with_gradients(energy, x0[:3], generator=generator(seed), **options).x for seed in (1, 2)]
    assert torch.equal(both, torch.cat(alone)) and not torch.equal(*alone)


@pytest.mark.parametrize("n", [0, 4])
def test_generators_that_do_not_divide_the_chains_are_refused(n: int) -> None:
    energy, x0 = Potts.random(3, 4, generator=generator()), torch.zeros(6, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match=f"as many equal blocks of rows: got {n} for 6 rows"):
        gibbs_with_gradients(energy, x0, n_steps=1, n_values=4, generator=[generator(k) for k in range(n)])
