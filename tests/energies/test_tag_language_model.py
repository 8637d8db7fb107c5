from __future__ import annotations

import itertools
import pickle

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.core import frozen
from ebm_course.energies.tag_language_model import TagLanguageModel

K, L, W = 3, 4, 5


def model(**settings: object) -> TagLanguageModel:
    torch.manual_seed(0)
    net = TagLanguageModel(K, width=4, hidden=6, **settings).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2)
    return net


def batch(lengths: list[int], longest: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    generator, length = torch.Generator().manual_seed(1), longest or max(lengths)
    mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    y = torch.randint(K, mask.shape, generator=generator) * mask
    return y, mask, torch.randn(*mask.shape, W, generator=generator) * mask[..., None]


every_kind = pytest.mark.parametrize("backward", [False, True])
with_and_without_words = pytest.mark.parametrize("words", [False, True])


def energies(net: TagLanguageModel, y: Tensor, mask: Tensor | None, words: Tensor) -> Tensor:
    return net(y, mask, words if net.word_width else None)


def test_the_energy_of_two_tokens_step_by_step():
    net, y = model(), [2, 0]
    inputs = torch.stack([net.start, net.embedding.weight[2], net.embedding.weight[0]])[None]
    log_q = net.to_logits(net.lstm(inputs)[0])[0].log_softmax(dim=-1)
    expected = -(log_q[0, 2] + log_q[1, 0] + log_q[2, K])  # the last is the end symbol
    torch.testing.assert_close(net(torch.tensor([y]))[0], expected)


@every_kind
def test_probabilities_of_sentences_up_to_a_length_and_of_longer_ones_sum_to_one(backward):
    """All sentences of n tags carry p(n): their sum over n < 5, and what has not ended then, is 1 (end symbol)."""
    net = model(backward=backward).double()
    empty = net.log_probabilities(torch.zeros(1, 1, dtype=torch.int64))[0, 0, K].exp()
    ended = empty + sum(
        (-net(torch.tensor(list(itertools.product(range(K), repeat=n))))).exp().sum() for n in range(1, 6)
    )
    longer = 0
    states = torch.tensor(list(itertools.product(range(K), repeat=5)))
    log_q = net.log_probabilities(states)  # (K^5, 6, K + 1)
    read = states.flip(1) if backward else states
    not_ended = log_q[:, :5].gather(2, read[..., None]).sum(dim=(1, 2)) + log_q[:, 5, :K].logsumexp(dim=1)
    longer = not_ended.exp().sum()
    torch.testing.assert_close(ended + longer, torch.ones((), dtype=torch.float64))
    assert ended < 0.9999


@with_and_without_words
def test_backward_is_forward_on_sentences_turned_inside_their_length(words):
    forward, backward = (model(word_width=W if words else 0, backward=b) for b in (False, True))
    y, mask, w = batch([4, 2, 1])
    for n, length in enumerate([4, 2, 1]):
        turned = y[n : n + 1, :length].flip(1), None, w[n : n + 1, :length].flip(1)
        torch.testing.assert_close(energies(backward, y, mask, w)[n], energies(forward, *turned)[0])


@every_kind
@with_and_without_words
def test_relaxed_tags_at_corners_have_the_energy_of_tags(backward, words):
    net, (y, mask, w) = model(word_width=W if words else 0, backward=backward), batch([4, 2])
    assert torch.equal(energies(net, F.one_hot(y, K).float(), mask, w), energies(net, y, mask, w))


@every_kind
@with_and_without_words
def test_what_stands_at_pads_changes_nothing_bit_for_bit(backward, words):
    net, (y, mask, w) = model(word_width=W if words else 0, backward=backward), batch([4, 2])
    expected = energies(net, y, mask, w)
    other_w = torch.where(mask[..., None], w, torch.nan)
    assert torch.equal(energies(net, torch.where(mask, y, 2), mask, other_w), expected)
    relaxed = torch.where(mask[..., None], F.one_hot(y, K).float(), torch.nan)
    assert torch.equal(energies(net, relaxed, mask, other_w), expected)


@every_kind
@with_and_without_words
def test_batch_composition_changes_nothing(backward, words):
    net = model(word_width=W if words else 0, backward=backward).double()
    y, mask, w = batch([4, 2, 3], longest=7)
    w = w.double()
    for n, length in enumerate([4, 2, 3]):
        alone = energies(net, y[n : n + 1, :length], None, w[n : n + 1, :length])
        torch.testing.assert_close(energies(net, y, mask, w)[n : n + 1], alone, atol=1e-13, rtol=0)


@pytest.mark.parametrize("backward, changed, seen", [(False, 1, {2, 3, 4}), (True, 1, {3, 4})])
def test_a_tag_is_expected_from_the_words_already_passed_and_not_from_its_own(backward, changed, seen):
    net, (y, mask, w) = model(word_width=W, backward=backward), batch([4])
    other = w.clone()
    other[0, changed] += 1
    moved = (net.log_probabilities(y, mask, w) - net.log_probabilities(y, mask, other)).abs().sum(dim=2)[0] > 0
    assert set(moved.nonzero()[:, 0].tolist()) == seen  # places 0 to 4, in the order of reading


def test_an_unlikely_tag_keeps_its_energy_and_gradient_where_probabilities_underflow():
    net = model()
    with torch.no_grad():
        net.to_logits.weight.zero_()
        net.to_logits.bias.copy_(torch.tensor([0.0, 0.0, -200.0, 0.0]))
    y = torch.tensor([[2, 2]])
    relaxed = F.one_hot(y, K).float().requires_grad_()
    assert net(y).item() == pytest.approx(400 + 3 * torch.tensor(3.0).log().item())
    assert torch.equal(net(relaxed), net(y))
    net(relaxed).sum().backward()
    assert relaxed.grad.isfinite().all() and (relaxed.grad[..., 0] < -1e20).all()


def test_half_a_tag_is_expected_with_half_its_probability():
    net = model()
    log_q = net.log_probabilities(torch.tensor([[0, 0]]))
    p = torch.tensor([[[0.25, 0.5, 0.25]]])
    expected = -(p[0, 0] @ log_q[0, 0, :K].exp()).log()
    places = net.log_probabilities(p)
    torch.testing.assert_close(net(p)[0], expected - places[0, 1, K])


def test_given_takes_a_mask_or_words_and_repeats_them_for_every_row():
    y, mask, w = batch([4, 2])
    rows = torch.stack([y, (y + 1) % K], dim=1).flatten(0, 1)
    for net, given in ((model(), (None, mask)), (model(word_width=W), (w, mask))):
        expected = torch.stack([energies(net, t, mask, w) for t in (y, (y + 1) % K)], dim=1).flatten()
        torch.testing.assert_close(net.given(*given)(rows), expected)
    with pytest.raises(ValueError, match="expected word vectors or a mask, got neither"):
        model().given(None)


def test_words_that_are_missing_or_not_asked_for_are_refused():
    y, mask, w = batch([4, 2])
    with pytest.raises(ValueError, match="word vectors of width 5: got none"):
        model(word_width=W)(y, mask)
    with pytest.raises(ValueError, match=r"word vectors of width 0: got \(2, 4, 5\)"):
        model()(y, mask, w)
    with pytest.raises(ValueError, match="n_tags is a whole number: expected 1 or larger, got 0"):
        TagLanguageModel(0)


def test_descent_on_a_frozen_model_does_without_cudnn_which_has_gradients_in_training_alone() -> None:
    model, seen = TagLanguageModel(3, width=2, hidden=3), list[bool]()
    model.lstm.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.enabled))
    y = torch.full((1, 2, 3), 1 / 3, requires_grad=True)
    before = torch.backends.cudnn.enabled
    with frozen(model):
        model(y).sum().backward()
    with torch.no_grad():
        model.eval()(y)
    model.train()(y)
    assert seen == [False, before, before] and torch.backends.cudnn.enabled == before and y.grad is not None


@pytest.mark.parametrize("row", [[False, True, True], [True, False, True]])
def test_a_mask_that_begins_with_a_pad_or_has_one_inside_is_refused(row: list[bool]):
    lm, y, mask = TagLanguageModel(4), torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.bool)
    mask[1] = torch.tensor(row)
    for act in (lambda: lm(y, mask), lambda: lm.given(None, mask)(y), lambda: lm.log_probabilities(y, mask)):
        with pytest.raises(ValueError, match="row 1 of the mask begins with a pad or has one inside"):
            act()


def test_a_model_beside_words_or_a_mask_can_be_pickled() -> None:
    model, y = TagLanguageModel(3, word_width=2), torch.tensor([[0, 2], [1, 1]])
    alone, mask = TagLanguageModel(3), torch.tensor([[True, True], [True, False]])
    for energy in (model.given(torch.randn(2, 2, 2), mask), alone.given(None, mask)):
        assert torch.equal(pickle.loads(pickle.dumps(energy))(y), energy(y))


@pytest.mark.parametrize("backward", [False, True])
def test_relaxed_tags_that_are_no_numbers_at_pads_change_no_energy_and_no_gradient(backward: bool) -> None:
    torch.manual_seed(0)
    model, mask = TagLanguageModel(3, width=4, hidden=5, backward=backward), torch.arange(4) < torch.tensor([[4], [2]])
    y = torch.randn(2, 4, 3).softmax(dim=2)
    found = []
    for states in (y, torch.where(mask[..., None], y, torch.nan)):
        states = states.clone().requires_grad_()
        e = model(states, mask)
        (grad,) = torch.autograd.grad(e.sum(), states)
        found.append((e.detach(), grad))
    torch.testing.assert_close(*found)
    assert found[1][1][~mask].eq(0).all()


def test_words_that_are_no_numbers_at_pads_leave_every_parameters_gradient_as_it_is() -> None:
    net, (y, mask, words), grads = model(word_width=W), batch([4, 2]), []
    for given in (words, torch.where(mask[..., None], words, torch.nan)):
        grads.append(torch.autograd.grad(net(y, mask, given).sum(), list(net.parameters())))
    torch.testing.assert_close(*grads)
