from __future__ import annotations

import pytest
import torch

from ebm_course.energies.spen import chain_energy
from ebm_course.samplers.forward_algorithm import MAX_RANGE, log_partition, marginals

LENGTHS = [5, 1, 3, 2]


@pytest.mark.parametrize("scale", [1.0, 10.0])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_log_z_is_that_of_all_tags(chain, enumerated, k, scale):
    unary, w, mask = chain(LENGTHS, k, scale=scale)
    log_z = log_partition(unary, w, mask)
    for n, length in enumerate(LENGTHS):
        torch.testing.assert_close(log_z[n], (-enumerated(unary[n, :length], w)[1]).logsumexp(0))


def test_marginals_are_those_of_all_tags(chain, enumerated):
    unary, w, mask = chain(LENGTHS, 3)
    p = marginals(unary, w, mask)
    for n, length in enumerate(LENGTHS):
        states, energies = enumerated(unary[n, :length], w)
        weights = (-energies).softmax(dim=0)
        expected = (torch.nn.functional.one_hot(states, 3) * weights[:, None, None]).sum(dim=0)
        torch.testing.assert_close(p[n, :length], expected)
    assert p[~mask].eq(0).all() and not p.requires_grad


@pytest.mark.parametrize("k", [2, 25])
def test_log_z_and_marginals_are_those_of_pytorch_crf(chain, peer, k):
    """It gives log p of tags, their score minus log Z, so its marginals are gold minus the slopes of that."""
    unary, w, mask = chain([10, 1, 7], k)
    scores, y = unary.clone().requires_grad_(), torch.zeros(unary.shape[:2], dtype=torch.int64)
    log_p = peer(w)(scores, y, mask=mask, reduction="none")
    score = -chain_energy(unary, w, mask, y)
    torch.testing.assert_close(log_partition(unary, w, mask), score - log_p.detach())
    gold = torch.nn.functional.one_hot(y, k) * mask[..., None]
    torch.testing.assert_close(marginals(unary, w, mask), gold - torch.autograd.grad(log_p.sum(), scores)[0])


def test_marginals_take_no_gradient_settings_and_leave_none(chain):
    unary, w, mask = chain(LENGTHS, 3)
    expected = marginals(unary, w, mask)
    with torch.no_grad():
        assert torch.equal(marginals(unary, w.requires_grad_(), mask), expected)
    assert w.grad is None


def test_gradients_are_those_of_finite_differences(chain):
    unary, w, mask = chain(LENGTHS, 3)
    unary.requires_grad_()
    w.requires_grad_()
    assert torch.autograd.gradcheck(lambda u, v: log_partition(u, v, mask), (unary, w))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unary_scale, w_scale", [(1.0, 1.0), (500.0, 1.0), (1.0, 500.0), (500.0, 500.0)])
def test_however_far_scores_lie_apart_value_and_gradient_stay_exact(chain, enumerated, dtype, unary_scale, w_scale):
    unary, w, mask = chain([5, 4, 3], 3)
    unary, w = (unary_scale * unary).to(dtype).requires_grad_(), (w_scale * w).to(dtype).requires_grad_()
    log_z = log_partition(unary, w, mask)
    with torch.no_grad():
        exact = [
            (-enumerated(u[keep].double(), w.double())[1]).logsumexp(0) for u, keep in zip(unary, mask, strict=True)
        ]
    torch.testing.assert_close(
        log_z.double(), torch.stack(exact), rtol=1e-6 if dtype == torch.float32 else 1e-12, atol=1e-5
    )
    log_z.sum().backward()
    assert unary.grad.isfinite().all() and w.grad.isfinite().all()
    torch.testing.assert_close(unary.grad.sum(dim=2), mask.to(dtype), atol=1e-4, rtol=0)


def test_both_ways_to_add_agree_where_either_would_do(chain, monkeypatch):
    unary, w, mask = chain([9, 4], 5)
    as_product = log_partition(unary, w, mask)
    monkeypatch.setitem(MAX_RANGE, torch.float64, 0.0)
    torch.testing.assert_close(log_partition(unary, w, mask), as_product)


def test_forbidden_transitions_have_no_chance_and_no_nan(chain, enumerated):
    unary, w, mask = chain([4, 2], 3)
    w[0, 1] = w[3, 2] = -torch.inf
    _states, energies = enumerated(unary[0], w)
    torch.testing.assert_close(log_partition(unary, w, mask)[0], (-energies).logsumexp(0))
    p = marginals(unary, w, mask)
    assert p.isfinite().all() and p[0, 0, 2] == 0


def test_pads_and_other_sentences_change_nothing(chain):
    unary, w, mask = chain(LENGTHS, 4, longest=8)
    log_z, p = log_partition(unary, w, mask), marginals(unary, w, mask)
    other = torch.where(mask[..., None], unary, 77.0)
    assert torch.equal(log_partition(other, w, mask), log_z) and torch.equal(marginals(other, w, mask), p)
    assert torch.equal(log_partition(unary[:, :5], w, mask[:, :5]), log_z)
    for n, length in enumerate(LENGTHS):
        alone = unary[n : n + 1, :length]
        torch.testing.assert_close(log_partition(alone, w)[0], log_z[n], atol=1e-13, rtol=0)
        torch.testing.assert_close(marginals(alone, w)[0], p[n, :length], atol=1e-13, rtol=0)


def test_it_agrees_with_pytorch_crf(chain, peer):
    unary, w, mask = chain([9, 4, 1, 7], 6)
    crf = peer(w)
    tags = torch.zeros(mask.shape, dtype=torch.int64)
    likelihood = crf(unary, tags, mask, reduction="none")
    nll = chain_energy(unary, w, mask, tags) + log_partition(unary, w, mask)
    torch.testing.assert_close(nll, -likelihood)


def test_no_sentences_are_no_special_case(chain):
    unary, w, mask = chain([3, 2], 4)
    assert log_partition(unary[:0], w, mask[:0]).shape == (0,)
    assert marginals(unary[:0], w, mask[:0]).shape == (0, 3, 4)


def test_a_transition_far_below_another_of_its_column_counts_where_the_other_cannot() -> None:
    unary = torch.tensor([[[300.0, 0.0], [0.0, -500.0]]])  # the first tag is 0, and so is the second
    w = torch.zeros(3, 3)
    w[0, 0] = -200.0  # beside 0 in its column: no number in float32 as a factor
    torch.testing.assert_close(log_partition(unary, w).double(), log_partition(unary.double(), w.double()))
    assert log_partition(unary, w).item() == pytest.approx(100.0)
