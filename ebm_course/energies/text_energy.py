r"""The face of every text classifier: :math:`E(x, y) = -f(x)[y]` of a text x and its label y, open at the embeddings.

.. math:: f(x) = \mathrm{classify}(\mathrm{encode}(\mathrm{embed}(x)))

Words allow no small step; their embeddings do. So the way to the logits is cut in three, where others go in and out:
perturbations at the word embeddings, contrast at the sentence, reconstruction at the states. Pads change no result.
It knows no encoder, no loss and no perturbation.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ebm_course.core import Conditioned
from ebm_course.energies.tokens import embed_tokens

Pooling = Literal["mean", "cls"]
"""How a sentence is made of states: their mean, or the state of the first token."""


class TextEnergy(nn.Module):
    """Logits (N, K) of tokens (N, L); an encoder is a subclass with ``word_embedding``, ``encode`` and ``classify``.

    Args:
        n_classes: number K of labels.
        width: size H of a state and of a sentence.

    Raises:
        ValueError: fewer than two classes.

    >>> table = nn.Embedding.from_pretrained(torch.tensor([[9.0, 9.0], [1.0, 0.0], [3.0, 0.0]]))
    >>> class Mean(TextEnergy):
    ...     word_embedding = table
    ...     def encode(self, embedded, mask):
    ...         return embedded, mean_of(embedded, mask)
    ...     def classify(self, sentence):
    ...         return sentence
    >>> net = Mean(n_classes=2, width=2)
    >>> x, mask = torch.tensor([[1, 2, 0]]), torch.tensor([[True, True, False]])
    >>> net(x, mask).tolist(), net.given(x, mask)(torch.tensor([0])).tolist()
    ([[2.0, 0.0]], [-2.0])
    """

    def __init__(self, n_classes: int, width: int):
        super().__init__()
        if n_classes < 2:
            raise ValueError(f"a classifier tells two classes or more apart: got n_classes={n_classes}. Pass 2.")
        self.n_classes, self.width = n_classes, width

    @property
    def word_embedding(self) -> nn.Embedding:
        """The table that ``embed`` reads, V rows of width D."""
        raise NotImplementedError

    @property
    def embedding_width(self) -> int:
        """Size D of a word's embedding."""
        return self.word_embedding.embedding_dim

    def embed(self, tokens: Tensor) -> Tensor:
        """Word embeddings (N, L, D) before position, normalisation and dropout."""
        return embed_tokens(self.word_embedding, tokens)

    def encode(self, embedded: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """States (N, L, H), 0 at pads, and the sentence (N, H), from word embeddings (N, L, D) and a mask (N, L)."""
        raise NotImplementedError

    def classify(self, sentence: Tensor) -> Tensor:
        """Logits (N, K) of sentences (N, H)."""
        raise NotImplementedError

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.classify(self.encode(self.embed(tokens), mask)[1])

    def logits_and_states(self, embedded: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, K), states (N, L, H) and the sentence (N, H), from word embeddings (N, L, D)."""
        states, sentence = self.encode(embedded, mask)
        return self.classify(sentence), states, sentence

    def given(self, x: Tensor, mask: Tensor | None = None) -> Conditioned:
        """y -> E(x, y) = -f(x)[y] of labels y (N,), int64; row m of K N rows belongs to text m // K.

        Args:
            x: tokens (N, L).
            mask: (N, L) bool, True at real tokens; None where all are.
        """
        return Conditioned(self._energies, x, mask, module=self)

    def _energies(self, x: Tensor, mask: Tensor | None, y: Tensor) -> Tensor:
        return -self(x, mask).gather(1, y[:, None])[:, 0]


def mean_of(states: Tensor, mask: Tensor | None) -> Tensor:
    """Mean (N, H) of states (N, L, H) over real positions.

    >>> states, mask = torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])
    >>> mean_of(states, mask).tolist(), round(mean_of(states, None).item(), 3)
    ([[2.0]], 4.333)
    """
    if mask is None:
        return states.mean(dim=1)
    return states.masked_fill(~mask[..., None], 0.0).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def sentence_of(states: Tensor, mask: Tensor | None, pooling: Pooling) -> Tensor:
    """The sentence (N, H) of states (N, L, H): their mean over real positions, or the first of them.

    >>> sentence_of(torch.tensor([[[1.0], [3.0]]]), None, "cls").tolist()
    [[1.0]]
    """
    return states[:, 0] if pooling == "cls" else mean_of(states, mask)


def check_pooling(pooling: Pooling) -> Pooling:
    """The pooling, refused where it is neither of the two.

    >>> check_pooling("mean")
    'mean'
    """
    if pooling not in ("mean", "cls"):
        raise ValueError(
            f"a sentence is the mean of its states or the state of its first token: got pooling={pooling!r}. "
            f"Pass 'mean' or 'cls'."
        )
    return pooling


def check_text(embedded: Tensor, mask: Tensor | None, max_length: int) -> None:
    """Refuse texts that are too long, a mask of another shape or kind, and (on a CPU) a text without a real token.

    Raises:
        ValueError: one of them; the message says which.

    >>> check_text(torch.zeros(1, 3, 4), torch.tensor([[True, True, False]]), max_length=3)
    """
    n, length = embedded.shape[:2]
    if length == 0:
        raise ValueError("a text has one token or more: got none at all. Drop empty texts.")
    if length > max_length:
        raise ValueError(
            f"this encoder reads {max_length} tokens at most: got {length}. Cut texts with max_length={max_length}."
        )
    if mask is None:
        return
    if mask.shape != (n, length) or mask.dtype != torch.bool:
        raise ValueError(
            f"a mask is bool, True at real tokens: expected shape {(n, length)}, got {mask.dtype} "
            f"{tuple(mask.shape)}. Take it from the batch of these tokens."
        )
    if mask.device.type == "cpu" and not bool(mask[:, :1].all()):  # elsewhere asking would wait for the device
        row = int((~mask[:, 0]).nonzero()[0, 0]) if length else 0
        raise ValueError(
            f"a text has real tokens from position 0 on: row {row} has none there. Pad at the right, drop empty texts."
        )
