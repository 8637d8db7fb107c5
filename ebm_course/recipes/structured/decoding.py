"""Tags of a part of the data: in short batches of about one length, by a network, by descent or by exact search.

It knows energies, searches and batches; no recipe and no loss.

>>> from ebm_course.energies.token_encoder import TokenEncoder
>>> x, y = torch.tensor([[1], [2], [3]]), torch.tensor([0, 1, 2])
>>> rows = Batch.padded([x, x[:1]], [y, y[:1]])
>>> energy = Spen(TokenEncoder((4,), width=4, hidden=3), n_tags=3)
>>> nets = InferenceNetworks(TokenEncoder((4,), width=4, hidden=3), n_tags=3, parametrisation="stacked")
>>> ways = {
...     "exact": searched(energy, width=1),
...     "descent": descended(energy, n_steps=5, step_size=1.0, method="exponentiated"),
...     "network": answered(nets),
...     "cost_augmented": cost_augmented(nets),
... }
>>> e = {name: energy(rows.x, rows.mask, decoded(decode, rows)).sum().item() for name, decode in ways.items()}
>>> min(e, key=e.get)
'exact'
>>> decoders = {name: Decoder(decode, rows) for name, decode in ways.items()}
>>> def share_of_tag_0(tags, batch):
...     return {"tag_0": float((tags[batch.mask] == 0).float().mean())}
>>> found = measured(decoders, share_of_tag_0)
>>> list(found), 0 <= found["exact"]["tag_0"] <= 1
(['exact', 'descent', 'network', 'cost_augmented'], True)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebm_course.core import Batch, frozen
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.samplers.beam import beam
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.samplers.relaxed_descent import relaxed_descent
from ebm_course.samplers.viterbi import viterbi
from ebm_course.tasks.tagging import gold_of
from ebm_course.training.length_batches import trimmed

Decode = Callable[[Batch], Tensor]
"""Sentences -> their tags (N, L), or relaxed tags (N, L, K)."""

CANDIDATES_AT_ONCE = 8_192
"""Rows of one call of an energy that a beam search makes, about."""


class Decoder(NamedTuple):
    """A way to tags, and the rows on which it is measured."""

    decode: Decode
    rows: Batch


@torch.no_grad()
def decoded(decode: Decode, batch: Batch, *, rows_at_once: int = 128) -> Tensor:
    """Tags (N, L) of all rows, 0 at pads, decoded in order of length.

    >>> rows = Batch.padded([torch.tensor([5, 6]), torch.tensor([7])])
    >>> decoded(lambda some: some.x - 5, rows).tolist()
    [[0, 1], [2, 0]]
    """
    assert batch.mask is not None
    lengths = batch.lengths
    tags = torch.zeros(batch.mask.shape, dtype=torch.int64, device=batch.x.device)
    for rows in lengths.argsort().split(rows_at_once):
        found = decode(trimmed(batch[rows]))
        tags[rows, : found.shape[1]] = found.argmax(dim=2) if found.ndim == 3 else found
    return tags.masked_fill(~batch.mask, 0)


def chain_of(energy: Spen | GlobalEnergy) -> Spen:
    """The part of an energy that sees neighbouring tags alone.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> chain = Spen(TokenEncoder((4,), width=4, hidden=3), n_tags=3)
    >>> chain_of(chain) is chain, chain_of(GlobalEnergy(chain, "a")) is chain
    (True, True)
    """
    return energy if isinstance(energy, Spen) else energy.spen


def searched(energy: Spen | GlobalEnergy, *, width: int, n_passes: int = 2) -> Decode:
    """The tags of lowest energy: exactly of a chain, else what a beam search finds from the chain's best.

    Args:
        width: rows that the beam keeps; not used for a chain.
        n_passes: of the beam over a sentence.
    """

    def decode(batch: Batch) -> Tensor:
        with frozen(energy):
            chain = chain_of(energy)
            tags, _ = viterbi(chain.unary(batch.x, batch.mask), chain.transitions, batch.mask)
            if chain is energy:
                return tags
            parts = []
            rows_at_once = max(1, CANDIDATES_AT_ONCE // (width * energy.n_values))
            for start, some in zip(tags.split(rows_at_once), in_parts(batch, rows_at_once), strict=True):
                options: dict[str, Any] = {"n_steps": n_passes, "n_values": energy.n_values, "width": width}
                generator = torch.Generator(device=batch.x.device)
                given = energy.given(some.x, some.mask)
                parts.append(beam(given, start, **options, mask=some.mask, generator=generator).x)
        return torch.cat(parts)

    return decode


def in_parts(batch: Batch, n: int) -> list[Batch]:
    """The rows in their order, n at a time.

    >>> [part.x.tolist() for part in in_parts(Batch(torch.tensor([[5], [6], [7]])), 2)]
    [[[5], [6]], [[7]]]
    """
    return [batch[i : i + n] for i in range(0, len(batch), n)]


def descended(energy: Spen | GlobalEnergy, *, n_steps: int, step_size: float, method: str) -> Decode:
    """Relaxed tags where descent from the uniform ones ends."""

    def decode(batch: Batch) -> Tensor:
        with frozen(energy):
            given = energy.given(batch.x, batch.mask)
        options: dict[str, Any] = {
            "n_steps": n_steps,
            "mask": batch.mask,
            "generator": torch.Generator(device=batch.x.device),
        }
        start = uniform(batch, energy.n_values)
        return relaxed_descent(given, start, step_size=step_size, method=method, **options).x

    return decode


def uniform(batch: Batch, n_tags: int) -> Tensor:
    """The middle of each simplex (N, L, K).

    >>> uniform(Batch(torch.zeros(1, 2, dtype=torch.int64)), n_tags=4)
    tensor([[[0.2500, 0.2500, 0.2500, 0.2500],
             [0.2500, 0.2500, 0.2500, 0.2500]]])
    """
    return torch.full((*batch.x.shape[:2], n_tags), 1 / n_tags, device=batch.x.device)


def answered(nets: InferenceNetworks) -> Decode:
    """A(x), relaxed tags."""

    def decode(batch: Batch) -> Tensor:
        with frozen(nets):
            return nets.test_time(batch.x, batch.mask)

    return decode


def cost_augmented(nets: InferenceNetworks) -> Decode:
    """F(x, y*), relaxed tags."""

    def decode(batch: Batch) -> Tensor:
        gold, mask = gold_of(batch)
        with frozen(nets):
            return nets.cost_augmented(batch.x, gold, mask)

    return decode


def measured(
    decoders: Mapping[str, Decoder], score: Callable[[Tensor, Batch], dict[str, float]]
) -> dict[str, dict[str, float]]:
    """What the task's score says of each way to tags, by its name."""
    return {name: score(decoded(one.decode, one.rows), one.rows) for name, one in decoders.items()}


def headline(found: Mapping[str, float]) -> float:
    """The number a tagger is chosen by: F1 of entities where there are entities, else accuracy.

    >>> headline({"accuracy": 0.9, "f1": 0.5}), headline({"accuracy": 0.9, "closers": 0.4})
    (0.5, 0.9)
    """
    return found.get("f1", found["accuracy"])
