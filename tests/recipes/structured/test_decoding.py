"""Decoding a part of the data in batches changes no tag, and each decoder decodes what its name says."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.core import Batch, Negatives
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.recipes.structured import parts
from ebm_course.recipes.structured.decoding import (
    Decoder,
    answered,
    chain_of,
    cost_augmented,
    decoded,
    descended,
    headline,
    measured,
    searched,
    uniform,
)
from ebm_course.samplers.beam import beam
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.samplers.relaxed_descent import relaxed_descent
from ebm_course.tasks.tagging_score import accuracy

K, SIZES = 3, (4, 1, 3, 4, 2)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    x = [torch.randint(9, (n, 1), generator=generator) for n in SIZES]
    return Batch.padded(x, [torch.randint(K, (n,), generator=generator) for n in SIZES])


def energy(kind: str | None = None, *, seed: int = 1) -> Spen | GlobalEnergy:
    torch.manual_seed(seed)
    chain = Spen(TokenEncoder((9,), width=4, hidden=3), K, init=2.0)
    return chain if kind is None else GlobalEnergy(chain, kind, width=3, hidden=4, weight=3.0)


def best(model: Spen | GlobalEnergy, data: Batch) -> Tensor:
    """By trying all tags."""
    tags = torch.zeros(len(data), max(SIZES), dtype=torch.int64)
    for row, n in enumerate(SIZES):
        some = torch.tensor(list(itertools.product(range(K), repeat=n)))
        with torch.no_grad():
            tags[row, :n] = some[model.eval()(data.x[row, :n].expand(len(some), n, 1), None, some).argmin()]
    return tags


@pytest.mark.parametrize("kind", [None, "a", "b", "c"])
@pytest.mark.parametrize("rows_at_once", [1, 2, 128])
def test_the_search_finds_the_best_tags_of_all(kind: str | None, rows_at_once: int) -> None:
    model, data = energy(kind), batch()
    found = decoded(searched(model, width=27), data, rows_at_once=rows_at_once)
    assert torch.equal(found, best(model, data))


def test_what_is_decoded_at_pads_is_tag_0() -> None:
    data = batch()
    found = decoded(lambda some: torch.full(some.x.shape[:2], 2), data)
    assert data.mask is not None and torch.equal(found, 2 * data.mask)


def test_a_chains_best_tags_end_where_its_sentence_does() -> None:
    chain, data = energy(seed=5), batch()  # whose best tags are others where the pads are tokens
    assert data.mask is not None
    whole = searched(chain, width=1)(Batch(data.x, data.y, torch.ones_like(data.mask))).masked_fill(~data.mask, 0)
    assert not torch.equal(whole, best(chain, data))
    assert torch.equal(searched(chain, width=1)(data).masked_fill(~data.mask, 0), best(chain, data))


def test_a_beam_starts_from_the_chains_best_tags_and_searches_real_tokens_as_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, data, seen = energy("a", seed=5), batch(), list[tuple[Tensor, dict[str, Any]]]()
    assert data.mask is not None

    def noted(given: Any, x0: Tensor, **options: Any) -> Negatives:
        seen.append((x0, options))
        return beam(given, x0, **options)

    monkeypatch.setattr("ebm_course.recipes.structured.decoding.beam", noted)
    searched(model, width=5, n_passes=3)(data)
    ((start, options),) = seen
    assert torch.equal(start.masked_fill(~data.mask, 0), best(chain_of(model), data))
    assert torch.equal(options.pop("mask"), data.mask)
    del options["generator"]
    assert options == {"n_steps": 3, "n_values": K, "width": 5}


def test_a_beam_cut_into_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = energy("b"), batch()
    whole = decoded(searched(model, width=2), data)
    monkeypatch.setattr("ebm_course.recipes.structured.decoding.CANDIDATES_AT_ONCE", 12)
    assert torch.equal(decoded(searched(model, width=2), data), whole)


def test_a_narrow_beam_finds_the_same_in_sentences_alone_and_together() -> None:
    model, data = energy("a"), batch()
    together, alone = (decoded(searched(model, width=2, n_passes=1), data, rows_at_once=n) for n in (128, 1))
    assert torch.equal(together, alone)


def test_descent_on_a_chain_ends_at_the_best_tags() -> None:
    model, data = energy(), batch()
    found = decoded(descended(model, n_steps=100, step_size=0.5, method="exponentiated"), data)
    assert torch.equal(found, best(model, data))
    uniform = descended(model, n_steps=0, step_size=0.5, method="softmax")(data)
    assert torch.equal(uniform, torch.full((5, 4, K), 1 / K))


def test_networks_answer_in_eval_mode_and_their_modes_are_put_back() -> None:
    torch.manual_seed(0)
    nets = InferenceNetworks(TokenEncoder((9,), width=4, hidden=3, dropout=0.5), K, parametrisation="stacked").train()
    data = batch()
    for decode, expected in ((answered, nets.test_time), (cost_augmented, nets.cost_augmented)):
        tags = decoded(decode(nets), data)
        assert nets.training
        nets.eval()
        given = (data.x, data.mask) if decode is answered else (data.x, data.y, data.mask)
        assert data.mask is not None
        p = expected(*given)  # type: ignore[arg-type]
        assert torch.equal(tags, p.argmax(2).masked_fill(~data.mask, 0))
        nets.train()
        assert torch.equal(decode(nets)(data)[data.mask], p[data.mask]), "of real tokens, where pads are read as pads"


def test_descent_is_as_asked_and_sees_an_energy_in_training_in_eval_mode() -> None:
    torch.manual_seed(0)
    model, data = Spen(TokenEncoder((9,), width=4, hidden=3, dropout=0.5), K).train(), batch()
    decode = descended(model, n_steps=3, step_size=0.5, method="softmax")
    found = decode(data)
    assert model.training and torch.equal(found, decode(data))
    model.eval()
    how: dict[str, Any] = {"n_steps": 3, "step_size": 0.5, "method": "softmax", "mask": data.mask}
    given = model.given(data.x, data.mask)
    assert torch.equal(found, relaxed_descent(given, uniform(data, K), **how, generator=torch.Generator()).x)


def test_a_chain_is_measured_on_all_rows_and_a_beam_on_as_many_as_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    monkeypatch.setattr(parts, "searched", lambda _, *, width: widths.append(width))
    found = [parts.exact_decoder(energy(kind), batch(), beam_width=7, n_searched=2).rows for kind in (None, "a")]
    assert [len(rows) for rows in found] == [5, 2] and widths == [7, 7]


def test_a_decoder_is_measured_on_its_own_rows() -> None:
    data = batch()

    def right(some: Batch) -> Tensor:
        assert some.y is not None
        return some.y

    def score(states: Tensor, some: Batch) -> dict[str, float]:
        assert some.y is not None and some.mask is not None
        return {"accuracy": accuracy(states, some.y, some.mask), "n": float(len(some))}

    decoders = {"all": Decoder(right, data), "two": Decoder(lambda some: 1 + right(some), data[:2])}
    assert measured(decoders, score) == {"all": {"accuracy": 1.0, "n": 5.0}, "two": {"accuracy": 0.0, "n": 2.0}}
    assert headline({"f1": 0.2, "accuracy": 0.9}) == 0.2
