from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.core import energy_grad, frozen
from ebm_course.energies.spen import Spen, chain_energy, tag_rows
from ebm_course.energies.token_encoder import TokenEncoder

K = 4


def spen(init: float = 1.0) -> Spen:
    torch.manual_seed(0)
    return Spen(TokenEncoder((20,), width=8, hidden=6), K, init=init).eval()


def batch(lengths: list[int], longest: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    generator, length = torch.Generator().manual_seed(1), longest or max(lengths)
    mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    x = torch.randint(1, 20, (len(lengths), length, 1), generator=generator) * mask[..., None]
    return x, mask, torch.randint(K, mask.shape, generator=generator) * mask


def test_the_energy_of_two_tokens_by_hand():
    unary = torch.tensor([[[1.0, 2.0], [3.0, 5.0]]])
    w = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 99.0]])
    by_hand = {
        (0, 0): 1 + 3 + 0.7 + 0.1 + 0.3,
        (0, 1): 1 + 5 + 0.7 + 0.2 + 0.6,
        (1, 0): 2 + 3 + 0.8 + 0.4 + 0.3,
        (1, 1): 2 + 5 + 0.8 + 0.5 + 0.6,
    }
    for tags, score in by_hand.items():
        assert chain_energy(unary, w, None, torch.tensor([tags])).item() == pytest.approx(-score, abs=1e-6)


def test_one_token_starts_and_ends():
    w = torch.tensor([[0.0, 0.0, 0.25], [0.0, 0.0, 0.5], [1.0, 2.0, 0.0]])
    e = chain_energy(torch.tensor([[[4.0, 8.0]]]), w, None, torch.tensor([[1]]))
    assert e.item() == -(8 + 2 + 0.5)


def test_the_end_is_that_of_each_sentence_and_not_of_the_batch():
    net, (x, mask, y) = spen(), batch([5, 2, 1])
    unary, w = net.unary(x, mask), net.transitions
    for n, length in enumerate([5, 2, 1]):
        tags = y[n, :length].tolist()
        score = sum(unary[n, t, tag] for t, tag in enumerate(tags)) + w[K, tags[0]] + w[tags[-1], K]
        score = score + sum(w[i, j] for i, j in itertools.pairwise(tags))
        torch.testing.assert_close(net(x, mask, y)[n], -score)


def test_relaxed_tags_at_corners_have_the_energy_of_tags():
    net, (x, mask, y) = spen(), batch([5, 2, 4])
    assert torch.equal(net(x, mask, F.one_hot(y, K).float()), net(x, mask, y))


def test_it_is_linear_in_the_tag_of_each_position_alone_and_not_in_all_together():
    net, (x, mask, _) = spen(), batch([4])
    p, q = torch.rand(2, 1, 4, K).softmax(dim=-1)
    energy = net.given(x, mask)
    one = p.clone()
    one[:, 2] = q[:, 2]
    torch.testing.assert_close(energy(0.3 * p + 0.7 * one), 0.3 * energy(p) + 0.7 * energy(one))
    assert not torch.allclose(energy(0.5 * p + 0.5 * q), 0.5 * energy(p) + 0.5 * energy(q), atol=1e-4)


@pytest.mark.parametrize("relaxed", [False, True])
def test_what_stands_at_pads_changes_nothing_bit_for_bit(relaxed):
    net, (x, mask, y) = spen(), batch([5, 2, 4])
    other_x, other_y = torch.where(mask[..., None], x, 7), torch.where(mask, y, 3)
    if relaxed:
        y, other_y = F.one_hot(y, K).float(), F.one_hot(other_y, K) + torch.randn(3, 5, K) * ~mask[..., None]
    assert torch.equal(net(other_x, mask, other_y), net(x, mask, y))


def test_batch_composition_changes_nothing():
    net, (x, mask, y) = spen().double(), batch([5, 2, 4], longest=9)
    together = net(x, mask, y)
    for n, length in enumerate([5, 2, 4]):
        alone = net(x[n : n + 1, :length], None, y[n : n + 1, :length])
        torch.testing.assert_close(together[n : n + 1], alone, atol=1e-13, rtol=0)


def test_pads_take_no_gradient():
    net, (x, mask, _) = spen(), batch([5, 2])
    _, grad = energy_grad(net.given(x, mask), torch.full((2, 5, K), 1 / K))
    assert grad[~mask].eq(0).all() and grad[mask].ne(0).all()


def test_given_reads_the_sentence_once_and_repeats_it_for_every_row():
    net, (x, mask, y) = spen(), batch([5, 2])
    calls = []
    net.encoder.register_forward_hook(lambda *_: calls.append(1))
    energy = net.given(x, mask)
    rows = torch.stack([y, (y + 1) % K], dim=1).flatten(0, 1)  # two rows a sentence
    torch.testing.assert_close(energy(rows).view(2, 2).T, torch.stack([energy(y), energy((y + 1) % K)]))
    assert len(calls) == 1
    torch.testing.assert_close(energy.select(torch.tensor([1]))(y[1:]), net(x, mask, y)[1:])


def test_given_inside_frozen_takes_no_gradient():
    net, (x, mask, y) = spen().train(), batch([5, 2])
    with frozen(net):
        assert not net.given(x, mask)(y).requires_grad
    assert net.given(x, mask)(y).requires_grad and net.training


def test_the_scores_of_a_tag_are_linear_without_bias_and_transitions_start_small():
    net = spen(init=0.02)
    assert net.to_scores.bias is None and net.transitions.shape == (K + 1, K + 1)
    assert 0.015 < net.transitions.abs().max().item() <= 0.02


class Flat(nn.Module):
    n_features = 3

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x.float()


def test_any_module_with_features_is_an_encoder():
    net = Spen(Flat(), K)
    assert net.unary(torch.ones(2, 5, 3)).shape == (2, 5, K)


def test_what_it_cannot_read_is_refused_in_words():
    net, (x, mask, y) = spen(), batch([5, 2])
    with pytest.raises(ValueError, match=r"a sentence has a tag a token: expected tags \(2, 5\) .*got \(2, 4\)"):
        net(x, mask, y[:, :4])
    with pytest.raises(ValueError, match="a tag is outside the set: expected 0 to 3, got 0 to 4"):
        net(x, mask, y.clone().fill_(0).index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(4)))
    with pytest.raises(ValueError, match=r"relaxed tags \(N, L, 4\) of real numbers: got \(2, 5, 3\)"):
        tag_rows(torch.zeros(2, 5, 3), K)
    with pytest.raises(ValueError, match="n_tags is a whole number: expected 1 or larger, got 0"):
        Spen(Flat(), 0)


def test_transitions_start_uniform_within_the_authors_002() -> None:
    torch.manual_seed(0)
    w = Spen(TokenEncoder((9,), width=4, hidden=3), 50).transitions.detach()
    assert 0.019 < w.max() <= 0.02 and -0.02 <= w.min() < -0.019 and abs(w.mean()) < 5 * 0.02 / (3 * w.numel()) ** 0.5


def test_a_chain_is_summed_in_float32_in_16_bits_and_under_autocast() -> None:
    g = torch.Generator().manual_seed(0)
    unary, w = (torch.randn(size, generator=g).bfloat16() for size in ((2, 200, 3), (4, 4)))
    y = torch.randn(2, 200, 3, generator=g).softmax(dim=2)
    expected = chain_energy(unary.float(), w.float(), None, y)
    assert torch.equal(chain_energy(unary, w, None, y), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(chain_energy(unary.float(), w.float(), None, y), expected)
