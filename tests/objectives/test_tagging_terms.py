from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ebm_course.objectives.tagging_terms import annealed, l1_cost, local_cross_entropy, local_entropy

N, L, K = 3, 5, 4
MASK = torch.arange(L) < torch.tensor([5, 2, 3])[:, None]


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities (N, L, K) and gold tags (N, L)."""
    return torch.randn(N, L, K).log_softmax(dim=2), torch.randint(K, (N, L))


def test_the_cost_is_the_sum_of_l1_distances_and_twice_the_missing_probability():
    log_p, gold = drawn()
    p = log_p.exp()
    l1 = ((p - F.one_hot(gold, K)).abs().sum(dim=2) * MASK).sum(dim=1)
    torch.testing.assert_close(l1_cost(p, gold, MASK), l1)
    torch.testing.assert_close(
        l1_cost(p, gold, MASK), 2 * ((1 - p.gather(2, gold[..., None])[..., 0]) * MASK).sum(dim=1)
    )


def test_the_cost_of_tags_is_twice_the_wrong_ones_and_that_of_their_corners():
    _, gold = drawn()
    y = torch.randint(K, (N, L))
    assert torch.equal(l1_cost(y, gold, MASK), 2.0 * ((y != gold) & MASK).sum(dim=1))
    assert torch.equal(l1_cost(F.one_hot(y, K).float(), gold, MASK), l1_cost(y, gold, MASK))
    assert l1_cost(gold, gold).eq(0).all()


def test_cross_entropy_is_torchs_summed_over_real_tokens():
    logits, gold = torch.randn(N, L, K), drawn()[1]
    each = F.cross_entropy(logits.flatten(0, 1), gold.flatten(), reduction="none").view(N, L)
    torch.testing.assert_close(local_cross_entropy(logits.log_softmax(2), gold, MASK), (each * MASK).sum(dim=1))


def test_entropy_is_that_of_torchs_distributions_and_of_a_corner_zero():
    log_p, _ = drawn()
    each = torch.distributions.Categorical(logits=log_p).entropy()
    torch.testing.assert_close(local_entropy(log_p, MASK), (each * MASK).sum(dim=1))
    corner = F.one_hot(torch.zeros(N, L, dtype=torch.int64), K).float().log().requires_grad_()
    e = local_entropy(corner)
    e.sum().backward()
    assert e.eq(0).all() and corner.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tokens_in_16_bits_are_summed_in_float32(dtype: torch.dtype):
    log_p, gold = (t.repeat(1, 200, *[1] * (t.ndim - 2)) for t in drawn())
    small = log_p.to(dtype)
    for found, expected in (
        (local_cross_entropy(small, gold), local_cross_entropy(small.float(), gold)),
        (local_entropy(small), local_entropy(small.float())),
        (l1_cost(small.exp(), gold), l1_cost(small.exp().float(), gold)),
    ):
        assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_what_stands_at_pads_changes_nothing_bit_for_bit_and_takes_no_gradient():
    log_p, gold = drawn()
    other_p, other_gold = torch.where(MASK[..., None], log_p, torch.nan), torch.where(MASK, gold, 3)
    assert torch.equal(l1_cost(other_p.exp(), other_gold, MASK), l1_cost(log_p.exp(), gold, MASK))
    assert torch.equal(local_cross_entropy(other_p, other_gold, MASK), local_cross_entropy(log_p, gold, MASK))
    assert torch.equal(local_entropy(other_p, MASK), local_entropy(log_p, MASK))
    log_p.requires_grad_()
    (local_entropy(log_p, MASK) + local_cross_entropy(log_p, gold, MASK)).sum().backward()
    assert log_p.grad[~MASK].eq(0).all() and log_p.grad[MASK].ne(0).any()


def test_the_annealed_weight_falls_to_zero_and_stays():
    assert [annealed(4.0, p) for p in (0.0, 0.2, 0.4, 0.9)] == pytest.approx([4.0, 3.0, 2.0, 0.0])
    assert annealed(1.0, 0.5, until=0.5) == 0.0


def test_shapes_that_do_not_belong_together_are_refused():
    log_p, gold = drawn()
    for act in (l1_cost, local_cross_entropy):
        for wrong in ((log_p[:, :3], gold, None), (log_p, gold[0], None), (log_p, gold, MASK[:1])):
            with pytest.raises(ValueError, match="belong together token by token: got"):
                act(*wrong)


def test_a_mask_with_a_pad_before_a_token_is_refused():
    log_p, gold = drawn()
    hole = MASK.clone()
    hole[0, 2] = False
    for act in (lambda: l1_cost(log_p.exp(), gold, hole), lambda: local_entropy(log_p, hole)):
        with pytest.raises(ValueError, match="row 0 of the mask begins with a pad or has one inside"):
            act()
