from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.core import Conditioned
from ebm_course.energies.spen import Spen, chain_energy
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.samplers.relaxed_descent import relaxed_descent
from ebm_course.samplers.viterbi import viterbi

G = torch.Generator()
both_methods = pytest.mark.parametrize("method", ["softmax", "exponentiated"])


def descend(energy, x0: Tensor, **settings) -> Tensor:
    return relaxed_descent(energy, x0, generator=G, **{"n_steps": 200, "step_size": 0.5, **settings})


def uniform(unary: Tensor) -> Tensor:
    return torch.full_like(unary, 1 / unary.shape[2])


def test_one_exponentiated_step_by_hand():
    cost = torch.tensor([1.0, 0.0, 2.0])
    x = descend(lambda y: (y * cost).sum(dim=(1, 2)), torch.tensor([[[0.5, 0.25, 0.25]]]), n_steps=1, step_size=0.5).x
    weights = torch.tensor([0.5, 0.25, 0.25]) * (-0.5 * cost).exp()
    torch.testing.assert_close(x[0, 0], weights / weights.sum())


def test_one_softmax_step_is_a_gradient_step_on_the_logits():
    x0 = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]])
    z = x0.log().requires_grad_()

    def energy(y: Tensor) -> Tensor:
        return (y[:, 0] * y[:, 1]).sum(dim=1) + y[:, 0, 0].square()

    energy(z.softmax(dim=2)).sum().backward()
    x = descend(energy, x0, n_steps=1, step_size=0.5, method="softmax").x
    torch.testing.assert_close(x, (z - 0.5 * z.grad).softmax(dim=2).detach())


@both_methods
def test_states_stay_on_the_simplex_and_the_energy_falls(chain, method):
    unary, w, mask = chain([6, 3], 4)
    energy = Conditioned(lambda u, m, y: chain_energy(u, w, m, y), unary, mask)
    path = descend(energy, uniform(unary), n_steps=30, step_size=0.1, method=method, keep_path=True).path
    torch.testing.assert_close(path.sum(dim=3), torch.ones(path.shape[:3], dtype=torch.float64))
    assert path.min() >= 0
    energies = torch.stack([energy(y) for y in path])
    assert (energies.diff(dim=0) <= 1e-12).all()


def test_no_relaxed_tags_of_a_chain_lie_below_viterbi_and_descent_reaches_it(chain):
    unary, w, mask = chain([6, 3, 5, 6, 4, 2, 6, 6], 4, scale=0.5)
    unary = 2 * unary
    energy = Conditioned(lambda u, m, y: chain_energy(u, w, m, y), unary, mask)
    tags, lowest = viterbi(unary, w, mask)
    starts = torch.rand(8 * 20, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    relaxed = starts / starts.sum(dim=2, keepdim=True)
    assert (energy(relaxed).view(8, 20) > lowest[:, None]).all()
    found = descend(energy, relaxed, n_steps=600, step_size=2.0)
    assert (found.info["energy"].view(8, 20) >= lowest[:, None] - 1e-9).all()
    best = found.info["energy"].view(8, 20).argmin(dim=1)
    torch.testing.assert_close(found.info["energy"].view(8, 20).amin(dim=1), lowest, atol=1e-6, rtol=0)
    rounded = found.x.argmax(dim=2).view(8, 20, 6)[torch.arange(8), best]
    assert torch.equal(rounded[mask], tags[mask])


def test_with_a_tag_language_model_relaxed_tags_may_lie_below_all_tags():
    torch.manual_seed(0)
    model = TagLanguageModel(3, width=4, hidden=6)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4)
    corners = torch.tensor(list(itertools.product(range(3), repeat=5)))
    lowest = model(corners).min()
    starts = torch.rand(200, 5, 3, generator=torch.Generator().manual_seed(1)).softmax(dim=2)
    found = descend(model, starts, n_steps=200, step_size=0.1)
    assert found.info["energy"].min() < lowest - 0.1


def test_a_sentence_read_once_with_gradients_serves_descent_and_then_the_energys_loss():
    spen = Spen(TokenEncoder((20,), width=8, hidden=6), 3)
    energy = spen.given(torch.arange(8).view(2, 4, 1), torch.tensor([[True] * 4, [True, True, False, False]]))
    found = descend(energy, torch.full((2, 4, 3), 1 / 3), n_steps=5)
    assert all(p.grad is None for p in spen.parameters())
    (energy(torch.zeros(2, 4, dtype=torch.int64)) - energy(found.x)).sum().backward()
    assert all(p.grad.ne(0).any() for p in spen.parameters())


@both_methods
def test_at_corners_nothing_more_can_move_by_the_softmax_alone(method):
    cost = torch.tensor([1.0, 0.0])
    corner = F.one_hot(torch.zeros(1, 1, dtype=torch.int64), 2).float()
    x = descend(lambda y: (y * cost).sum(dim=(1, 2)), 0.998 * corner + 0.001, n_steps=20, method=method).x
    assert (x[0, 0, 0] > 0.99) == (method == "softmax")


def test_masked_positions_stay_bit_for_bit(chain):
    unary, w, mask = chain([6, 3], 4)
    x0 = uniform(unary) + 0.01 * torch.tensor([1.0, -1, 1, -1], dtype=torch.float64)
    free = descend(lambda y: chain_energy(unary, w, None, y), x0, n_steps=5).x
    held = descend(lambda y: chain_energy(unary, w, None, y), x0, n_steps=5, mask=mask).x
    assert torch.equal(held[~mask], x0[~mask]) and not torch.allclose(free[~mask], x0[~mask])


@both_methods
def test_pads_and_other_sentences_change_nothing(chain, method):
    lengths = [6, 3, 1]
    unary, w, mask = chain(lengths, 4, longest=8)
    energy = Conditioned(lambda u, m, y: chain_energy(u, w, m, y), unary, mask)
    together = descend(energy, uniform(unary), n_steps=20, mask=mask, method=method).x
    for n, length in enumerate(lengths):
        own = unary[n : n + 1, :length]
        alone = descend(lambda y, own=own: chain_energy(own, w, None, y), uniform(own), n_steps=20, method=method).x
        torch.testing.assert_close(together[n, :length], alone[0], atol=1e-12, rtol=0)


def test_settings_that_are_none_are_refused():
    x0 = torch.full((1, 2, 3), 1 / 3)
    for settings in ({"step_size": 0.0}, {"step_size": float("nan")}, {"method": "newton"}):
        with pytest.raises(ValueError, match="expected a finite step_size above 0 and a method of"):
            descend(lambda y: y.sum(dim=(1, 2)), x0, **settings)
    with pytest.raises(ValueError, match=r"relaxed tags are real numbers \(N, L, K\), got \(1, 2\) of torch.int64"):
        descend(lambda y: y.sum(dim=1), torch.zeros(1, 2, dtype=torch.int64))


def test_tags_without_a_value_are_refused() -> None:
    with pytest.raises(ValueError, match=r"relaxed tags are real numbers \(N, L, K\), got \(2, 3, 0\)"):
        relaxed_descent(
            lambda y: y.sum(dim=(1, 2)), torch.zeros(2, 3, 0), n_steps=1, step_size=1.0, generator=torch.Generator()
        )


def test_a_corner_can_be_left_where_the_slope_is_steep_enough() -> None:
    x0, slope = torch.tensor([[[1.0, 0.0]]]), torch.tensor([200.0, 0.0])  # log of the smallest number is about -87
    found = relaxed_descent(
        lambda x: (x * slope).sum(dim=(1, 2)), x0, n_steps=1, step_size=1.0, generator=torch.Generator()
    ).x
    torch.testing.assert_close(found, torch.tensor([[[0.0, 1.0]]]))
