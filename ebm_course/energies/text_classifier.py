"""A small transformer that classifies texts, E(x, y) = -f(x)[y], trained from scratch in seconds to minutes.

Learned positions, LayerNorm and dropout after the word embeddings, as in BERT, so that the three cuts of the face
(``text_energy``) lie where those of a pretrained encoder lie; then pre-normalised blocks. It knows no task and no loss.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.checks import check_share
from ebm_course.energies.text_energy import Pooling, TextEnergy, check_pooling, check_text, sentence_of
from ebm_course.energies.transformer import Block, initialise


class TextClassifier(TextEnergy):
    """Logits (N, K) of tokens (N, L) and a mask (N, L); pads change nothing.

    Args:
        n_tokens: size V of the vocabulary; ids 0 to V - 1.
        n_classes: number K of labels.
        width: size of a word's embedding, of a state and of a sentence; a multiple of ``n_heads``.
        max_length: longest text L.
        dropout: share of entries dropped after the embeddings, in each block and before the logits while training.
        pooling: a sentence is the ``mean`` of its states, or the state of its first token (``cls``).

    Raises:
        ValueError: a size below 1, a width that is no multiple of the heads, or another pooling.

    Source: Vaswani et al. (2017); Devlin et al. (2019) for what stands before the blocks. Departure: the blocks are
    pre-normalised, which trains without a long warm-up.

    >>> net = TextClassifier(n_tokens=50, n_classes=2, width=16).eval()
    >>> x, mask = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]]), torch.tensor([[True] * 4, [True] * 3 + [False]])
    >>> logits, states, sentence = net.logits_and_states(net.embed(x), mask)
    >>> logits.shape, states.shape, sentence.shape
    (torch.Size([2, 2]), torch.Size([2, 4, 16]), torch.Size([2, 16]))
    >>> torch.allclose(net(x[1:, :3]), logits[1:], atol=1e-6)  # without its pad, and alone
    True
    """

    def __init__(
        self,
        n_tokens: int,
        n_classes: int,
        *,
        width: int = 128,
        n_layers: int = 2,
        n_heads: int = 4,
        max_length: int = 128,
        dropout: float = 0.1,
        pooling: Pooling = "mean",
    ):
        if min(n_tokens, width, n_layers, n_heads, max_length) < 1 or width % n_heads:
            raise ValueError(
                f"sizes are 1 or larger and the width a multiple of the heads: got n_tokens {n_tokens}, width {width}, "
                f"n_layers {n_layers}, n_heads {n_heads}, max_length {max_length}. Pass width={max(n_heads, 1) * 32}."
            )
        check_share("dropout", dropout)
        super().__init__(n_classes, width)
        self.words = nn.Embedding(n_tokens, width)
        self.pooling, self.max_length = check_pooling(pooling), max_length
        self.position = nn.Parameter(torch.zeros(max_length, width))
        self.norm_embedding, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, n_heads, dropout) for _ in range(n_layers))
        self.dropout, self.to_logits = nn.Dropout(dropout), nn.Linear(width, n_classes)
        self.apply(initialise)

    @property
    def word_embedding(self) -> nn.Embedding:
        """The table that ``embed`` reads, (V, D)."""
        return self.words

    def encode(self, embedded: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """States (N, L, H), 0 at pads, and the sentence (N, H), from word embeddings (N, L, D) and a mask (N, L)."""
        check_text(embedded, mask, self.max_length)
        h = self.dropout(self.norm_embedding(embedded + self.position[: embedded.shape[1]]))
        seen = None if mask is None else mask[:, None, None, :]  # (N, 1, 1, L): every query sees real keys alone
        for block in cast(list[Block], self.blocks):
            q, k, v = block.project(h)
            drop = block.dropout if self.training else 0.0
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=drop)
            h = block.add(h, mixed.transpose(1, 2).flatten(2))
        states = self.norm(h)
        states = states if mask is None else states.masked_fill(~mask[..., None], 0.0)
        return states, sentence_of(states, mask, self.pooling)

    def classify(self, sentence: Tensor) -> Tensor:
        """Logits (N, K) of sentences (N, H)."""
        logits: Tensor = self.to_logits(self.dropout(sentence))
        return logits
