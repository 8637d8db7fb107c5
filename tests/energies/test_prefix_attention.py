"""Attention of K candidates with a shared prefix, against K full passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebm_course.energies import prefix_cache
from ebm_course.energies.prefix_attention import shared_prefix_attention
from ebm_course.energies.sequence_energies import PooledEnergy
from ebm_course.energies.transformer import Transformer

V, L, M, K = 7, 6, 9, 4


def net(n_layers: int, std: float = 0.7, dropout: float = 0.0) -> Transformer:
    torch.manual_seed(1)
    made = Transformer(V, L, width=12, n_layers=n_layers, n_heads=2, dropout=dropout).double().eval()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=std)
    return made.requires_grad_(False)


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


def both(net: Transformer, seen: int, at: Tensor) -> tuple[Tensor, Tensor]:
    """Features (M, K, L - seen, D) of the candidates: with a shared prefix, and by a full pass over each."""
    x, values = tokens(M, L), tokens(M, K, seed=1)
    _, past = net.features_and_cache(net.embed(x[:, :seen])) if seen else (None, nothing(net))
    found = shared_prefix_attention(net, net.embed(x[:, seen:]), net.embed(values), at, past)
    candidates = x[:, None].repeat(1, K, 1)
    candidates[torch.arange(M), :, seen + at] = values
    full = net.features(net.embed(candidates.flatten(0, 1))).unflatten(0, (M, K))
    return found, full[:, :, seen:]


def nothing(net: Transformer) -> list[tuple[Tensor, Tensor]]:
    empty = torch.zeros(M, 2, 0, net.width // 2, dtype=net.position.dtype)
    return [(empty, empty) for _ in net.blocks]


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("seen", range(L))
def test_candidates_equal_full_passes_after_a_prefix_of_any_length(n_layers: int, seen: int) -> None:
    at = torch.arange(M) % (L - seen)  # every place of the tail, the first and the last too
    found, full = both(net(n_layers), seen, at)
    before = torch.arange(L - seen) < at[:, None]
    torch.testing.assert_close(found, full, rtol=1e-10, atol=1e-10)  # float64
    assert (
        found.std(dim=1).amax(dim=2)[~before].min() > 1e-6
    )  # candidates differ from their own token on, so a mix-up would show


def test_attention_on_one_token_alone_does_not_overflow() -> None:
    sharp = net(2, std=6.0).float()  # scores of thousands: softmax is 0 or 1
    found, full = both(sharp, 2, torch.arange(M) % (L - 2))
    assert found.isfinite().all()
    close = (found - full).abs().amax(dim=(2, 3)) < 1e-2
    assert close.float().mean() > 0.95  # rounding decides near ties


def test_no_graph_is_kept() -> None:
    trained = net(2).requires_grad_()
    assert not both(trained, 1, torch.zeros(M, dtype=torch.long))[0].requires_grad


@pytest.mark.parametrize("max_rows", [1, 2, 5, 100])
def test_no_more_tokens_go_through_the_net_at_once_than_so_many_whole_sequences_have(
    monkeypatch: pytest.MonkeyPatch, max_rows: int
) -> None:
    energy, x, values, sizes = PooledEnergy(net(2)).double().eval(), tokens(M, L), tokens(M, K, seed=1), []

    def counted(net: Transformer, tail: Tensor, token: Tensor, at: Tensor, past: list) -> Tensor:
        sizes.append((token.shape[0] * token.shape[1], tail.shape[1]))
        return shared_prefix_attention(net, tail, token, at, past)

    monkeypatch.setattr(prefix_cache, "shared_prefix_attention", counted)
    cache = energy.prefill(energy.embed(x), x)[1]
    assert cache is not None
    cache.substituted(torch.arange(M).clamp(max=L - 1), values, max_rows=max_rows)
    assert sum(rows for rows, _ in sizes) == M * K
    assert all(rows * length <= max_rows * L for rows, length in sizes)
    if max_rows == 5:  # short tails go together in larger numbers than whole sequences
        assert max(rows for rows, length in sizes if length == 1) > max_rows
