"""A BERT of post-normalised blocks that classifies texts, with names of weights as in the published checkpoints.

Written out, so that a pretrained one runs without the library it was trained with. It knows no file and no task.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.checks import check_count, check_share
from ebm_course.energies.text_energy import Pooling, TextEnergy, check_pooling, check_text, sentence_of
from ebm_course.energies.transformer import initialise


class BertLayer(nn.Module):
    """Attention and a two-layer perceptron, each added to its input and then normalised; (N, L, H) to (N, L, H).

    >>> BertLayer(width=8, inner=16, n_heads=2, dropout=0.0, eps=1e-12)(torch.zeros(3, 5, 8), None).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, inner: int, n_heads: int, dropout: float, eps: float):
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm_attention, self.norm = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)

    def forward(self, h: Tensor, seen: Tensor | None) -> Tensor:
        q, k, v = (
            to(h).unflatten(2, (self.n_heads, -1)).transpose(1, 2) for to in (self.query, self.key, self.value)
        )  # (N, heads, L, H / heads)
        drop = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=drop).transpose(1, 2).flatten(2)
        h = self.norm_attention(h + F.dropout(self.out(mixed), self.dropout, self.training))
        inner = self.down(F.gelu(self.up(h)))
        normalised: Tensor = self.norm(h + F.dropout(inner, self.dropout, self.training))
        return normalised


class Bert(TextEnergy):
    """Logits (N, K) of tokens (N, L) and a mask (N, L); pads change nothing.

    Args:
        n_tokens: size V of the vocabulary.
        n_classes: number K of labels.
        width: size of an embedding, of a state and of a sentence; a multiple of ``n_heads``.
        inner: width of the perceptron in a block; four times the width where None.
        max_length: longest text L.
        dropout: share of entries dropped after the embeddings, in each block and before the logits while training.
        pooling: a sentence is the ``mean`` of its states, or the state of its first token (``cls``).

    Raises:
        ValueError: the width is no multiple of the heads, or another pooling.

    Source: Devlin et al. (2019). Departure: one kind of segment, whose vector is part of the positions' table.

    >>> net = Bert(n_tokens=50, n_classes=3, width=16, n_layers=1, n_heads=2).eval()
    >>> x, mask = torch.tensor([[2, 7, 3, 0]]), torch.tensor([[True, True, True, False]])
    >>> torch.allclose(net(x, mask), net(x[:, :3]), atol=1e-6), net.embedding_width, net.width
    (True, 16, 16)
    """

    def __init__(
        self,
        n_tokens: int,
        n_classes: int,
        *,
        width: int = 384,
        n_layers: int = 6,
        n_heads: int = 12,
        inner: int | None = None,
        max_length: int = 512,
        dropout: float = 0.1,
        eps: float = 1e-12,
        pooling: Pooling = "mean",
    ):
        sizes = {"n_tokens": n_tokens, "width": width, "n_layers": n_layers, "n_heads": n_heads}
        for name, size in (sizes | {"max_length": max_length, "inner": 1 if inner is None else inner}).items():
            check_count(name, size, least=1)
        check_share("dropout", dropout)
        if width % n_heads:
            raise ValueError(f"the width is a multiple of n_heads {n_heads}: got {width}. Pass {n_heads * 32}.")
        super().__init__(n_classes, width)
        self.pooling, self.max_length = check_pooling(pooling), max_length
        self.words, self.positions = nn.Embedding(n_tokens, width), nn.Embedding(max_length, width)
        self.norm, self.dropout = nn.LayerNorm(width, eps=eps), nn.Dropout(dropout)
        layers = (BertLayer(width, inner or 4 * width, n_heads, dropout, eps) for _ in range(n_layers))
        self.layers = nn.ModuleList(layers)
        self.to_logits = nn.Linear(width, n_classes)
        self.apply(initialise)

    @property
    def word_embedding(self) -> nn.Embedding:
        """The table that ``embed`` reads, (V, D)."""
        return self.words

    def encode(self, embedded: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """States (N, L, H), 0 at pads, and the sentence (N, H), from word embeddings (N, L, D) and a mask (N, L)."""
        check_text(embedded, mask, self.max_length)
        h = self.dropout(self.norm(embedded + self.positions.weight[: embedded.shape[1]]))
        seen = None if mask is None else mask[:, None, None, :]  # (N, 1, 1, L): every query sees real keys alone
        for layer in cast(list[BertLayer], self.layers):
            h = layer(h, seen)
        states = h if mask is None else h.masked_fill(~mask[..., None], 0.0)
        return states, sentence_of(states, mask, self.pooling)

    def classify(self, sentence: Tensor) -> Tensor:
        """Logits (N, K) of sentences (N, H)."""
        logits: Tensor = self.to_logits(self.dropout(sentence))
        return logits


NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "norm_attention": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}
"""Modules of a layer -> their names in a published checkpoint, after ``encoder.layer.N.``."""


def load_published(net: Bert, state: dict[str, Tensor]) -> None:
    """Copy the weights of a published BERT into the first layers of a net; its logits stay as they are.

    Raises:
        ValueError: a weight is missing or has another shape; the message names the first.

    >>> net = Bert(n_tokens=5, n_classes=2, width=4, n_layers=1, n_heads=1)
    >>> load_published(net, {})
    Traceback (most recent call last):
    ...
    ValueError: a weight does not fit: embeddings.word_embeddings.weight is missing. Take a BERT's weights.
    """

    def taken(name: str) -> Tensor:
        if name not in state:
            raise ValueError(f"a weight does not fit: {name} is missing. Take a BERT's weights.")
        return state[name]

    pairs = {
        net.words.weight: taken("embeddings.word_embeddings.weight"),
        net.positions.weight: taken("embeddings.position_embeddings.weight")
        + taken("embeddings.token_type_embeddings.weight")[0],
    }
    modules: dict[str, nn.Module] = {"embeddings.LayerNorm": net.norm}
    for k, layer in enumerate(net.layers):
        modules |= {f"encoder.layer.{k}.{said}": layer.get_submodule(own) for own, said in NAMES.items()}
    for said, module in modules.items():
        pairs |= {p: taken(f"{said}.{own}") for own, p in module.named_parameters()}
    with torch.no_grad():
        for own, given in pairs.items():
            if own.shape != given.shape:
                raise ValueError(
                    f"a weight does not fit: expected shape {tuple(own.shape)}, got "
                    f"{tuple(given.shape)}. Build the net in the sizes of the checkpoint's config."
                )
            own.copy_(given)
