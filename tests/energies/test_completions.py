"""Energies by kept prefixes against those of whole sentences: chains, four language models, pads, held places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.energies.global_energy import KINDS, GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.samplers.beam import CompletesPrefix, beam

K, LENGTHS = 4, [6, 3, 1, 5]


def energy_of(kind: str, dtype: torch.dtype = torch.float32) -> GlobalEnergy:
    torch.manual_seed(0)
    spen = Spen(TokenEncoder((20,), width=8, hidden=6), K, init=1.0)
    net = GlobalEnergy(spen, kind, width=4, hidden=6, gamma=0.5, weight=0.7).to(dtype).eval()
    with torch.no_grad():
        for p in net.language_models.parameters():
            p.mul_(3)
    return net


def sentences() -> tuple[Tensor, Tensor, Tensor]:
    generator, longest = torch.Generator().manual_seed(1), max(LENGTHS)
    mask = torch.arange(longest) < torch.tensor(LENGTHS)[:, None]
    shape = (len(LENGTHS), longest)
    tags = torch.randint(K, shape, generator=generator) * mask
    return torch.randint(20, (*shape, 1), generator=generator), mask, tags


def hidden(energy: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same energy as a plain function, so that a search reads every sentence anew."""
    return lambda y: energy(y)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masked", [True, False])
def test_energies_at_every_place_are_those_of_whole_sentences(kind: str, masked: bool) -> None:
    net, (x, mask, start) = energy_of(kind, torch.float64), sentences()
    given = net.given(x, mask if masked else None)
    assert isinstance(given, CompletesPrefix)
    search, draw = given.completions(start), torch.Generator().manual_seed(2)
    rows = start[:, None]
    for t in range(start.shape[1]):
        found = search.energies()
        candidates = rows[:, :, None].repeat(1, 1, K, 1)
        candidates[..., t] = torch.arange(K)
        expected = given(candidates.flatten(0, 2)).view(found.shape)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        parents = torch.randint(rows.shape[1], (len(rows), 3), generator=draw)  # rows may come twice
        tags = torch.randint(K, (len(rows), 3), generator=draw)
        tags = torch.where(mask[:, t, None], tags, start[:, t, None]) if masked else tags
        rows = rows.gather(1, parents[..., None].expand(-1, -1, start.shape[1]))
        rows[..., t] = tags
        search.keep(parents, tags)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1, 3, 30])
def test_a_beam_finds_the_same_tags_by_prefixes_as_by_whole_sentences(kind: str, width: int) -> None:
    net, (x, mask, start) = energy_of(kind), sentences()
    held = mask & (torch.rand(mask.shape, generator=torch.Generator().manual_seed(3)) < 0.8)
    for where in (None, mask, held):
        given = net.given(x, None if where is None else mask)
        options: dict[str, Any] = {
            "n_steps": 2,
            "n_values": K,
            "width": width,
            "mask": where,
            "generator": torch.Generator(),
        }
        by_prefix, anew = beam(given, start, **options), beam(hidden(given), start, **options)
        assert torch.equal(by_prefix.x, anew.x)
        torch.testing.assert_close(by_prefix.info["energy"], anew.info["energy"], rtol=1e-6, atol=1e-6)
        assert (by_prefix.info["energy"] < given(start) - 1e-3).any()


def test_what_stands_at_pads_changes_nothing_bit_for_bit() -> None:
    net, (x, mask, start) = energy_of("c"), sentences()
    found = [net.given(x, mask).completions(torch.where(mask, start, pad)) for pad in (0, 2)]
    with torch.no_grad():
        for t in range(start.shape[1]):
            one, other = (search.energies() for search in found)
            assert torch.equal(one, other)
            for search in found:
                search.keep(torch.zeros_like(start[:, :1]), start[:, t, None])


def test_several_rows_a_sentence_have_the_condition_of_theirs() -> None:
    net, (x, mask, start) = energy_of("b"), sentences()
    twice = torch.stack([start, (start + 1) % K], dim=1).flatten(0, 1)
    with torch.no_grad():
        both = net.given(x, mask).completions(twice).energies()
        apart = [net.given(x, mask).completions(some).energies() for some in (twice[::2], twice[1::2])]
    torch.testing.assert_close(both, torch.stack(apart, dim=1).flatten(0, 1))
