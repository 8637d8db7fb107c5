"""The contract: energies are (N,), gradients do not mix rows, flags come back, conditions follow the row rule."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from ebm_course.batch import Batch
from ebm_course.core import (
    CachesPrefix,
    Conditional,
    Conditioned,
    Discrete,
    Embeds,
    Energy,
    Selectable,
    WrapsModule,
    can_select,
    energies_of,
    energy_grad,
    frozen,
    select,
)


def quadratic(x: Tensor) -> Tensor:
    return x.square().sum(-1) / 2


def test_energies_of_a_quadratic_are_half_the_squared_lengths() -> None:
    assert energies_of(quadratic, torch.tensor([[3.0, 4.0], [0.0, 2.0]])).tolist() == [12.5, 2.0]


@pytest.mark.parametrize(
    "energy, got, hint",
    [
        (lambda x: quadratic(x)[:, None], r"\(5, 1\)", r"Use e\.squeeze\(-1\)"),
        (lambda x: quadratic(x).sum(), r"\(\)", "Sum over the state's axes"),
        (lambda x: quadratic(x)[:4], r"\(4,\)", "keep the rows"),
    ],
)
def test_an_energy_of_another_shape_is_refused(energy, got: str, hint: str) -> None:
    with pytest.raises(ValueError, match=rf"\(5, 2\).*expected \(5,\), got {got}\. .*{hint}"):
        energies_of(energy, torch.zeros(5, 2))


def test_energy_grad_of_a_quadratic_is_the_state_and_leaves_it_alone() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    e, grad = energy_grad(quadratic, x)
    assert torch.equal(grad, x)
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert not e.requires_grad
    assert not grad.requires_grad


def test_energy_grad_works_inside_no_grad() -> None:
    x = torch.ones(2, 3)
    with torch.no_grad():
        assert torch.equal(energy_grad(quadratic, x)[1], x)


def test_energy_grad_of_a_row_depends_on_no_other_row() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    together = energy_grad(net, x)[1]
    one_by_one = torch.cat([energy_grad(net, row[None])[1] for row in x])
    torch.testing.assert_close(together, one_by_one)


def test_tokens_have_no_gradient() -> None:
    with pytest.raises(TypeError, match=r"torch\.int64.*one-hot rows \(N, L, V\)"):
        energy_grad(quadratic, torch.zeros(2, 3, dtype=torch.int64))


@pytest.mark.parametrize("energy", [lambda x: torch.zeros(len(x)), lambda x: quadratic(x.detach())])
def test_energies_cut_off_from_their_states_have_no_gradient(energy) -> None:
    with pytest.raises(ValueError, match=r"got energies without a graph\. Remove detach\(\)"):
        energy_grad(energy, torch.ones(2, 3))
    assert energy_grad(lambda x: 0 * x.sum(-1), torch.ones(2, 3))[1].abs().max() == 0


def mixed_net() -> nn.Module:
    """A net whose flags differ from part to part: a dropout in eval mode, a parameter already without gradient."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 1))
    net[1].eval()
    net[0].bias.requires_grad_(False)
    return net


def flags(net: nn.Module) -> tuple[list[bool], list[bool]]:
    return [m.training for m in net.modules()], [p.requires_grad for p in net.parameters()]


def test_frozen_is_eval_without_gradients_inside_and_restores_mixed_flags() -> None:
    net = mixed_net()
    before = flags(net)
    assert before == ([True, True, False, True], [True, False, True, True])
    with frozen(net):
        assert flags(net) == ([False] * 4, [False] * 4)
    assert flags(net) == before


def test_frozen_restores_after_an_error() -> None:
    net = mixed_net()
    before = flags(net)
    with pytest.raises(KeyError), frozen(net):
        raise KeyError
    assert flags(net) == before


def test_frozen_reaches_the_module_behind_a_condition() -> None:
    net = nn.Bilinear(2, 2, 1)
    before = flags(net)
    for energy in (Conditioned(net, torch.zeros(1, 2)), Conditioned(lambda x, y: x, torch.zeros(1, 2), module=net)):
        with frozen(energy):
            assert flags(net) == ([False], [False, False])
        assert flags(net) == before


def test_frozen_leaves_a_plain_function_alone() -> None:
    with frozen(quadratic):
        assert energies_of(quadratic, torch.zeros(1, 2)).tolist() == [0.0]


def test_frozen_keeps_gradients_in_the_state() -> None:
    net = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    with frozen(net):
        assert energy_grad(net, torch.zeros(3, 2))[1].shape == (3, 2)


def pair(x: Tensor, y: Tensor) -> Tensor:
    return 10 * x[:, 0] + y[:, 0]


def test_a_conditional_energy_gives_row_m_the_condition_of_chain_m_over_k() -> None:
    energy = Conditioned(pair, torch.tensor([[1.0], [2.0]]))
    y = torch.arange(6.0)[:, None]
    assert energy(y).tolist() == [10, 11, 12, 23, 24, 25]
    assert energy(y[:2]).tolist() == [10, 21]


def test_a_conditional_energy_takes_several_conditions() -> None:
    energy = Conditioned(lambda a, b, y: a + 10 * b + 100 * y, torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    assert energy(torch.tensor([0.0, 1.0, 0.0, 1.0])).tolist() == [31, 131, 42, 142]


@pytest.mark.parametrize("n, rows", [(2, 3), (0, 2)])
def test_rows_that_are_no_multiple_of_the_conditions_are_refused(n: int, rows: int) -> None:
    with pytest.raises(ValueError, match=rf"its {n} conditions.*got {rows} rows\. Pass a multiple of {n}"):
        Conditioned(pair, torch.zeros(n, 1))(torch.zeros(rows, 1))


@pytest.mark.parametrize("index", [torch.tensor([2, 0]), torch.tensor([True, False, True])])
def test_select_keeps_the_conditions_of_the_chains_that_stay(index: Tensor) -> None:
    energy = Conditioned(pair, torch.tensor([[1.0], [2.0], [3.0]]), module=nn.Identity())
    x, y = torch.tensor([[1.0], [2.0], [3.0]])[index], torch.zeros(2, 1)
    kept = select(energy, index)
    assert kept(y).tolist() == pair(x, y).tolist()
    assert kept.module is energy.module  # type: ignore[attr-defined]


def test_chains_may_leave_modules_and_conditional_energies_but_not_plain_functions() -> None:
    net = nn.Identity()
    assert select(net, torch.tensor([0])) is net
    assert can_select(net)
    assert can_select(Conditioned(pair, torch.zeros(1, 1)))
    assert not can_select(quadratic)


class Tagger(nn.Module):
    """E(x, y): over real positions, how far the tags y are from the words x they belong to."""

    n_values = 10

    def forward(self, x: Tensor, mask: Tensor | None, y: Tensor) -> Tensor:
        wrong = (x != y).float()
        return (wrong if mask is None else wrong * mask).sum(dim=1)

    def given(self, condition: Tensor, mask: Tensor | None = None) -> Energy:
        return Conditioned(self, condition, mask)


def test_a_conditional_energy_repeats_the_mask_with_its_condition_for_k_candidates_a_chain() -> None:
    batch = Batch.padded([torch.tensor([1, 2, 3]), torch.tensor([4]), torch.tensor([5, 6])], fill=9)
    energy = Tagger().given(batch.x, batch.mask)
    assert energy(batch.x * 0).tolist() == batch.lengths.tolist()  # padding costs nothing
    k = 4
    candidates = torch.randint(10, (3 * k, 3), generator=torch.Generator().manual_seed(0))
    one_by_one = [
        int((row[: len(words)] != words).sum())
        for words, rows in zip(
            [x[m] for x, m in zip(batch.x, batch.mask, strict=True)], candidates.split(k), strict=True
        )
        for row in rows
    ]
    assert energies_of(energy, candidates).tolist() == one_by_one
    kept = select(energy, torch.tensor([2, 0]))
    assert kept(candidates[[8, 9, 0, 1]]).tolist() == [one_by_one[m] for m in (8, 9, 0, 1)]


def test_without_a_mask_every_position_counts() -> None:
    x = torch.tensor([[1, 2], [3, 4]])
    energy = Tagger().given(x)
    assert energy(torch.zeros(4, 2)).tolist() == [2, 2, 2, 2]
    assert select(energy, torch.tensor([1]))(x[1:]).tolist() == [0]


def test_what_an_energy_has_beyond_the_contract_is_asked_for_by_isinstance() -> None:
    tagger, given = Tagger(), Conditioned(pair, torch.zeros(1, 1))
    assert isinstance(tagger, Discrete) and isinstance(tagger, Conditional) and not isinstance(tagger, Embeds)
    assert isinstance(given, Selectable) and isinstance(given, WrapsModule) and not isinstance(given, Discrete)
    for ability in (Discrete, Embeds, CachesPrefix, Conditional, Selectable, WrapsModule):
        assert not isinstance(quadratic, ability)


def test_two_threads_that_overlap_in_frozen_leave_the_flags_as_they_were():
    model = torch.nn.Linear(2, 1)
    first, second = frozen(model), frozen(model)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # the second is still inside
    assert not model.training and not model.weight.requires_grad
    second.__exit__(None, None, None)
    assert model.training and model.weight.requires_grad and model.bias.requires_grad


def test_many_threads_find_the_energy_frozen_and_leave_it_as_it_was():
    model, seen = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)), []

    def work(_):
        for _ in range(200):
            with frozen(model):
                seen.append(model.training or any(p.requires_grad for p in model.parameters()))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert not any(seen) and len(seen) == 1600
    assert all(m.training for m in model.modules()) and all(p.requires_grad for p in model.parameters())
