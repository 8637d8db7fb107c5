r"""A head that names the words behind perturbed states: RAR's reconstructor, its decoder tied to the word embedding.

.. math:: \log p(x_i \mid h_i) = \log \operatorname{softmax}(W_e \, \mathrm{LN}(\mathrm{gelu}(W h_i + c)) + b)_{x_i},
    \qquad E(x \mid h) = -\sum_i \log p(x_i \mid h_i)

It knows states, words and a mask; no encoder beyond its word embedding, and no perturbation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.checks import check_count
from ebm_course.energies.text_energy import TextEnergy

UNKNOWN = -100
"""The target of a token that costs nothing: a pad, or a word that the head does not keep."""


class ReconstructionHead(nn.Module):
    """Logits (N, L, K) of words at states (N, L, width): Linear(width, D), gelu, LayerNorm(D), decoder, bias.

    Args:
        word_embedding: of the encoder, (V, D); its table is the decoder, and learns through both. It stays the
            encoder's: its weights are neither among this module's parameters nor in its state.
        width: H of the states.
        kept: ids that occur in the data, int64, rising; None: all V. Other words are left out of the softmax, which
            loses nothing where they never occur.

    Raises:
        ValueError: what is given is no embedding, or the ids are not rising numbers of 0 to V - 1.

    Source: Qiu, Zhang and Zhou, Section 3.3; order of the layers: the masked-word head of ALBERT, whose 128,688
    parameters are the difference of their Table 7.

    >>> embedding = nn.Embedding(30_000, 128)
    >>> head = ReconstructionHead(embedding, 768)
    >>> head(torch.zeros(2, 3, 768)).shape, sum(p.numel() for p in head.parameters())
    (torch.Size([2, 3, 30000]), 128688)
    >>> small = ReconstructionHead(embedding, 768, kept=torch.tensor([2, 7]))
    >>> small.targets(torch.tensor([[7, 2, 5]]), torch.tensor([[True, True, True]]))
    tensor([[   1,    0, -100]])
    """

    def __init__(self, word_embedding: nn.Embedding, width: int, *, kept: Tensor | None = None):
        super().__init__()
        if not isinstance(word_embedding, nn.Embedding):
            raise ValueError(
                f"the decoder is tied to a word embedding: expected nn.Embedding, got {type(word_embedding).__name__}. "
                "Pass classifier.word_embedding."
            )
        check_count("width", width, least=1)
        n_words, d = word_embedding.num_embeddings, word_embedding.embedding_dim
        if kept is not None:
            _check_kept(kept, n_words)
        self.tied = (word_embedding,)  # a tuple hides it: it is the encoder's part
        self.dense, self.norm = nn.Linear(width, d), nn.LayerNorm(d)
        self.bias = nn.Parameter(torch.zeros(n_words if kept is None else len(kept)))
        places = torch.arange(n_words)
        if kept is not None:
            places = torch.full((n_words,), UNKNOWN).index_copy(0, kept.cpu(), torch.arange(len(kept)))
        self.register_buffer("kept", kept, persistent=False)
        self.register_buffer("places", places, persistent=False)  # of each id among the words that are kept

    kept: Tensor | None
    places: Tensor

    def forward(self, states: Tensor) -> Tensor:
        table = self.tied[0].weight
        table = table if self.kept is None else table[self.kept]  # (K, D)
        logits: Tensor = F.linear(self.norm(F.gelu(self.dense(states))), table, self.bias)
        return logits

    def targets(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The classes of tokens (N, L) among the words that are kept; ``UNKNOWN`` at pads and at other words."""
        return self.places[tokens].masked_fill(~mask, UNKNOWN)

    def loss(self, states: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """L_R, the mean of -log p(x_i | h_i) over real tokens, nats, and the share of them that are named rightly.

        A word is named where no other has a higher logit. On a CPU the decoder reads no state that counts for nothing.
        """
        targets = self.targets(tokens, mask)
        n = (targets != UNKNOWN).sum().clamp_min(1)
        states, targets = _counted(states.flatten(0, 1), targets.flatten())
        logits = self(states)
        value = F.cross_entropy(logits, targets, ignore_index=UNKNOWN, reduction="sum") / n
        scores = logits.detach()
        best = scores.amax(dim=1) == scores.gather(1, targets.clamp_min(0)[:, None])[:, 0]
        return value, (best & (targets != UNKNOWN)).sum() / n

    @torch.no_grad()
    def words(self, states: Tensor) -> Tensor:
        """The likeliest ids (N, L) at states (N, L, width): a text-form adversarial sample at perturbed ones."""
        best = self(states).argmax(dim=2)
        return best if self.kept is None else self.kept[best]


def _counted(states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that count, on a CPU; elsewhere all, for their number would have to be waited for."""
    return (states[targets != UNKNOWN], targets[targets != UNKNOWN]) if states.is_cpu else (states, targets)


class Reconstructing(nn.Module):
    """A text classifier and the head that reads its states; called, it gives the classifier's logits.

    Args:
        classifier: any of the face of ``text_energy``, with a ``word_embedding`` and a ``width``.
        kept: as in :class:`ReconstructionHead`.

    >>> from ebm_course.energies.text_classifier import TextClassifier
    >>> net = Reconstructing(TextClassifier(50, 2, width=16))
    >>> net(torch.tensor([[2, 7, 3]])).shape, net.head.bias.shape
    (torch.Size([1, 2]), torch.Size([50]))
    """

    def __init__(self, classifier: TextEnergy, *, kept: Tensor | None = None):
        super().__init__()
        self.classifier = classifier
        self.head = ReconstructionHead(classifier.word_embedding, classifier.width, kept=kept)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        logits: Tensor = self.classifier(tokens, mask)
        return logits


def _check_kept(kept: Tensor, n_words: int) -> None:
    right = kept.ndim == 1 and kept.dtype == torch.int64 and len(kept) > 0
    if not (right and int(kept.min()) >= 0 and int(kept.max()) < n_words and bool((kept.diff() > 0).all())):
        raise ValueError(
            f"kept holds rising ids of 0 to {n_words - 1}, int64: got {tuple(kept.shape)} of {kept.dtype}"
            f"{f', {int(kept.min())} to {int(kept.max())}' if kept.numel() else ''}. Pass tokens.unique()."
        )
