"""What makes the attack cheap changes nothing: two-cycles, prefixes, pieces, large vocabularies, short lists."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ebm_course.core import Conditioned
from ebm_course.energies.local_energy import LocalEnergy
from ebm_course.energies.potts import Potts
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, SurpriseEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.samplers.substitution import substitution
from ebm_course.samplers.substitution_proposals import by_gain, by_saliency, by_short_list

V, L, N = 7, 6, 24
OTHERS = (torch.arange(V)[:, None] + torch.arange(1, V)) % V  # (V, V - 1)
HEADS = [LikelihoodEnergy, PooledEnergy, CorrectedEnergy, SurpriseEnergy, LocalEnergy]


def wide(head: type, *, causal: bool = True) -> Any:
    torch.manual_seed(3)
    energy = head(Transformer(V, L, width=12, n_layers=2, n_heads=2, causal=causal)).double()
    for p in energy.parameters():
        nn.init.normal_(p, std=0.7)
    return energy


def start() -> Tensor:
    return torch.randint(V, (N, L), generator=torch.Generator().manual_seed(5))


def assert_same(a: Any, b: Any) -> None:
    assert torch.equal(a.x, b.x) and torch.equal(a.path, b.path)
    for name in set(a.info) - {"energy"}:
        assert torch.equal(a.info[name], b.info[name]), name
    torch.testing.assert_close(a.info["energy"], b.info["energy"])


class Counted(nn.Module):
    """A Potts model that notes how many rows each call has."""

    def __init__(self) -> None:
        super().__init__()
        self.potts = Potts.random(L, V, generator=torch.Generator().manual_seed(0)).double()
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            self.calls.append(len(x))
        e: Tensor = self.potts(x)
        return e


@pytest.mark.parametrize("n_steps", [20, 21])
@pytest.mark.parametrize("propose", [by_saliency, by_gain, by_short_list])
def test_chains_that_go_there_and_back_leave_and_end_as_if_they_had_stayed(propose: Any, n_steps: int) -> None:
    for energy in (Counted(), wide(PooledEnergy)):
        attack = partial(substitution, energy, start(), n_steps=n_steps, synonyms=OTHERS, propose=propose)
        left, stayed = (attack(drop_fixed=drop, keep_path=True) for drop in (True, False))
        assert_same(left, stayed)
        assert float(left.info["toggling"].float().mean()) > 0.5


def test_a_batch_of_two_cycles_costs_nothing_more() -> None:
    rows = []
    for n_steps in (60, 600):
        energy = Counted()
        end = substitution(energy, start(), n_steps=n_steps, synonyms=OTHERS)
        assert bool(end.info["toggling"].all())
        rows.append(sum(energy.calls))
    assert rows[0] == rows[1]


def test_the_current_token_is_not_scored_again() -> None:
    energy = Counted()
    substitution(energy, start(), n_steps=1, synonyms=OTHERS, include_current=True)
    assert sum(energy.calls) == N * (V - 1)  # every other token once; the final energy is that of the best


@pytest.mark.parametrize("options", [{}, {"include_current": True}, {"position_memory": True}], ids=str)
@pytest.mark.parametrize("head", [*HEADS, Counted])
def test_the_energy_reported_is_that_of_the_final_state(head: type, options: dict[str, bool]) -> None:
    energy = Counted() if head is Counted else wide(head)
    for n_steps in (0, 1, 8, 9):  # an even and an odd number for chains that go there and back
        end = substitution(energy, start(), n_steps=n_steps, synonyms=OTHERS, **options)
        torch.testing.assert_close(end.info["energy"], energy.eval()(end.x).detach(), rtol=1e-10, atol=1e-10)
    assert options or bool(end.info["toggling"].any())


@pytest.mark.parametrize("options", [{}, {"include_current": True}, {"position_memory": True}], ids=str)
@pytest.mark.parametrize("head", HEADS)
def test_reusing_prefixes_changes_nothing(head: type, options: dict[str, bool]) -> None:
    attack = partial(substitution, wide(head), start(), n_steps=9, synonyms=OTHERS, keep_path=True, **options)
    plain = attack(reuse_prefix=False)
    assert not torch.equal(plain.x, start())
    for max_rows in (None, 1, 7, 10_000):
        assert_same(attack(max_rows=max_rows), plain)


@pytest.mark.parametrize("first", range(1, L))
@pytest.mark.parametrize("head", HEADS)
def test_what_stands_before_the_first_free_position_is_prefilled_once(head: type, first: int) -> None:
    energy, free = wide(head), torch.arange(L) >= first
    free = free & (torch.rand(N, L, generator=torch.Generator().manual_seed(2)) < 0.7)  # others in each sequence
    free[:, -1] = True
    seen: list[int] = []
    energy.net.blocks[0].up.register_forward_hook(lambda _, args, __: seen.append(args[0].shape[-2]))
    attack = partial(substitution, energy, start(), n_steps=9, synonyms=OTHERS, free=free, keep_path=True, max_rows=N)
    found = attack()
    fixed, *steps = seen
    assert fixed == first and max(steps) == L - first
    assert_same(found, attack(reuse_prefix=False))


def test_a_bidirectional_net_is_attacked_by_whole_candidates() -> None:
    energy = wide(PooledEnergy, causal=False)
    ends = [substitution(energy, start(), n_steps=5, synonyms=OTHERS, reuse_prefix=r).x for r in (True, False)]
    assert torch.equal(*ends) and not torch.equal(ends[0], start())


@pytest.mark.parametrize("propose", [by_saliency, partial(by_gain, n_candidates=4)])
def test_pieces_of_any_size_give_the_same_and_hold_no_more_rows_than_asked_for(propose: Any) -> None:
    ends = []
    for max_rows in (1, 4, 10, 10_000):
        energy = Counted()
        step = partial(substitution, energy, start(), n_steps=5, synonyms=OTHERS, propose=propose, keep_path=True)
        ends.append(step(max_rows=max_rows))
        assert max(energy.calls) <= max_rows
        assert_same(ends[0], ends[-1])


@pytest.mark.parametrize("max_rows", [1, 5, 50, 1000])
@pytest.mark.parametrize("selectable", [True, False])
def test_pieces_of_a_conditional_energy_keep_their_conditions(max_rows: int, selectable: bool) -> None:
    target = torch.randint(V, (N, L), generator=torch.Generator().manual_seed(1))

    def mismatch(wanted: Tensor, y: Tensor) -> Tensor:
        hot = F.one_hot(y, V).double() if y.ndim == 2 else y
        return (1 - (hot * F.one_hot(wanted, V)).sum(dim=-1)).sum(dim=1)

    given = Conditioned(mismatch, target)
    energy = given if selectable else lambda y: given(y)
    end = substitution(energy, start(), n_steps=20, synonyms=OTHERS, position_memory=True, max_rows=max_rows)
    assert torch.equal(end.x, target)


@pytest.mark.parametrize(
    "propose", [by_saliency, partial(by_short_list, n_candidates=3), partial(by_gain, n_candidates=3)]
)
def test_no_table_means_every_other_value(propose: Any) -> None:
    for energy in (wide(LikelihoodEnergy), Potts.random(L, V, generator=torch.Generator().manual_seed(0)).double()):
        attack = partial(substitution, energy, start(), n_steps=7, propose=propose, keep_path=True)
        assert_same(attack(synonyms=None), attack(synonyms=OTHERS))


@pytest.mark.parametrize("head", HEADS)
def test_the_short_list_holds_the_values_with_the_largest_first_order_fall(head: type) -> None:
    energy, x = wide(head).eval(), start()
    table, weight = OTHERS[:, [0, 2, 3, 5]], energy.net.embedding.weight.detach()
    _, where, what = by_short_list(energy, x, torch.ones_like(x, dtype=torch.bool), table, n_candidates=2)
    _, position, _ = by_saliency(energy, x, torch.ones_like(x, dtype=torch.bool), table)
    assert torch.equal(where, position)
    for row, i, values in zip(x, where[:, 0].tolist(), what.tolist(), strict=True):
        h = weight[row][None].requires_grad_()
        (g,) = torch.autograd.grad(energy.from_embeddings(h, row[None]).sum(), h)
        gain = {v: float(g[0, i] @ (weight[row[i]] - weight[v])) for v in table[row[i]].tolist()}
        assert values == sorted(gain, key=lambda v: -gain[v])[:2]


def test_a_short_list_of_all_values_is_the_whole_attack() -> None:
    attack = partial(substitution, wide(PooledEnergy), start(), n_steps=9, synonyms=OTHERS, keep_path=True)
    assert_same(attack(propose=partial(by_short_list, n_candidates=V)), attack())


class Largest(TorchFunctionMode):
    """Notes the most numbers that any tensor made inside has."""

    n = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, tuple | list) else [out]:
            if isinstance(t, Tensor):
                self.n = max(self.n, t.untyped_storage().nbytes() // t.element_size())
        return out


@pytest.mark.parametrize("propose", [by_saliency, partial(by_short_list, n_candidates=20)])
@pytest.mark.parametrize("reuse_prefix", [True, False])
def test_fifty_thousand_values_fit_in_little_memory(propose: Any, reuse_prefix: bool) -> None:
    values, n, length, width = 50_000, 2, 12, 8
    torch.manual_seed(0)
    energy = PooledEnergy(Transformer(values, length, width=width, n_layers=1, n_heads=2))
    x0 = torch.randint(values, (n, length), generator=torch.Generator().manual_seed(1))
    with Largest() as largest:
        end = substitution(
            energy, x0, n_steps=1, synonyms=None, propose=propose, max_rows=1000, reuse_prefix=reuse_prefix
        )
    assert bool((end.info["tokens_moved"] == 1).all())
    # The net's own table is the largest; a piece of 1,000 rows has at most 1,000 x 12 x 32 numbers inside.
    assert largest.n <= values * width + length * width < n * length * values


def test_nothing_free_is_nothing_done() -> None:
    nowhere = torch.zeros(L, dtype=torch.bool)
    for energy in (wide(PooledEnergy), Counted()):
        end = substitution(energy, start(), n_steps=3, synonyms=OTHERS, free=nowhere)
        assert torch.equal(end.x, start()) and bool(end.info["frozen"].all())


def test_bad_settings_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="1 or larger, got 0"):
        substitution(Counted(), start(), n_steps=1, synonyms=OTHERS, max_rows=0)
    with pytest.raises(ValueError, match="has no n_values: pass a table"):
        substitution(Counted(), start(), n_steps=1, synonyms=None)
