"""The batched attack against Algorithm 1 written literally, in one run: the same result, and how much sooner.

Run with ``make bench``. The net is the paper's transformer at ten digits with fresh weights; speed does not ask for
trained ones. The literal code takes one sequence and one candidate at a time.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.energies.sequence_energies import PooledEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.samplers.substitution import substitution
from ebm_course.tasks.arithmetic import Format, arithmetic, digit_synonyms

LAYOUT = Format(10)


def literal_step(energy: PooledEnergy, x: Tensor, synonyms: Tensor, free: Tensor) -> Tensor:
    """Lines 9 to 12 of Algorithm 1 for one sequence (L,), the current token among the candidates."""
    e = energy.embed(x[None]).detach().requires_grad_()
    (grad,) = torch.autograd.grad(energy.from_embeddings(e, x[None]).sum(), e)
    i = int(grad[0].abs().sum(dim=-1).masked_fill(~free, -1.0).argmax())
    lowest, best = torch.inf, x
    for v in [x[i], *synonyms[x[i]]]:
        candidate = x.clone()
        candidate[i] = v
        with torch.no_grad():
            value = float(energy(candidate[None]))
        if value < lowest:
            lowest, best = value, candidate
    return best


@pytest.mark.parametrize("n", [32, 256])
def test_attack_step_at_ten_digits(benchmark: Any, n: int) -> None:
    torch.manual_seed(0)
    energy = PooledEnergy(Transformer(16, LAYOUT.length)).eval()
    for p in energy.parameters():
        torch.nn.init.normal_(p, std=0.2)  # wide enough that candidates differ by more than rounding
    x, synonyms, free = arithmetic(10, n_train=n).train.x, digit_synonyms(), LAYOUT.digit_positions()

    def batched() -> Tensor:
        return substitution(energy, x, n_steps=1, synonyms=synonyms, free=free, include_current=True).x

    some = x[:16]
    start = time.perf_counter()
    literal = torch.stack([literal_step(energy, row, synonyms, free) for row in some])
    literal_seconds = (time.perf_counter() - start) / len(some)
    found = benchmark.pedantic(batched, rounds=5, warmup_rounds=1)
    assert torch.equal(found[:16], literal)
    benchmark.extra_info["times_faster_than_literal"] = literal_seconds * n / benchmark.stats.stats.median
