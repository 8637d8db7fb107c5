r"""Three energies of a sequence from one transformer: its likelihood, a free scalar, and the sum of both.

* :class:`LikelihoodEnergy`: :math:`E(x) = -\sum_t \log p(x_{t+1} \mid x_{\le t})`, so a pretrained language model is
  an energy with no further training.
* :class:`PooledEnergy`: :math:`-E(x) = s_0 - s_1` with two scores from the mean feature over all positions.
* :class:`CorrectedEnergy`: likelihood plus a pooled correction that starts at zero.

All read tokens (N, L) or relaxed tokens (N, L, V) and give (N,) in nats. They know no task, sampler or loss.
"""

from __future__ import annotations

from torch import Tensor, nn

from ebm_course.energies.transformer import Cache, Transformer


def sequence_nll(logits: Tensor, x: Tensor) -> Tensor:
    """-sum_t log p(x_{t+1} | x_<=t), (N,), from logits (N, L, V) and tokens (N, L) or relaxed tokens (N, L, V).

    Source: Yin (2023), Eq. 7, with the sign of an energy. The first token is given and costs nothing.
    """
    log_p = logits[:, :-1].log_softmax(dim=-1)  # (N, L - 1, V)
    if x.ndim == 2:
        return -log_p.gather(2, x[:, 1:, None])[..., 0].sum(dim=1)
    return -(log_p * x[:, 1:]).sum(dim=(1, 2))


class SequenceEnergy(nn.Module):
    """Shared by the three: ``forward``, ``embed`` and what an attack on embeddings needs."""

    def __init__(self, net: Transformer):
        super().__init__()
        self.net = net
        self.n_values = net.n_values

    def embed(self, x: Tensor) -> Tensor:
        """Token embeddings (N, L, D)."""
        return self.net.embed(x)

    def from_embeddings(self, embeddings: Tensor, x: Tensor) -> Tensor:
        """E (N,) with the net's inputs given as embeddings (N, L, D); x (N, L) are the tokens to be predicted."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.from_embeddings(self.embed(x), x)


class LikelihoodEnergy(SequenceEnergy):
    """E(x) = -log p(x | first token) of a causal net.

    Raises:
        ValueError: the net is bidirectional: it would read the very token it predicts.
    """

    def from_embeddings(self, embeddings: Tensor, x: Tensor) -> Tensor:
        if not self.net.causal:
            raise ValueError("a likelihood needs a causal net: a bidirectional one reads the token it predicts.")
        return sequence_nll(self.net.to_logits(self.net.features(embeddings)), x)

    def advance(self, tokens: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache]:
        """One token of generation, see :meth:`Transformer.advance`."""
        return self.net.advance(tokens, state)


class PooledEnergy(SequenceEnergy):
    """E(x) = s_1 - s_0 with (s_0, s_1) = W mean_t h_t + b.

    Source: Yin (2023) leaves the head unsaid; this is the one of its baseline's notebook.
    """

    def __init__(self, net: Transformer):
        super().__init__(net)
        self.head = nn.Linear(net.width, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def from_embeddings(self, embeddings: Tensor, x: Tensor) -> Tensor:
        scores = self.head(self.net.features(embeddings).mean(dim=1))
        return scores[:, 1] - scores[:, 0]


class CorrectedEnergy(PooledEnergy):
    """E(x) = -log p(x) + correction(x): equal to the likelihood's energy until trained (the head starts at zero)."""

    def __init__(self, net: Transformer):
        super().__init__(net)
        nn.init.zeros_(self.head.weight)

    def from_embeddings(self, embeddings: Tensor, x: Tensor) -> Tensor:
        h = self.net.features(embeddings)
        scores = self.head(h.mean(dim=1))
        correction: Tensor = scores[:, 1] - scores[:, 0]
        return sequence_nll(self.net.to_logits(h), x) + correction
