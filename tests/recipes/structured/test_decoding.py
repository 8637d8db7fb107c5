"""Decoding a part of the data in batches changes no tag, and each decoder decodes what its name says."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.recipes.structured import parts
from ebm_course.recipes.structured.decoding import (
    Decoder,
    answered,
    cost_augmented,
    decoded,
    descended,
    headline,
    measured,
    searched,
)
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.tasks.tagging_score import accuracy

K, SIZES = 3, (4, 1, 3, 4, 2)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    x = [torch.randint(9, (n, 1), generator=generator) for n in SIZES]
    return Batch.padded(x, [torch.randint(K, (n,), generator=generator) for n in SIZES])


def energy(kind: str | None = None) -> Spen | GlobalEnergy:
    torch.manual_seed(1)
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
        assert torch.equal(tags, expected(*given).argmax(2).masked_fill(~data.mask, 0))  # type: ignore[arg-type]
        nets.train()


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
