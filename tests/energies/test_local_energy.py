"""The local head: its hand value, what it can and cannot see, and its gradient in embeddings."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ebm_course.energies.local_energy import LocalEnergy
from ebm_course.energies.transformer import Transformer

V, L = 5, 6


def energy(*, causal: bool = True) -> LocalEnergy:
    torch.manual_seed(0)
    made = LocalEnergy(Transformer(V, L, width=8, n_heads=2, dropout=0.0, causal=causal)).double().eval()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.7)
    return made


def tokens(n: int = 4) -> torch.Tensor:
    return torch.randint(V, (n, L), generator=torch.Generator().manual_seed(1))


def test_it_is_the_mean_of_scores_of_feature_and_next_token() -> None:
    e, x = energy(), tokens()
    h, embedded = e.net.features(e.embed(x)), e.embed(x)
    by_hand = sum(e.scores(h[:, t], embedded[:, t + 1]) for t in range(L - 1)) / (L - 1)
    torch.testing.assert_close(e(x), by_hand)


def test_a_score_is_that_of_a_perceptron_of_the_feature_and_then_the_token_after_it() -> None:
    e = energy()
    h, embedded = torch.randn(2, 3, L, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    of_feature, of_token = e.inner.weight.split(8, dim=1)
    hidden = F.gelu(h @ of_feature.T + embedded @ of_token.T + e.inner.bias)
    torch.testing.assert_close(e.scores(h, embedded), hidden @ e.head.weight[0] + e.head.bias)


@pytest.mark.parametrize("earlier", [0, 1, 3])
def test_embeddings_of_the_last_tokens_alone_give_the_same_energy(earlier: int) -> None:
    e, x = energy(), tokens()
    h, embedded = e.net.features(e.embed(x)), e.embed(x)
    torch.testing.assert_close(e.from_both(h, x, embedded[:, earlier:]), e(x))


def test_it_begins_small_and_without_biases() -> None:
    torch.manual_seed(0)
    e = LocalEnergy(Transformer(V, L, width=64, n_heads=2))
    assert not e.inner.bias.any() and not e.head.bias.any()
    for layer in (e.inner, e.head):  # 5 standard errors of the spread of n draws
        assert abs(layer.weight.std().item() - 0.02) < 5 * 0.02 / (2 * layer.weight.numel()) ** 0.5


def test_on_a_causal_net_it_sees_the_last_token_where_a_pooled_feature_could_not_say_that_it_was_foretold() -> None:
    e, x = energy(), tokens(1).repeat(V, 1)
    x[:, -1] = torch.arange(V)
    scores = e.scores(e.net.features(e.embed(x))[:, :-1], e.embed(x)[:, 1:])
    torch.testing.assert_close(scores[:, :-1], scores[:1, :-1].expand(V, -1))  # earlier places do not know it
    assert scores[:, -1].std() > 1e-3


def test_the_scores_of_the_language_model_are_not_used() -> None:
    e, x = energy(), tokens()
    before = e(x)
    torch.nn.init.normal_(e.net.to_logits.weight)
    assert torch.equal(e(x), before)


@pytest.mark.parametrize("causal", [True, False])
def test_its_gradient_in_embeddings_is_that_in_relaxed_tokens(causal: bool) -> None:
    e, x = energy(causal=causal), tokens()
    embedded = e.embed(x).detach().requires_grad_()
    hot = F.one_hot(x, V).double().requires_grad_()
    (by_embedding,) = torch.autograd.grad(e.from_embeddings(embedded, x).sum(), embedded)
    (by_token,) = torch.autograd.grad(e(hot).sum(), hot)
    torch.testing.assert_close(by_embedding @ e.net.embedding.weight.T, by_token)
