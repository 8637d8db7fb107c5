r"""A small transformer over tokens or relaxed tokens: features, next-token logits, and generation with a cache.

Pre-normalised blocks, GELU, four times wider inside, learned positions, weights from N(0, 0.02^2). It makes no
energy by itself: the heads in ``sequence_energies`` do. It knows no task and no loss.
Source: Vaswani et al. (2017); sizes and initialisation as in Yin (2023), Table 1, and its baseline's notebook.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.checks import check_count, check_share
from ebm_course.energies.tokens import embed_tokens

Cache = list[tuple[Tensor, Tensor]]
"""Keys and values seen so far, one pair (N, heads, t, D / heads) a layer."""


class Block(nn.Module):
    """Attention and a two-layer perceptron, each added to its input; (N, L, D) to (N, L, D).

    >>> h, (keys, values) = Block(width=8, n_heads=2, dropout=0.0)(torch.zeros(3, 5, 8), causal=True)
    >>> h.shape, keys.shape  # (N, L, D) and (N, heads, L, D / heads)
    (torch.Size([3, 5, 8]), torch.Size([3, 2, 5, 4]))
    """

    def __init__(self, width: int, n_heads: int, dropout: float):
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h: Tensor, *, causal: bool, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple]:
        q, k, v = self.project(h)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        return self.mix(h, q, k, v, causal=causal), (k, v)

    def project(self, h: Tensor) -> Iterable[Tensor]:
        """Queries, keys and values of every position, (N, heads, L, D / heads) each."""
        n, length, width = h.shape
        qkv = self.qkv(self.norm_attention(h)).view(n, length, 3, self.n_heads, width // self.n_heads)
        three: Tensor = qkv.permute(2, 0, 3, 1, 4)
        return three

    def mix(self, h: Tensor, q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
        """The block's output at positions h (N, T, D), the last T of those with keys and values."""
        length, seen = h.shape[1], k.shape[2] - h.shape[1]
        mask = None
        if causal and seen and length > 1:  # row t sees all of the past and positions 0..t of its own
            mask = q.new_full((length, seen + length), -torch.inf).triu(seen + 1)
        drop = self.dropout if self.training else 0.0
        whole = causal and not seen
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=drop, is_causal=whole)
        return self.add(h, mixed.transpose(1, 2).flatten(2))

    def add(self, h: Tensor, mixed: Tensor) -> Tensor:
        """The block's output at positions h (..., D) from the mixed values of their heads, side by side (..., D)."""
        h = h + F.dropout(self.out(mixed), self.dropout, self.training)
        inner = self.down(F.gelu(self.up(self.norm_mlp(h))))
        return h + F.dropout(inner, self.dropout, self.training)


class Transformer(nn.Module):
    """Tokens (N, L) or relaxed tokens (N, L, V) to features (N, L, D) and next-token logits (N, L, V).

    Args:
        n_values: size V of the vocabulary.
        length: longest sequence L.
        width: size D of an embedding; a multiple of ``n_heads``.
        causal: whether position t sees positions 0..t only. An attribute: a net pretrained as a language model may
            be fine-tuned with ``net.causal = False``.

    Raises:
        ValueError: a size is below 1, the width no multiple of the heads, or dropout no share.

    >>> net = Transformer(n_values=16, length=8, width=32).eval()
    >>> x = torch.tensor([[2, 5, 7]])
    >>> net.logits(x).shape
    torch.Size([1, 3, 16])
    >>> first, cache = net.advance(x[:, 0])  # token by token, with a cache, gives the same
    >>> second, cache = net.advance(x[:, 1], cache)
    >>> torch.allclose(second, net.logits(x)[:, 1], atol=1e-5)
    True
    """

    def __init__(
        self,
        n_values: int,
        length: int,
        *,
        width: int = 128,
        n_layers: int = 2,
        n_heads: int = 4,
        dropout: float = 0.1,
        causal: bool = True,
    ):
        super().__init__()
        sizes = {"n_values": n_values, "length": length, "width": width, "n_layers": n_layers, "n_heads": n_heads}
        for name, size in sizes.items():
            check_count(name, size, least=1)
        check_share("dropout", dropout)
        if width % n_heads:
            raise ValueError(f"width {width} must be a multiple of n_heads {n_heads}.")
        self.n_values, self.length, self.width, self.causal, self.dropout = n_values, length, width, causal, dropout
        self.embedding = nn.Embedding(n_values, width)
        self.position = nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.ModuleList(Block(width, n_heads, dropout) for _ in range(n_layers))
        self.norm, self.to_logits = nn.LayerNorm(width), nn.Linear(width, n_values, bias=False)
        self.apply(initialise)

    def embed(self, x: Tensor) -> Tensor:
        """Token embeddings (N, L, D), positions not added; linear in relaxed tokens."""
        embeddings = embed_tokens(self.embedding, x)
        self._check_length(x.shape[1])
        return embeddings

    def features(self, embeddings: Tensor) -> Tensor:
        """What the net knows at every position, (N, L, D), from token embeddings (N, L, D)."""
        return self.features_and_cache(embeddings)[0]

    def features_and_cache(self, embeddings: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """Features (N, T, D) of embeddings (N, T, D) that stand after ``past``, and the keys and values of both."""
        seen = 0 if past is None else past[0][0].shape[2]
        here = self.position[seen : seen + embeddings.shape[1]]
        h, grown = F.dropout(embeddings + here, self.dropout, self.training), []
        for k, block in enumerate(self.blocks):
            h, pair = block(h, causal=self.causal, past=None if past is None else past[k])
            grown.append(pair)
        return self.norm(h), grown

    def logits(self, x: Tensor) -> Tensor:
        """Next-token logits (N, L, V): row t scores token t + 1."""
        scores: Tensor = self.to_logits(self.features(self.embed(x)))
        return scores

    def advance(self, tokens: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache]:
        """Next-token logits (N, V) after one more token (N,) and the grown cache; start with ``state=None``."""
        if not self.causal:
            raise ValueError("a bidirectional net cannot generate token by token: build it with causal=True.")
        seen = 0 if state is None else state[0][0].shape[2]
        self._check_length(seen + 1)
        h, grown = self.features_and_cache(self.embedding(tokens)[:, None], state)
        scores: Tensor = self.to_logits(h)[:, 0]
        return scores, grown

    def _check_length(self, length: int) -> None:
        if length > self.length:
            raise ValueError(f"this net reads {self.length} tokens at most, got {length}: build it with length=.")


def initialise(module: nn.Module) -> None:
    """Draw a layer's weights from N(0, 0.02^2) and set its biases to 0; for ``net.apply``.

    >>> layer = nn.Linear(400, 400)
    >>> initialise(layer)
    >>> round(layer.weight.std().item(), 3), layer.bias.abs().max().item()
    (0.02, 0.0)
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
