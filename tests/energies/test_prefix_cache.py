"""Energies of substitutions from a cache of the prefix, against a full pass over every candidate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebm_course.core import CachesPrefix, Embeds
from ebm_course.energies.local_energy import LocalEnergy
from ebm_course.energies.prefix_cache import PrefixCache
from ebm_course.energies.sequence_energies import (
    CorrectedEnergy,
    LikelihoodEnergy,
    PooledEnergy,
    SequenceEnergy,
    SurpriseEnergy,
)
from ebm_course.energies.transformer import Transformer
from ebm_course.samplers.substitution import substitution

V, L, N, K = 7, 6, 12, 5
HEADS = [LikelihoodEnergy, PooledEnergy, CorrectedEnergy, SurpriseEnergy, LocalEnergy]


def wide(head: type[SequenceEnergy]) -> SequenceEnergy:
    torch.manual_seed(1)
    energy = head(Transformer(V, L, width=12, n_layers=3, n_heads=2)).double().eval().requires_grad_(False)
    for p in energy.parameters():
        torch.nn.init.normal_(p, std=0.7)
    return energy


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


def cached(energy: SequenceEnergy, x: Tensor) -> PrefixCache:
    cache = energy.prefill(energy.embed(x), x)[1]
    assert cache is not None
    return cache


def full_passes(energy: SequenceEnergy, x: Tensor, position: Tensor, values: Tensor) -> Tensor:
    columns = []
    for k in range(values.shape[1]):
        candidate = x.clone()
        candidate[torch.arange(len(x)), position] = values[:, k]
        columns.append(energy(candidate))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("max_rows", [1, 3, 17, 10_000])
def test_substitutions_at_every_position_equal_full_passes_in_groups_of_any_size(head: type, max_rows: int) -> None:
    energy, x, values = wide(head), tokens(N, L), tokens(N, K, seed=1)
    position = torch.arange(N) % L  # the first and the last too
    found = cached(energy, x).substituted(position, values, max_rows=max_rows)
    torch.testing.assert_close(found, full_passes(energy, x, position, values), rtol=1e-10, atol=1e-10)  # float64
    assert found.std(dim=1).min() > 1e-3  # candidates differ, so a mix-up would show


@pytest.mark.parametrize("head", HEADS)
def test_caches_of_parts_join_to_the_cache_of_all(head: type) -> None:
    energy, x, values, position = wide(head), tokens(N, L), tokens(N, K, seed=1), tokens(N, seed=2) % L
    first, *others = (cached(energy, part) for part in x.split(5))
    whole = cached(energy, x).substituted(position, values, max_rows=20)
    torch.testing.assert_close(first.joined(others).substituted(position, values, max_rows=20), whole)


@pytest.mark.parametrize("head", HEADS)
def test_prefill_gives_the_energy_with_its_graph_and_a_cache_without(head: type) -> None:
    energy, x = wide(head), tokens(N, L)
    embeddings = energy.embed(x).requires_grad_()
    e, cache = energy.prefill(embeddings, x)
    assert cache is not None
    torch.testing.assert_close(e, energy(x))
    assert e.requires_grad
    kept = [cache.features, *(t for pair in cache.keys_values for t in pair)]
    assert not any(t.requires_grad for t in kept)


def test_a_bidirectional_net_and_relaxed_tokens_leave_no_cache() -> None:
    energy, x = wide(PooledEnergy), tokens(N, L)
    relaxed = torch.nn.functional.one_hot(x, V).double()
    assert energy.prefill(energy.embed(relaxed), relaxed)[1] is None
    energy.net.causal = False
    assert energy.prefill(energy.embed(x), x)[1] is None


def test_a_block_after_a_past_of_any_length_equals_the_whole_pass() -> None:
    energy, x = wide(PooledEnergy), tokens(N, L)
    whole = energy.net.features(energy.embed(x))
    for seen in range(1, L):
        _, past = energy.net.features_and_cache(energy.embed(x[:, :seen]))
        rest, _ = energy.net.features_and_cache(energy.embed(x[:, seen:]), past)
        torch.testing.assert_close(rest, whole[:, seen:])


@pytest.mark.parametrize("head", HEADS)
def test_the_sequence_energies_say_that_they_cache_prefixes(head: type) -> None:
    assert isinstance(wide(head), CachesPrefix) and isinstance(wide(head), Embeds)
    assert not isinstance(wide(head).net, CachesPrefix)


@pytest.mark.parametrize("kind", HEADS)
def test_an_attack_under_autocast_runs_and_ends_at_the_energies_it_says(kind) -> None:
    x = torch.randint(5, (6, 4), generator=torch.Generator().manual_seed(0))
    energy = kind(Transformer(5, 4, width=16, n_layers=2, n_heads=2)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        end = substitution(energy, x, n_steps=3, synonyms=None)
    torch.testing.assert_close(end.info["energy"].float(), energy(end.x).detach(), atol=0.1, rtol=0.02)
