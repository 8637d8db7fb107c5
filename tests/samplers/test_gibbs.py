from __future__ import annotations

import itertools
import math

import pytest
import torch

from ebm_course.energies.potts import Potts
from ebm_course.samplers.gibbs import gibbs


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model() -> Potts:
    return Potts.random(2, 3, field_std=0.7, coupling_std=1.0, generator=generator(1)).double()


def exact_kernel(model: Potts, position: int) -> torch.Tensor:
    """P(x' | x) (S, S) of redrawing one position, by the definition of a conditional probability."""
    states, p = model.states().tolist(), model.probabilities().tolist()
    kernel = torch.zeros(len(p), len(p), dtype=torch.float64)
    for a, b in itertools.product(range(len(p)), repeat=2):
        same = [i for i in range(model.length) if i != position]
        if all(states[a][i] == states[b][i] for i in same):
            given = sum(q for s, q in zip(states, p, strict=True) if all(s[i] == states[a][i] for i in same))
            kernel[a, b] = p[b] / given
    return kernel


def empirical_kernel(model: Potts, n: int, **options: object) -> torch.Tensor:
    """Frequencies (S, S) of where n chains from every state go."""
    states = model.states()
    s = len(states)
    x = gibbs(model, states.repeat_interleave(n, 0), n_values=model.n_values, generator=generator(), **options).x
    pair = torch.arange(s).repeat_interleave(n) * s + model.index(x)
    return torch.bincount(pair, minlength=s * s).view(s, s) / n


def assert_same_kernel(found: torch.Tensor, exact: torch.Tensor, n: int) -> None:
    assert torch.equal(found > 0, exact > 0)
    standard_error = (exact * (1 - exact) / n).sqrt()
    assert ((found - exact).abs() <= 5 * standard_error).all()


def test_the_whole_transition_matrix_of_a_random_position(model):
    n = 20_000
    exact = torch.stack([exact_kernel(model, i) for i in range(2)]).mean(0)
    torch.testing.assert_close(exact.sum(1), torch.ones(9, dtype=torch.float64))
    assert_same_kernel(empirical_kernel(model, n, n_steps=1), exact, n)


def test_the_whole_transition_matrix_of_a_sweep(model):
    n = 20_000
    exact = exact_kernel(model, 0) @ exact_kernel(model, 1)
    assert_same_kernel(empirical_kernel(model, n, n_steps=2, sweep=True), exact, n)


def test_both_kernels_leave_the_model_unchanged(model):
    p, kernels = model.probabilities().detach(), [exact_kernel(model, i) for i in range(2)]
    torch.testing.assert_close(p @ (kernels[0] @ kernels[1]), p)
    torch.testing.assert_close(p @ ((kernels[0] + kernels[1]) / 2), p)


@pytest.mark.parametrize("sweep", [False, True])
def test_long_chains_reach_the_stationary_law(sweep):
    model, n = Potts.random(3, 3, generator=generator(2)), 10_000
    x = gibbs(model, torch.zeros(n, 3).long(), n_steps=45, n_values=3, sweep=sweep, generator=generator()).x
    p = model.probabilities().detach()
    frequency = torch.bincount(model.index(x), minlength=27) / n
    assert ((frequency - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()


def test_a_step_changes_one_position_at_most_and_the_moves_are_counted(model):
    x0 = torch.zeros(50, 2).long()
    result = gibbs(model, x0, n_steps=9, n_values=3, keep_path=True, generator=generator())
    changed = (result.path[1:] != result.path[:-1]).sum(2)
    assert result.path.shape == (10, 50, 2) and changed.max() == 1
    assert torch.equal(result.info["n_moves"], changed.sum(0))


def test_all_values_are_scored_in_one_call_and_rows_belong_to_their_chains(model):
    calls = []

    def spy(x):
        calls.append(x)
        return model(x)

    x0 = torch.randint(3, (7, 2), generator=generator())
    gibbs(spy, x0, n_steps=1, n_values=3, generator=generator())
    candidates = calls[0].view(7, 3, 2)
    assert [len(c) for c in calls] == [21, 7]
    same = (candidates == x0[:, None]).all(1)  # (7, 2): the position that is not redrawn
    assert (same.sum(1) == 1).all()
    assert torch.equal(
        candidates.sort(1).values[~same.unsqueeze(1).expand(7, 3, 2)].view(7, 3), torch.tensor([[0, 1, 2]] * 7)
    )


def test_a_nan_that_a_chain_meets_stops_it_though_it_could_move_on(model):
    def hole(x):
        return torch.where((x == 2).all(1), torch.nan, model(x))

    with pytest.raises(FloatingPointError, match="Gibbs chain is not finite"):
        gibbs(hole, torch.zeros(20, 2).long(), n_steps=30, n_values=3, generator=generator())


def test_states_of_infinite_energy_are_never_entered(model):
    def wall(x):
        return torch.where((x == 2).any(1), torch.inf, model(x))

    x = gibbs(wall, torch.zeros(500, 2).long(), n_steps=20, n_values=3, generator=generator()).x
    assert (x < 2).all()


def test_a_token_out_of_the_vocabulary_is_refused(model):
    with pytest.raises(ValueError, match="out of the vocabulary"):
        gibbs(model, torch.full((2, 2), 3), n_steps=1, n_values=3, generator=generator())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_values_of_equal_energy_are_drawn_alike_in_half_precision(dtype: torch.dtype) -> None:
    n, v = 2_000, 1_024
    x = gibbs(
        lambda x: x.new_zeros(len(x), dtype=dtype),
        torch.zeros(n, 1, dtype=torch.int64),
        n_steps=1,
        n_values=v,
        generator=torch.Generator().manual_seed(0),
    ).x
    p = (v // 10) / v
    assert abs((x < v // 10).double().mean() - p) < 5 * math.sqrt(p * (1 - p) / n)
