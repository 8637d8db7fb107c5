"""One table for tokens and relaxed tokens, and words for what it cannot read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ebm_course.energies.mlp import MLP
from ebm_course.energies.potts import Potts
from ebm_course.energies.sequence_energies import LikelihoodEnergy
from ebm_course.energies.tokens import embed_tokens
from ebm_course.energies.transformer import Transformer

TABLE = nn.Embedding.from_pretrained(torch.arange(8.0).reshape(4, 2))
DISCRETE = (Potts(3, 4), LikelihoodEnergy(Transformer(4, 3, width=2, n_heads=1)))


def test_tokens_take_rows_and_mixtures_take_mixtures_of_rows():
    x = torch.tensor([[0, 3, 1]])
    rows = torch.tensor([[[0.0, 1.0], [6.0, 7.0], [2.0, 3.0]]])
    for same in (x, x.int(), F.one_hot(x, 4), F.one_hot(x, 4).double()):
        assert torch.equal(embed_tokens(TABLE, same), rows)
    half = (F.one_hot(x, 4) + F.one_hot(x.flip(1), 4)) / 2
    assert torch.equal(embed_tokens(TABLE, half), (rows + rows.flip(1)) / 2)


@pytest.mark.parametrize("x", [torch.zeros(3).long(), torch.zeros(1, 3), torch.zeros(1, 3, 5), torch.zeros(1, 1, 3, 4)])
def test_another_shape_or_kind_is_refused(x):
    with pytest.raises(ValueError, match=r"tokens \(N, L\) of integers or relaxed tokens \(N, L, 4\): got \("):
        embed_tokens(TABLE, x)


@pytest.mark.parametrize("token", [-1, 4])
def test_a_token_out_of_the_table_is_refused(token):
    with pytest.raises(ValueError, match=r"expected 0 to 3, got .*Encode the text"):
        embed_tokens(TABLE, torch.tensor([[0, token]]))


@pytest.mark.parametrize(
    "energy", [Potts(3, 4), LikelihoodEnergy(Transformer(4, 3, width=2, n_heads=1)), MLP(3, width=2)]
)
@pytest.mark.parametrize("x", [[[0, 3, 1]], np.array([[0, 3, 1]])])
def test_an_energy_says_that_it_reads_tensors(energy, x):
    with pytest.raises(TypeError, match=r"x is a tensor: got a (list|ndarray)\. Pass torch\.as_tensor\(x\)"):
        energy(x)


@pytest.mark.parametrize("energy", DISCRETE)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16])
def test_tokens_of_a_short_type_are_refused_with_what_to_do(energy, dtype):
    with pytest.raises(ValueError, match=rf"got \(1, 3\) of {dtype}\..* Use x\.long\(\)"):
        energy(torch.tensor([[0, 1, 1]], dtype=dtype))
