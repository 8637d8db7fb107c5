"""How much of an epoch goes to pads, and what minibatches of about one length save against minibatches at random.

Run with ``make bench``. As many sentences as the tweets have to train on, of 4 to 28 tokens, minibatches of 32, the
paper's encoder. The share of pads is counted over an epoch; what is timed is the encoder's pass over some of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.training.batches import Batches
from ebm_course.training.length_batches import LengthBatches

N, SIZE, N_WORDS, MOST = 1_327, 32, 1_500, 0.1


def sentences() -> Batch:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(4, 29, (N,), generator=generator).tolist()
    x = [torch.randint(N_WORDS, (n, 1), generator=generator) for n in lengths]
    return Batch.padded(x, [torch.zeros(n, dtype=torch.int64) for n in lengths])


def share_of_pads(batches: Sequence[Batch]) -> float:
    masks = [batch.mask for batch in batches]
    assert all(mask is not None for mask in masks)
    return 1 - sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)  # type: ignore[union-attr, misc]


def test_at_most_a_tenth_of_the_work_is_on_pads(times_faster):
    rows = sentences()
    by_length, at_random = LengthBatches(rows, SIZE, seed=0), Batches(rows, SIZE, seed=0)
    n = by_length.steps_per_epoch
    ours, others = [by_length[k] for k in range(n)], [at_random[k] for k in range(n)]
    print(f"\nshare of pads: {share_of_pads(ours):.3f} by length, {share_of_pads(others):.3f} at random")
    assert share_of_pads(ours) <= MOST < share_of_pads(others)
    encoder = TokenEncoder((N_WORDS,), width=100, hidden=100)

    def read(batches: Sequence[Batch]) -> list[Tensor]:
        return [encoder(batch.x, batch.mask) for batch in batches]

    name = "encoder over an epoch, minibatches of about one length: times faster than at random"
    assert times_faster(name, lambda: read(ours), lambda: read(others), rounds=3) > 1
