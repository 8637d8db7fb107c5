r"""Four energies of a sequence from one transformer: its likelihood, a free scalar, and two mixtures of both.

* :class:`LikelihoodEnergy`: :math:`E(x) = -\sum_t \log p(x_{t+1} \mid x_{\le t})`, so a pretrained language model is
  an energy with no further training.
* :class:`PooledEnergy`: :math:`-E(x) = s_0 - s_1` with two scores from the mean feature over all positions.
* :class:`CorrectedEnergy`: likelihood plus a pooled correction that starts at zero.
* :class:`SurpriseEnergy`: a pooled energy that also sees how surprised the net is, with a weight that starts at zero.

All map tokens (N, L) or relaxed tokens (N, L, V) to (N,) in nats. They know no task, sampler or loss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebm_course.energies.prefix_cache import PrefixCache
from ebm_course.energies.transformer import Cache, Transformer


def sequence_nll(logits: Tensor, x: Tensor) -> Tensor:
    """-sum_t log p(x_{t+1} | x_<=t), (N,), from logits (N, L, V) and tokens (N, L) or relaxed tokens (N, L, V).

    Source: Yin (2023), Eq. 7, with the sign of an energy. The first token is given and costs nothing.

    >>> x = torch.tensor([[0, 1, 2]])
    >>> sequence_nll(torch.zeros(1, 3, 4), x)  # two tokens, each one of four: 2 log 4
    tensor([2.7726])
    """
    return _nll(logits[:, :-1].log_softmax(dim=-1), x)


def excess_surprise(logits: Tensor, x: Tensor) -> Tensor:
    r"""How much more surprised a net is than it expects to be, (N,), in nats.

    .. math:: \sum_t \big( -\log p(x_{t+1} \mid x_{\le t}) - H(p(\cdot \mid x_{\le t})) \big)

    0 on average over the net's own samples; a digit that can be any costs nothing, a digit that was foretold and came
    otherwise costs much. Arguments as for :func:`sequence_nll`.

    >>> logits = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]])  # the net leans towards token 0
    >>> torch.cat([excess_surprise(logits, torch.tensor([[0, v]])) for v in (0, 1)])
    tensor([-0.2384,  1.7616])
    """
    log_p = logits[:, :-1].log_softmax(dim=-1)
    return _nll(log_p, x) + (log_p.exp() * log_p).sum(dim=(1, 2))


def _nll(log_p: Tensor, x: Tensor) -> Tensor:
    """(N,) from the log-probabilities (N, L - 1, V) of the tokens after the first."""
    if x.ndim == 2:
        return -log_p.gather(2, x[:, 1:, None])[..., 0].sum(dim=1)
    return -(log_p * x[:, 1:]).sum(dim=(1, 2))


def _score_after(
    score: Callable[[Tensor, Tensor], Tensor],
    net: Transformer,
    h: Tensor,
    x: Tensor,
    before_h: Tensor,
    before_x: Tensor,
) -> Tensor:
    """A score of logits and tokens that adds up over positions, (M, K); the rest as in SequenceEnergy.after."""
    m, k = x.shape[:2]
    logits = net.to_logits(h)  # (M, K, T, V)
    if not before_x.shape[1]:
        return score(logits.flatten(0, 1), x.flatten(0, 1)).view(m, k)
    before = net.to_logits(before_h)  # (M, S, V); its last row predicts the continuation's first token
    logits = torch.cat([before[:, None, -1:].expand(m, k, 1, -1), logits], dim=2).flatten(0, 1)
    x = torch.cat([before_x[:, None, -1:].expand(m, k, 1), x], dim=2).flatten(0, 1)
    return score(before, before_x)[:, None] + score(logits, x).view(m, k)


class SequenceEnergy(nn.Module):
    """Shared by the four: ``forward``, ``embed``, what an attack on embeddings needs, and the cache of prefixes."""

    def __init__(self, net: Transformer):
        super().__init__()
        self.net = net
        self.n_values = net.n_values

    def embed(self, x: Tensor) -> Tensor:
        """Token embeddings (N, L, D)."""
        return self.net.embed(x)

    def from_embeddings(self, embeddings: Tensor, x: Tensor) -> Tensor:
        """E (N,) with the net's inputs given as embeddings (N, L, D); x (N, L) are the tokens to be predicted."""
        return self.from_both(self.net.features(embeddings), x, embeddings)

    def from_features(self, h: Tensor, x: Tensor) -> Tensor:
        """E (N,) from the net's features (N, L, D) and the tokens (N, L) to be predicted."""
        raise NotImplementedError

    def from_both(self, h: Tensor, x: Tensor, embeddings: Tensor) -> Tensor:
        """The same for a head that reads the embeddings (N, T, D) of the last T tokens too; by default none does."""
        return self.from_features(h, x)

    def after(self, h: Tensor, x: Tensor, before_h: Tensor, before_x: Tensor) -> Tensor:
        """E (M, K) of M prefixes with K continuations each, the prefixes' share computed once.

        Args:
            h: features of the continuations (M, K, T, D); x: their tokens (M, K, T).
            before_h: features of the prefixes (M, S, D), S >= 0; before_x: their tokens (M, S).
        """
        raise NotImplementedError

    def prefill(
        self, embeddings: Tensor, x: Tensor, cache: PrefixCache | None = None
    ) -> tuple[Tensor, PrefixCache | None]:
        """E (N,) as :meth:`from_embeddings` gives it, and the cache of x (None: bidirectional net or relaxed tokens).

        Args:
            embeddings: of all tokens (N, L, D), or of the last T where the ones before are cached.
            x: all tokens (N, L).
            cache: that of the first L - T tokens.

        >>> energy, x = PooledEnergy(Transformer(5, 4, width=8, n_heads=2)).eval(), torch.tensor([[0, 1, 2, 3]])
        >>> _, cache = energy.prefill(energy.embed(x[:, :2]), x[:, :2])
        >>> e, cache = energy.prefill(energy.embed(x[:, 2:]), x, cache)
        >>> torch.allclose(e, energy(x), atol=1e-6), cache.features.shape
        (True, torch.Size([1, 4, 8]))
        """
        h, pairs = self.net.features_and_cache(embeddings, None if cache is None else cache.keys_values)
        h = h if cache is None else torch.cat([cache.features, h], dim=1)
        e = self.from_both(h, x, embeddings)
        if not self.net.causal or x.ndim != 2:
            return e, None
        return e, PrefixCache(self, x, h.detach(), [(k.detach(), v.detach()) for k, v in pairs])

    def forward(self, x: Tensor) -> Tensor:
        return self.from_embeddings(self.embed(x), x)


class LikelihoodEnergy(SequenceEnergy):
    """E(x) = -log p(x | first token) of a causal net.

    Raises:
        ValueError: the net is bidirectional: it would see the very token it predicts.

    >>> energy = LikelihoodEnergy(Transformer(2, 3, width=8, n_heads=2)).eval()
    >>> states = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]])
    >>> p = (-energy(states)).exp()
    >>> p.shape, torch.allclose(p.sum(), torch.tensor(1.0))  # normalised: Z = 1
    (torch.Size([4]), True)
    """

    def from_features(self, h: Tensor, x: Tensor) -> Tensor:
        """-log p of tokens (N, L), (N,)."""
        if not self.net.causal:
            raise ValueError(
                "a likelihood needs a causal net, got a bidirectional one, which sees the token it predicts. "
                "Set energy.net.causal = True, or use PooledEnergy."
            )
        return sequence_nll(self.net.to_logits(h), x)

    def after(self, h: Tensor, x: Tensor, before_h: Tensor, before_x: Tensor) -> Tensor:
        """-log p (M, K) of prefixes with continuations."""
        return _score_after(sequence_nll, self.net, h, x, before_h, before_x)

    def advance(self, tokens: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache]:
        """One token of generation, see :meth:`Transformer.advance`."""
        return self.net.advance(tokens, state)


class PooledEnergy(SequenceEnergy):
    """E(x) = s_1 - s_0 with (s_0, s_1) = W mean_t h_t + b.

    Source: Yin (2023) leaves the head unsaid; this is the one of its baseline's notebook.

    >>> energy = PooledEnergy(Transformer(16, 35))
    >>> energy(torch.zeros(3, 35, dtype=torch.int64)).shape, energy(torch.zeros(3, 35, 16)).shape
    (torch.Size([3]), torch.Size([3]))
    """

    def __init__(self, net: Transformer):
        super().__init__(net)
        self.head = nn.Linear(net.width, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def from_features(self, h: Tensor, x: Tensor) -> Tensor:
        """The difference of two scores of the mean feature, (N,)."""
        scores = self.head(h.mean(dim=1))
        return scores[:, 1] - scores[:, 0]

    def after(self, h: Tensor, x: Tensor, before_h: Tensor, before_x: Tensor) -> Tensor:
        """The same of the mean over prefix and continuation, (M, K)."""
        mean = (before_h.sum(dim=1)[:, None] + h.sum(dim=2)) / (before_h.shape[1] + h.shape[2])  # (M, K, D)
        scores = self.head(mean)
        return scores[..., 1] - scores[..., 0]


class CorrectedEnergy(PooledEnergy):
    """E(x) = -log p(x) + correction(x): equal to the likelihood's energy until trained (the head starts at zero).

    >>> net, x = Transformer(16, 35).eval(), torch.zeros(3, 35, dtype=torch.int64)
    >>> torch.equal(CorrectedEnergy(net)(x), LikelihoodEnergy(net)(x))
    True
    """

    def __init__(self, net: Transformer):
        super().__init__(net)
        nn.init.zeros_(self.head.weight)

    def from_features(self, h: Tensor, x: Tensor) -> Tensor:
        """-log p plus the correction, (N,)."""
        return sequence_nll(self.net.to_logits(h), x) + super().from_features(h, x)

    def after(self, h: Tensor, x: Tensor, before_h: Tensor, before_x: Tensor) -> Tensor:
        """-log p plus the correction of prefixes with continuations, (M, K)."""
        return _score_after(sequence_nll, self.net, h, x, before_h, before_x) + super().after(h, x, before_h, before_x)


class SurpriseEnergy(PooledEnergy):
    r"""E(x) = pooled energy + w * excess surprise, w from 0: it knows nothing at first, but can see what came true.

    The mean feature says what the net predicts, not whether it came so; :func:`excess_surprise` says just that.

    Raises:
        ValueError: the net is bidirectional: it would see the very token it predicts.

    >>> energy, x = SurpriseEnergy(Transformer(16, 35)).eval(), torch.zeros(3, 35, dtype=torch.int64)
    >>> energy(x).shape, energy.weight.item()
    (torch.Size([3]), 0.0)
    """

    def __init__(self, net: Transformer):
        super().__init__(net)
        self.weight = nn.Parameter(torch.zeros(()))

    def from_features(self, h: Tensor, x: Tensor) -> Tensor:
        """The pooled energy plus the weighted excess surprise, (N,)."""
        if not self.net.causal:
            raise ValueError(
                "surprise needs a causal net, got a bidirectional one, which sees the token it predicts. "
                "Set energy.net.causal = True, or use PooledEnergy."
            )
        return super().from_features(h, x) + self.weight * excess_surprise(self.net.to_logits(h), x)

    def after(self, h: Tensor, x: Tensor, before_h: Tensor, before_x: Tensor) -> Tensor:
        """The same of prefixes with continuations, (M, K)."""
        surprise = _score_after(excess_surprise, self.net, h, x, before_h, before_x)
        return super().after(h, x, before_h, before_x) + self.weight * surprise
