from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from ebm_course.core import Conditioned
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen, chain_energy
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.samplers.beam import beam
from ebm_course.samplers.viterbi import viterbi

G, K = torch.Generator(), 3


def search(energy, x0: Tensor, **settings):
    return beam(energy, x0, generator=G, **{"n_steps": 1, "n_values": K, "width": 8, **settings})


def global_energy(kind: str) -> GlobalEnergy:
    torch.manual_seed(0)
    net = GlobalEnergy(Spen(TokenEncoder((20,), width=8, hidden=6), K, init=1.0), kind, width=4, hidden=6).eval()
    with torch.no_grad():
        for p in net.language_models.parameters():
            p.mul_(3)
    return net


def sentences() -> tuple[Tensor, Tensor]:
    mask = torch.arange(5) < torch.tensor([5, 3, 1, 4])[:, None]
    return torch.randint(20, (4, 5, 1), generator=torch.Generator().manual_seed(1)), mask


@pytest.mark.parametrize("kind", ["a", "b", "c"])
def test_wide_enough_it_finds_the_lowest_of_all_tags_with_any_language_model(kind):
    net, (x, mask) = global_energy(kind), sentences()
    energy, states = net.given(x, mask), torch.cartesian_prod(*[torch.arange(K)] * 5)  # (K^5, 5)
    with torch.no_grad():
        energies = energy(states.repeat(4, 1)).view(4, -1)
        chain_tags = viterbi(net.spen.unary(x, mask), net.spen.transitions, mask)[0]
    found = search(energy, chain_tags, width=K**4, mask=mask)
    torch.testing.assert_close(found.info["energy"], energies.amin(dim=1))
    assert (energies.amin(dim=1) < energy(chain_tags) - 1e-3).any(), "the chain's own tags are not the answer"


def test_of_fewer_tags_than_the_energy_knows_it_finds_the_lowest():
    net, (x, mask) = global_energy("a"), sentences()
    energy, states = net.given(x, mask), torch.cartesian_prod(*[torch.arange(K - 1)] * 5)
    with torch.no_grad():
        lowest = energy(states.repeat(4, 1)).view(4, -1).amin(dim=1)
    found = search(energy, torch.zeros(4, 5, dtype=torch.int64), n_values=K - 1, width=(K - 1) ** 4, mask=mask)
    torch.testing.assert_close(found.info["energy"], lowest)
    assert found.x.max() < K - 1


@pytest.mark.parametrize("width", [1, 8, 50])
def test_of_equally_low_tags_it_takes_the_first(width):
    start = torch.full((3, 6), K - 1)
    assert not search(lambda y: torch.zeros(len(y)), start, width=width).x.any()
    ends_apart = search(lambda y: (y[:, 0] == y[:, -1]).float(), start, width=width).x  # 0 0 .. 0 1 is the first
    assert width == 1 or torch.equal(ends_apart, torch.tensor([[0, 0, 0, 0, 0, 1]] * 3))


@pytest.mark.parametrize("width", [1, 2, 5])
def test_it_is_never_above_its_start_and_a_second_pass_never_above_the_first(chain, width):
    unary, w, mask = chain([7, 4, 2], K)
    energy = Conditioned(lambda u, m, y: chain_energy(u, w, m, y), unary, mask)
    x0 = torch.randint(K, (3, 7), generator=torch.Generator().manual_seed(2))
    energies = [search(energy, x0, n_steps=n, width=width, mask=mask).info["energy"] for n in range(4)]
    assert all((after <= before + 1e-12).all() for before, after in itertools.pairwise(energies))
    assert (energies[1] < energies[0]).all()


def test_pads_stay_and_change_nothing(chain):
    unary, w, mask = chain([6, 2, 1], K)
    energy = Conditioned(lambda u, m, y: chain_energy(u, w, m, y), unary, mask)
    x0 = torch.full((3, 6), 2)
    found = search(energy, x0, width=K, mask=mask)
    assert found.x[~mask].eq(2).all()
    for n, length in enumerate([6, 2, 1]):
        own = Conditioned(lambda u, y: chain_energy(u, w, None, y), unary[n : n + 1, :length])
        alone = search(own, x0[n : n + 1, :length], width=K)
        assert torch.equal(alone.x[0], found.x[n, :length])


def test_a_place_that_is_held_wastes_no_row_of_the_beam():
    """The answer 1 . 1 begins worse than 0 . ., of which K copies would fill the beam at the place in between."""

    def energy(y: Tensor) -> Tensor:
        return -5.0 * ((y[:, 0] == 1) & (y[:, 2] == 1)) - 1.0 * (y[:, 0] == 0)

    held = torch.tensor([[True, False, True]])
    assert search(energy, torch.zeros(1, 3, dtype=torch.int64), width=K, mask=held).x.tolist() == [[1, 0, 1]]


def test_it_calls_the_energy_once_a_position_with_all_candidates():
    rows = []

    def energy(y: Tensor) -> Tensor:
        rows.append(len(y))
        return y.float().sum(dim=1)

    found = search(energy, torch.full((2, 4), 2), width=4)
    assert rows == [2 * 1 * K, 2 * K * K, 2 * 4 * K, 2 * 4 * K, 2]
    assert found.x.eq(0).all()


def test_counts_and_tags_that_are_none_are_refused():
    for settings in ({"width": 0}, {"n_values": 0}, {"width": 1.5}):
        with pytest.raises(ValueError, match="is a whole number: expected 1 or larger"):
            search(lambda y: y.sum(dim=1).float(), torch.zeros(1, 2, dtype=torch.int64), **settings)
    with pytest.raises(ValueError, match=r"a beam starts from int64 tags \(N, L\), L > 0, got \(1, 2, 3\)"):
        search(lambda y: y.sum(dim=1), torch.zeros(1, 2, 3))
