from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from ebm_course.core import energy_grad
from ebm_course.energies import potts as module
from ebm_course.energies.potts import Potts


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def literal_energy(model: Potts, x: list[int]) -> float:
    """The double sum of the definition, in Python."""
    e = -sum(model.fields[i, v].item() for i, v in enumerate(x))
    for p, (i, j) in enumerate(itertools.combinations(range(model.length), 2)):
        e -= model.couplings[p, x[i], x[j]].item()
    return e


@pytest.fixture
def model() -> Potts:
    return Potts.random(3, 4, generator=generator()).double()


def test_energy_equals_the_literal_double_sum(model):
    x = model.states()[::5]
    literal = torch.tensor([literal_energy(model, row) for row in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(model(x), literal)


def test_relaxed_and_hard_tokens_give_one_energy(model):
    x = model.states()
    torch.testing.assert_close(model(F.one_hot(x, 4).double()), model(x))
    torch.testing.assert_close(model.from_embeddings(model.embed(x), x), model(x))


def test_the_gradient_gives_the_exact_change_of_every_single_substitution(model):
    x = model.states()[::7]
    e, grad = energy_grad(model, model.embed(x).detach())
    for i, v in itertools.product(range(3), range(4)):
        new = x.clone()
        new[:, i] = v
        change = grad[:, i, v] - grad[:, i].gather(1, x[:, i, None])[:, 0]
        torch.testing.assert_close(e + change, model(new).detach())


def test_states_come_in_the_order_of_a_product_and_index_finds_them(model):
    x = model.states()
    assert x.tolist() == [list(row) for row in itertools.product(range(4), repeat=3)]
    assert torch.equal(model.index(x), torch.arange(64))


@pytest.mark.parametrize("length, n_values", [(1, 5), (2, 2), (3, 4), (5, 2)])
def test_energies_by_broadcasting_equal_energies_of_the_states(length, n_values):
    model = Potts.random(length, n_values, generator=generator())
    torch.testing.assert_close(model.all_energies(), model(model.states()))


def test_log_z_by_hand():
    model = Potts(2, 2)
    with torch.no_grad():
        model.couplings[0] = math.log(3) * torch.eye(2)  # weights 3, 1, 1, 3
    assert model.log_z().item() == pytest.approx(math.log(8))
    torch.testing.assert_close(model.probabilities(), torch.tensor([3.0, 1.0, 1.0, 3.0]) / 8)
    torch.testing.assert_close(model.log_prob(torch.tensor([[1, 1]])).exp(), torch.tensor([0.375]))


def test_probabilities_sum_to_one_and_are_the_exponentials_of_log_prob(model):
    assert model.probabilities().sum().item() == pytest.approx(1)
    torch.testing.assert_close(model.log_prob(model.states()).exp(), model.probabilities())


def test_log_z_has_the_expected_features_as_its_gradient(model):
    fields, couplings = torch.autograd.grad(model.log_z(), [model.fields, model.couplings])
    p, hot = model.probabilities().detach(), F.one_hot(model.states(), 4).double()
    torch.testing.assert_close(fields, torch.einsum("s,siv->iv", p, hot))
    torch.testing.assert_close(couplings[1], torch.einsum("s,su,sv->uv", p, hot[:, 0], hot[:, 2]))


def test_exact_draws_have_the_exact_frequencies(model):
    n, p = 100_000, model.probabilities().detach()
    x = model.sample(n, generator=generator(1))
    frequency = torch.bincount(model.index(x), minlength=64) / n
    standard_error = (p * (1 - p) / n).sqrt()
    assert ((frequency - p).abs() < 5 * standard_error).all()


def test_too_many_states_are_refused_before_they_are_made():
    with pytest.raises(ValueError, match=r"16\^35 states are too many to enumerate: expected 1048576 at most"):
        Potts(35, 16).log_z()
    assert len(Potts(20, 2).all_energies()) == module.MAX_STATES
    for act in (Potts.states, Potts.probabilities, Potts.all_energies):
        with pytest.raises(ValueError, match="Use fewer positions or values"):
            act(Potts(21, 2))


@pytest.mark.parametrize(
    "x", [torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 3), torch.zeros(2, 3, 5), torch.zeros(3).long()]
)
def test_states_of_another_shape_or_dtype_are_refused(model, x):
    with pytest.raises(ValueError, match=r"this Potts model reads tokens \(N, 3\)"):
        model(x)


@pytest.mark.parametrize("token", [-1, 4])
def test_a_token_out_of_the_vocabulary_is_refused(model, token):
    x = torch.tensor([[0, token, 0]])
    with pytest.raises(ValueError, match="out of the vocabulary: expected 0 to 3"):
        model.log_prob(x)
    with pytest.raises(ValueError, match="out of the vocabulary: expected 0 to 3"):
        model(x)


def test_sizes_that_make_no_model_are_refused():
    with pytest.raises(ValueError, match="got 0 and 3"):
        Potts(0, 3)


@pytest.mark.parametrize("sizes", [(2.5, 4), (3, "4"), (True, 4)])
def test_sizes_are_whole_numbers(sizes):
    with pytest.raises(ValueError, match="is a whole number: expected 0 or larger"):
        Potts(*sizes)
