"""Chapter 5: the bare attack equals the package's batched one, token for token and at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, SequenceEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.samplers.substitution import substitution
from ebm_course.tasks.arithmetic import VOCABULARY, ZERO, Format, digit_synonyms

N_DIGITS, N_ROWS, N_STEPS = 2, 5, 6
LAYOUT = Format(N_DIGITS)
DIGITS = torch.arange(ZERO, ZERO + 10)


def random_energy(head: type[SequenceEnergy], seed: int) -> SequenceEnergy:
    """A small net with large random weights, in double precision so that no tie is decided by rounding."""
    generator = torch.Generator().manual_seed(seed)
    energy = head(Transformer(len(VOCABULARY), LAYOUT.length, width=8, n_layers=2, n_heads=2, dropout=0.0)).double()
    for p in energy.parameters():
        p.data.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.7)
    return energy.eval()


def random_rows(seed: int) -> Tensor:
    """Equations, right or wrong, the last of them malformed: a plus sign stands where a digit should."""
    generator = torch.Generator().manual_seed(seed)
    x = LAYOUT.equations([10] * N_ROWS, [10] * N_ROWS)
    free = LAYOUT.digit_positions()
    x[:, free] = torch.randint(ZERO, ZERO + 10, (N_ROWS, int(free.sum())), generator=generator)
    x[-1, 1] = VOCABULARY.index("+")
    return x


@pytest.mark.parametrize("head", [LikelihoodEnergy, PooledEnergy, CorrectedEnergy])
@pytest.mark.parametrize("where", [LAYOUT.digit_positions(), LAYOUT.answer_positions()], ids=["digits", "answer"])
def test_the_bare_attack_equals_the_package_at_every_step(
    chapter: Callable[[str], Any], head: type[SequenceEnergy], where: Tensor
):
    attack = chapter("05_the_discrete_attack").run("bare", torch=torch)["attack"]
    energy, x0 = random_energy(head, seed=0), random_rows(seed=1)
    bare = torch.stack([attack(energy, x, N_STEPS, where, DIGITS) for x in x0], dim=1)  # (T + 1, N, L)
    batched = substitution(energy, x0, n_steps=N_STEPS, synonyms=digit_synonyms(), free=where, keep_path=True)
    assert batched.path is not None
    assert torch.equal(bare, batched.path)
    assert not torch.equal(bare[-1], x0)
    assert torch.equal(bare[:, -1, 1], x0[-1:, 1].expand(N_STEPS + 1))  # what is no digit has no synonym
