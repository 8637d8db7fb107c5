"""What the net may see, and that generation with a cache equals reading the whole prefix again."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ebm_course.energies.transformer import Transformer


def net(causal: bool = True) -> Transformer:
    torch.manual_seed(0)
    made = Transformer(6, 8, width=16, n_layers=2, n_heads=4, causal=causal).eval()
    for p in made.parameters():  # wide weights, so that a leak would show
        torch.nn.init.normal_(p, std=0.5)
    return made


def tokens(n: int = 5, length: int = 8) -> torch.Tensor:
    return torch.randint(6, (n, length), generator=torch.Generator().manual_seed(1))


def test_a_causal_net_does_not_see_the_future_and_a_bidirectional_one_does() -> None:
    x, changed = tokens(), tokens()
    changed[:, 5] = (changed[:, 5] + 1) % 6
    for causal in (True, False):
        difference = (net(causal).logits(x) - net(causal).logits(changed)).abs().amax(dim=(0, 2))  # (L,)
        assert bool((difference[:5] == 0).all()) is causal
        assert (difference[5:] > 1e-3).all()


def test_relaxed_tokens_at_one_hot_rows_give_the_same_logits() -> None:
    x = tokens()
    torch.testing.assert_close(net().logits(F.one_hot(x, 6).float()), net().logits(x))


def test_advancing_token_by_token_equals_reading_the_prefix_again() -> None:
    made, x, state = net(), tokens(), None
    for t in range(8):
        logits, state = made.advance(x[:, t], state)
        torch.testing.assert_close(logits, made.logits(x[:, : t + 1])[:, -1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", ["n_values", "length", "width", "n_layers", "n_heads"])
@pytest.mark.parametrize("value", [0, -4, 2.5])
def test_a_size_that_is_none_is_refused_by_name(size: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{size} is a whole number: expected 1 or larger, got {value}\."):
        Transformer(**{"n_values": 6, "length": 8, size: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("dropout", [-7.0, 1.5, float("nan")])
def test_a_dropout_that_is_no_share_is_refused_before_training(dropout: float) -> None:
    with pytest.raises(ValueError, match="dropout is a share: expected 0 to 1, got"):
        Transformer(6, 8, dropout=dropout)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of n_heads"):
        Transformer(6, 8, width=10, n_heads=4)
    with pytest.raises(ValueError, match="reads 8 tokens at most, got 9"):
        net().logits(tokens(length=9))
    with pytest.raises(ValueError, match="bidirectional"):
        net(causal=False).advance(tokens()[:, 0])
    made, state = net(), None
    for t in range(8):
        _, state = made.advance(tokens()[:, t], state)
    with pytest.raises(ValueError, match="reads 8 tokens at most, got 9"):
        made.advance(tokens()[:, 0], state)
