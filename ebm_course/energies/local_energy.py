r"""An energy of a sequence as a mean of local scores, each of what the net knows at a place and of the token after it.

.. math:: E(x) = \frac{1}{L - 1} \sum_{t=1}^{L-1} m(h_t, e_{t+1})

with features h_t of the transformer, token embeddings e_{t+1} and a small perceptron m that begins anew. So it can see
whether a prediction came true, and is not handed the probabilities that the net was pretrained to give: the scores of
the language model's own output layer are not used. It knows no task, sampler or loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.energies.sequence_energies import PooledEnergy, SequenceEnergy
from ebm_course.energies.transformer import Transformer


class LocalEnergy(PooledEnergy):
    """E(x) = mean over t of m(h_t, e_{t+1}), m a perceptron with one hidden layer as wide as the net.

    The net may be causal, where h_t predicts token t + 1, or bidirectional, where h_t has seen it.

    Source: the course's own control between a pooled head, which cannot see what came true on a causal net, and
    ``SurpriseEnergy``, which is handed the likelihood.

    >>> energy = LocalEnergy(Transformer(16, 35))
    >>> energy(torch.zeros(3, 35, dtype=torch.int64)).shape, energy(torch.zeros(3, 35, 16)).shape
    (torch.Size([3]), torch.Size([3]))
    """

    def __init__(self, net: Transformer):
        SequenceEnergy.__init__(self, net)
        self.inner, self.head = nn.Linear(2 * net.width, net.width), nn.Linear(net.width, 1)
        for layer in (self.inner, self.head):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def scores(self, h: Tensor, embeddings: Tensor) -> Tensor:
        """m (..., T) of features (..., T, D) and of the embeddings (..., T, D) of the tokens after them."""
        found: Tensor = self.head(F.gelu(self.inner(torch.cat([h, embeddings], dim=-1))))[..., 0]
        return found

    def from_features(self, h: Tensor, x: Tensor) -> Tensor:
        """The mean of the local scores, (N,)."""
        return self.scores(h[:, :-1], self.embed(x)[:, 1:]).mean(dim=1)

    def from_both(self, h: Tensor, x: Tensor, embeddings: Tensor) -> Tensor:
        """The same, with a gradient in the embeddings given; those of earlier tokens are looked up."""
        earlier = x.shape[1] - embeddings.shape[1]
        if earlier:
            embeddings = torch.cat([self.embed(x[:, :earlier]), embeddings], dim=1)
        return self.scores(h[:, :-1], embeddings[:, 1:]).mean(dim=1)

    def after(self, h: Tensor, x: Tensor, before_h: Tensor, before_x: Tensor) -> Tensor:
        """The same of prefixes with continuations, (M, K)."""
        (m, k, t), s = x.shape, before_x.shape[1]
        embeddings = self.embed(x.flatten(0, 1)).view(m, k, t, -1)
        if s == 0:
            return self.scores(h[:, :, :-1], embeddings[:, :, 1:]).mean(dim=2)
        last = before_h[:, None, -1:].expand(m, k, 1, -1)
        total = self.scores(torch.cat([last, h[:, :, :-1]], dim=2), embeddings).sum(dim=2)
        before = self.scores(before_h[:, :-1], self.embed(before_x)[:, 1:]).sum(dim=1)
        return (before[:, None] + total) / (s + t - 1)
