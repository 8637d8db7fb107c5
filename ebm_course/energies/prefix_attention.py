r"""Attention with a shared prefix: K candidates of one sequence, one other token each, in one pass of a causal net.

Take M sequences and K other tokens for position :math:`a` of each. All that stands before :math:`a` is the same in the
K candidates, and in the first layer so is nearly all that stands after it: only the key :math:`k'` and the value
:math:`v'` at :math:`a` are new there. A later position t with query q attends to everything but :math:`a` once, with

.. math:: \ell_t = \log \sum_{s \le t, s \ne a} e^{q_t \cdot k_s / \sqrt d}, \qquad
    o_t = \sum_{s \le t, s \ne a} e^{q_t \cdot k_s / \sqrt d - \ell_t} v_s,

and each candidate mixes its own token in by the weight that softmax gives it,

.. math:: o'_t = (1 - w) \, o_t + w \, v', \qquad w = \sigma(q_t \cdot k' / \sqrt d - \ell_t).

Position :math:`a` itself has a new query and sees the prefix and itself. From the second layer on the tails differ
everywhere and run through the block as they are; each of their queries attends to the keys of the shared prefix, which
are not copied where the prefix is longer than the tail, and to its own. The same numbers as from a full pass up to
rounding. No graph and no dropout: it serves sampling. It knows no energy and no sampler.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.energies.transformer import Block, Cache, Transformer


@torch.no_grad()
def shared_prefix_attention(net: Transformer, tail: Tensor, token: Tensor, at: Tensor, past: Cache) -> Tensor:
    """Features (M, K, T, D) of K candidates of M tails, each with one other token, in the net's eval mode.

    Args:
        net: a causal transformer.
        tail: token embeddings (M, T, D) that stand after the prefixes, as they are.
        token: token embeddings (M, K, D) that stand at ``at`` instead.
        at: the place in the tail (M,), int64.
        past: keys and values of the prefixes (M, heads, S, D / heads), S >= 0, a pair a layer.

    >>> net = Transformer(5, 6, width=8, n_layers=2, n_heads=2).eval()
    >>> x = torch.tensor([[0, 1, 2, 3, 4, 0]])  # M = 1; S = 2 tokens are the prefix, T = 4 the tail
    >>> _, past = net.features_and_cache(net.embed(x[:, :2]))
    >>> token = net.embed(torch.tensor([[2, 4, 1]]))  # K = 3 for the tail's second place
    >>> shared_prefix_attention(net, net.embed(x[:, 2:]), token, torch.tensor([1]), past).shape
    torch.Size([1, 3, 4, 8])
    """
    length, seen = tail.shape[1], past[0][0].shape[2]
    tail = tail + net.position[seen : seen + length]
    token = token + net.position[seen + at][:, None]
    first, *others = (b for b in net.blocks if isinstance(b, Block))
    h = _first(first, tail, token, at, past[0])
    for block, prefix in zip(others, past[1:], strict=True):
        h = _later(block, h, prefix)
    normed: Tensor = net.norm(h)
    return normed


def _first(block: Block, tail: Tensor, token: Tensor, at: Tensor, past: tuple[Tensor, Tensor]) -> Tensor:
    """The first block's output (M, K, T, D) for tails (M, T, D) whose position ``at`` holds one of tokens (M, K, D)."""
    (m, length), k, seen = tail.shape[:2], token.shape[1], past[0].shape[2]
    q, keys, values = block.project(tail)  # (M, heads, T, d)
    own_q, own_k, own_v = block.project(token)  # (M, heads, K, d)
    keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
    # 1. Queries of the tail, then those of the new tokens: each sees what stands before it, but never position `at`.
    here, where = torch.arange(length, device=at.device), seen + at[:, None]  # (T,) (M, 1)
    last = torch.cat([(seen + here).expand(m, -1), where.expand(m, k)], dim=1)[:, :, None]  # (M, T + K, 1)
    source = torch.arange(seen + length, device=at.device)
    hidden = (source > last) | (source == where[:, :, None])  # (M, T + K, S + T)
    # 2. l_t and o_t, attention to everything but `at`.
    scale = q.shape[-1] ** -0.5
    scores = torch.cat([q, own_q], dim=2) @ keys.transpose(2, 3) * scale
    scores = scores.masked_fill(hidden[:, None], torch.finfo(scores.dtype).min)  # finite: the first token sees nothing
    log_z = scores.logsumexp(dim=3)  # (M, heads, T + K)
    rest = (scores - log_z[..., None]).exp() @ values  # (M, heads, T + K, d)
    # 3. w and o'_t: each candidate mixes its own token in, at `at` and after it.
    weight = (q @ own_k.transpose(2, 3) * scale - log_z[:, :, :length, None]).sigmoid()  # (M, heads, T, K)
    weight = weight * (here > at[:, None])[:, None, :, None]
    own_weight = ((own_q * own_k).sum(dim=3) * scale - log_z[:, :, length:]).sigmoid()  # (M, heads, K)
    mixed = torch.lerp(
        rest[:, :, :length].transpose(1, 2)[:, None],  # (M, 1, T, heads, d)
        own_v.transpose(1, 2)[:, :, None],  # (M, K, 1, heads, d)
        weight.permute(0, 3, 2, 1)[..., None],  # (M, K, T, heads, 1)
    )
    own = torch.lerp(rest[:, :, length:], own_v, own_weight[..., None])  # (M, heads, K, d)
    # 4. The new tokens' own outputs in their place.
    each = torch.arange(m, device=at.device)
    mixed[each, :, at] = own.transpose(1, 2)
    h = tail[:, None].repeat(1, k, 1, 1)
    h[each, :, at] = token
    return block.add(h, mixed.flatten(3))


def _later(block: Block, h: Tensor, past: tuple[Tensor, Tensor]) -> Tensor:
    """A later block's output (M, K, T, D) for candidates h (M, K, T, D) after the keys and values of their prefixes."""
    k, length, seen = *h.shape[1:3], past[0].shape[2]
    if length >= seen:  # copies of the prefix cost less than attention in two parts
        q, *own = block.project(h.flatten(0, 1))
        pair = [_copied(prefix, tail, k) for prefix, tail in zip(past, own, strict=True)]
        return block.mix(h.flatten(0, 1), q, *pair, causal=True).view(h.shape)
    q, keys, values = (t.unflatten(2, (k, length)) for t in block.project(h.flatten(1, 2)))  # (M, heads, K, T, d)
    later = q.new_full((length, length), -torch.inf).triu(1)
    to_own = q @ keys.transpose(3, 4) * q.shape[-1] ** -0.5 + later  # (M, heads, K, T, T)
    to_prefix = q.flatten(2, 3) @ past[0].transpose(2, 3) * q.shape[-1] ** -0.5  # (M, heads, K T, S)
    share = torch.cat([to_prefix.unflatten(2, (k, length)), to_own], dim=4).softmax(dim=4)
    of_prefix, of_own = share.split([seen, length], dim=4)
    mixed = (of_prefix.flatten(2, 3) @ past[1]).unflatten(2, (k, length)) + of_own @ values
    return block.add(h, mixed.permute(0, 2, 3, 1, 4).flatten(3))


def _copied(prefix: Tensor, own: Tensor, k: int) -> Tensor:
    """(M, heads, S, d) before each K of (M K, heads, T, d)."""
    m, heads, seen, d = prefix.shape
    joined = own.new_empty(m, k, heads, seen + own.shape[2], d)
    joined[:, :, :, :seen] = prefix[:, None]
    joined[:, :, :, seen:] = own.unflatten(0, (m, k))
    return joined.flatten(0, 1)
