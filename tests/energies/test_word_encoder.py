"""Features of a token alone."""

from __future__ import annotations

import torch

from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.energies.word_encoder import WordEncoder

X = torch.randint(9, (3, 5, 2), generator=torch.Generator().manual_seed(0))
MASK = torch.arange(5) < torch.tensor([5, 3, 1])[:, None]


def test_a_token_has_the_same_features_wherever_it_stands() -> None:
    encoder = WordEncoder((9, 9), width=4)
    turned = encoder(X.flip(1)).flip(1)
    assert torch.equal(encoder(X), turned)
    assert not torch.allclose(TokenEncoder((9, 9), width=4, hidden=3)(X)[:, 0], encoder(X)[:, 0, :1])


def test_pads_have_none_and_dropout_is_of_training_alone() -> None:
    encoder = WordEncoder((9, 9), width=4, dropout=0.5)
    features = encoder.eval()(X, MASK)
    assert (features[~MASK] == 0).all() and torch.equal(features, encoder(X, MASK))
    assert not torch.equal(encoder.train()(X, MASK), features)


def test_every_parameter_is_used_and_the_size_is_that_of_a_table() -> None:
    encoder = WordEncoder((9, 9), width=4)
    energy = Spen(encoder, 3)
    energy(X, MASK, torch.zeros(3, 5, dtype=torch.int64)).sum().backward()
    assert all(p.grad is not None for p in energy.parameters())
    assert sum(p.numel() for p in encoder.parameters()) == 18 * 4 and encoder.n_features == 4


def test_fixed_vectors_are_projected_where_their_width_differs() -> None:
    encoder = WordEncoder((9, 9), width=4, vectors=torch.randn(9, 7))
    assert encoder(X, MASK).shape == (3, 5, 4)
