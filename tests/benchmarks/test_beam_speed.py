"""A beam search that keeps what it has read of prefixes against one that reads every sentence anew.

Run with ``make bench``. 4 sentences of full length, 25 tags, the paper's sizes of tag language models, beams of 4 rows.
Before anything is timed both find the same tags. Of an LSTM's steps half are left, and the chain's sums.
"""

from __future__ import annotations

import pytest
import torch

from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.samplers.beam import beam

N, K = 4, 25


@pytest.mark.parametrize("kind, length", [("a", 10), ("a", 30), ("b", 30)])
def test_prefixes_against_whole_sentences(times_faster, kind, length):
    torch.manual_seed(0)
    net = GlobalEnergy(Spen(TokenEncoder((500,), width=100, hidden=100), K, init=1.0), kind).eval()
    x, start = torch.randint(500, (N, length, 1)), torch.randint(K, (N, length))
    with torch.no_grad():
        given = net.given(x)
    options = {"n_steps": 1, "n_values": K, "width": 4, "generator": torch.Generator()}
    assert torch.equal(beam(given, start, **options).x, beam(lambda y: given(y), start, **options).x)
    name = f"beam, GE({kind}), {length} tokens: times faster than whole sentences"
    assert (
        times_faster(
            name, lambda: beam(given, start, **options), lambda: beam(lambda y: given(y), start, **options), rounds=3
        )
        > 1
    )
