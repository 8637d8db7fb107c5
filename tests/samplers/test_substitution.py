"""The batched attack against Algorithm 1 written literally, one sequence and one candidate at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.core import Conditioned, Energy
from ebm_course.energies.potts import Potts
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.samplers.substitution import substitution
from ebm_course.samplers.substitution_proposals import by_gain, by_saliency, saliency

V, L, N = 7, 6, 8


def synonyms() -> Tensor:
    """Values 0 to 3 replace one another, so do 4 and 5, and 6 is never replaced."""
    groups = {0: [1, 2, 3], 1: [0, 2, 3], 2: [0, 1, 3], 3: [0, 1, 2], 4: [5, 4, 4], 5: [4, 5, 5], 6: [6, 6, 6]}
    return torch.tensor([groups[u] for u in range(V)])


def energies() -> list[Energy]:
    torch.manual_seed(3)
    made: list[Energy] = [Potts.random(L, V, generator=torch.Generator().manual_seed(0)).double()]
    for head in (LikelihoodEnergy, PooledEnergy, CorrectedEnergy):
        net = Transformer(V, L, width=12, n_layers=2, n_heads=2, dropout=0.5)
        energy = head(net)
        for p in energy.parameters():
            torch.nn.init.normal_(p, std=0.7)
        made.append(energy.double())
    return made


def start() -> Tensor:
    return torch.randint(V, (N, L), generator=torch.Generator().manual_seed(5))


def literal_gradient(energy: Any, x: Tensor) -> Tensor:
    """||grad_{e_i} (-E)||_1 of one sequence, (L,)."""
    hot = F.one_hot(x, V).double()[None]
    if hasattr(energy, "net"):
        e = energy.net.embedding(x)[None].detach().requires_grad_()
        (-energy.from_embeddings(e, x[None])).sum().backward()
        assert e.grad is not None
        return e.grad[0].abs().sum(dim=1)
    hot.requires_grad_()
    (-energy(hot)).sum().backward()
    assert hot.grad is not None
    return hot.grad[0].abs().sum(dim=1)


def literal_saliency(energy: Any, x: Tensor, may: list[int]) -> list[tuple[int, int]]:
    """Eqs. 4 and 5: the most salient position with all its synonyms, as pairs of position and value."""
    weight = literal_gradient(energy, x)
    i = max(may, key=lambda j: float(weight[j]))
    return [(i, v) for v in synonyms()[x[i]].tolist() if v != int(x[i])]


def literal_gain(energy: Any, x: Tensor, may: list[int]) -> list[tuple[int, int]]:
    """The three pairs of position and value with the largest first-order fall of E."""
    hot = F.one_hot(x, V).double()[None].requires_grad_()
    energy(hot).sum().backward()
    assert hot.grad is not None
    g = hot.grad[0]
    pairs = {(i, v) for i in may for v in synonyms()[x[i]].tolist() if v != int(x[i])}
    return sorted(pairs, key=lambda p: float(g[p[0], x[p[0]]] - g[p]), reverse=True)[:3]


PROPOSALS = {"saliency": (by_saliency, literal_saliency), "gain": (partial(by_gain, n_candidates=3), literal_gain)}


def literal_attack(
    energy: Any,
    x: Tensor,
    pairs_of: Callable[[Any, Tensor, list[int]], list[tuple[int, int]]],
    *,
    n_steps: int,
    free: Tensor,
    include_current: bool,
    only_improve: bool,
    memory: bool,
) -> Tensor:
    """Algorithm 1, lines 8 to 13, for one sequence (L,), with the options spelt out."""
    x, aside = x.clone(), set()
    for _ in range(n_steps):
        may = [i for i in range(L) if free[i] and i not in aside and set(synonyms()[x[i]].tolist()) != {int(x[i])}]
        if not may:
            break
        pairs, here = pairs_of(energy, x, may), float(energy(x[None]))
        scored = [(here, -1, -1)] if include_current or memory else []
        for i, v in pairs:
            candidate = x.clone()
            candidate[i] = v
            scored.append((float(energy(candidate[None])), i, v))
        lowest, i, v = min(scored)
        if i >= 0 and (not only_improve or lowest < here):
            x[i], aside = v, set()
        if memory:
            aside = aside | {i for i, _ in pairs}
    return x


FLAGS = ("include_current", "only_improve", "memory")
OPTIONS = [dict(zip(FLAGS, flags, strict=True)) for flags in itertools.product((False, True), repeat=3)]


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(k for k, v in o.items() if v) or "paper")
@pytest.mark.parametrize("which", range(4), ids=["potts", "likelihood", "pooled", "corrected"])
def test_the_batched_attack_equals_the_literal_one_token_for_token(
    which: int, options: dict[str, bool], proposal: str
) -> None:
    energy, x0, (propose, pairs_of) = energies()[which], start(), PROPOSALS[proposal]
    free = torch.rand(N, L, generator=torch.Generator().manual_seed(8)) < 0.8  # others in each sequence
    named = {"position_memory" if k == "memory" else k: v for k, v in options.items()}
    batched = substitution(energy, x0, n_steps=7, synonyms=synonyms(), free=free, propose=propose, **named)
    energy.eval()  # type: ignore[attr-defined]
    energy.requires_grad_(False)  # type: ignore[attr-defined]
    literal = [
        literal_attack(energy, x, pairs_of, n_steps=7, free=row, **options) for x, row in zip(x0, free, strict=True)
    ]
    assert torch.equal(batched.x, torch.stack(literal))
    assert not torch.equal(batched.x, x0)


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("propose", [None, by_gain, partial(by_gain, n_candidates=4)])
def test_dropping_fixed_chains_changes_nothing(which: int, propose: Any) -> None:
    energy, chosen = energies()[which], {} if propose is None else {"propose": propose}
    for options in ({"include_current": True}, {"position_memory": True}, {"only_improve": True}):
        both = [
            substitution(energy, start(), n_steps=12, synonyms=synonyms(), drop_fixed=drop, **chosen, **options)
            for drop in (True, False)
        ]
        assert torch.equal(both[0].x, both[1].x)
        for name in both[0].info:
            torch.testing.assert_close(both[0].info[name], both[1].info[name], rtol=1e-12, atol=1e-12, msg=name)


def test_with_position_memory_every_chain_ends_where_no_substitution_helps() -> None:
    energy, table = energies()[0], synonyms()
    end = substitution(energy, start(), n_steps=200, synonyms=table, position_memory=True)
    assert bool(end.info["frozen"].all())
    for row, e in zip(end.x, energy(end.x).detach(), strict=True):
        for i in range(L):
            for v in table[row[i]].tolist():
                other = row.clone()
                other[i] = v
                assert float(energy(other[None]).detach()) >= float(e) - 1e-12


def test_without_the_current_token_chains_toggle_and_with_it_they_freeze() -> None:
    energy = energies()[0]
    paper = substitution(energy, start(), n_steps=41, synonyms=synonyms())
    current = substitution(energy, start(), n_steps=41, synonyms=synonyms(), include_current=True)
    assert float(paper.info["toggling"].float().mean()) > 0.5 and not bool(paper.info["frozen"].any())
    assert bool(current.info["frozen"].all()) and not bool(current.info["toggling"].any())


def test_what_leaves_the_energy_as_it_was_is_no_improvement() -> None:
    def level(x: Tensor) -> Tensor:
        return 0.0 * x.flatten(1).sum(dim=1)

    flat = substitution(level, start(), n_steps=3, synonyms=synonyms(), only_improve=True)
    assert torch.equal(flat.x, start()) and not bool(flat.info["n_moves"].any()) and bool(flat.info["frozen"].all())


def test_only_free_positions_and_only_synonyms_change() -> None:
    x0, table = start(), synonyms()
    free = torch.tensor([True, False, True, False, True, True])
    x = substitution(energies()[1], x0, n_steps=20, synonyms=table, free=free).x
    assert torch.equal(x[:, ~free], x0[:, ~free])
    assert torch.equal(x == 6, x0 == 6) and torch.equal(x >= 4, x0 >= 4)


def test_energies_never_rise_when_only_improvements_count() -> None:
    energy = energies()[2]
    path = substitution(energy, start(), n_steps=10, synonyms=synonyms(), only_improve=True, keep_path=True).path
    assert path is not None and path.shape == (11, N, L) and torch.equal(path[0], start())
    energy.eval()  # type: ignore[attr-defined]
    with torch.no_grad():
        e = torch.stack([energy(x) for x in path])
    assert (e[1:] <= e[:-1] + 1e-12).all() and (e[-1] < e[0]).any()


def test_the_first_order_gain_of_a_potts_model_is_exact_so_one_candidate_is_the_best_of_all() -> None:
    energy, x0 = energies()[0], start()
    x = substitution(energy, x0, n_steps=1, synonyms=synonyms(), propose=by_gain, only_improve=True).x
    for before, after in zip(x0, x, strict=True):
        every = [before]
        for i in range(L):
            for v in synonyms()[before[i]].tolist():
                every.append(before.clone())
                every[-1][i] = v
        lowest = energy(torch.stack(every)).min()
        torch.testing.assert_close(energy(after[None])[0], lowest)


def test_saliency_is_measured_in_embeddings_where_the_energy_has_them() -> None:
    energy, x = energies()[1], start()
    energy.eval()  # type: ignore[attr-defined]
    _, weight = saliency(energy, x, V)
    by_hand = torch.stack([literal_gradient(energy, row) for row in x])
    torch.testing.assert_close(weight, by_hand)


def test_a_conditional_energy_keeps_its_condition_row_by_row() -> None:
    target = torch.randint(4, (N, L), generator=torch.Generator().manual_seed(1))

    def mismatch(wanted: Tensor, y: Tensor) -> Tensor:
        hot = F.one_hot(y, V).double() if y.ndim == 2 else y
        return (1 - (hot * F.one_hot(wanted, V)).sum(dim=-1)).sum(dim=1)

    x0 = torch.zeros(N, L, dtype=torch.long)
    end = substitution(Conditioned(mismatch, target), x0, n_steps=20, synonyms=synonyms(), position_memory=True)
    assert torch.equal(end.x, target) and bool((end.info["energy"] == 0).all())


def test_bad_input_is_refused_in_words() -> None:
    energy = energies()[0]
    with pytest.raises(ValueError, match="out of the vocabulary"):
        substitution(energy, start() + 3, n_steps=1, synonyms=synonyms())
    with pytest.raises(ValueError, match=r"bool \(6,\) or \(8, 6\)"):
        substitution(energy, start(), n_steps=1, synonyms=synonyms(), free=torch.ones(3, dtype=torch.bool))
    with pytest.raises(FloatingPointError, match="attacked energy is not finite"):
        substitution(
            lambda x: x.double().sum(dim=tuple(range(1, x.ndim))) * torch.nan, start(), n_steps=1, synonyms=synonyms()
        )
    with pytest.raises(ValueError, match="expected 0 to 6, got 1 to 7"):
        substitution(energy, start(), n_steps=1, synonyms=synonyms() + 1)


@pytest.mark.parametrize("only_improve", [False, True])
def test_a_nan_on_the_way_is_told_though_the_chain_ends_elsewhere(only_improve: bool) -> None:
    potts, x0 = energies()[0], torch.zeros(2, L, dtype=torch.long)

    def hole(x: Tensor) -> Tensor:
        hot = F.one_hot(x, V).double() if x.ndim == 2 else x
        return torch.where(hot[:, :, 2].amax(dim=1) > 0.5, torch.nan, potts(x))  # a candidate of every step

    with pytest.raises(FloatingPointError, match="attacked energy is not finite in 2 of 2"):
        substitution(hole, x0, n_steps=1, synonyms=synonyms(), only_improve=only_improve)
