r"""The pseudo-likelihood of a masked language model as an energy.

.. math:: E(x) = -\sum_{i \in P} \log p(x_i \mid x_{\setminus i})

Each term hides one position and asks the net for it, so an energy takes one pass of the net for each position of P. It
is no likelihood: the conditionals need not belong to one joint distribution, and Z is not 1.
Source: Besag (1975); for masked language models Wang and Cho (2019). It knows no task, sampler or loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebm_course.energies.transformer import Transformer


class PseudoLikelihoodEnergy(nn.Module):
    """E(x) = -sum over positions in P of log p(x_i | all others) of tokens (N, L) or relaxed tokens (N, L, V), (N,).

    Args:
        net: a transformer without a causal mask, trained to predict hidden tokens.
        positions: bool (L,), P: one pass of the net for each of them.
        mask_value: the token that stands for a hidden one.

    Raises:
        ValueError: the net is causal, or no position is asked for.

    >>> net = Transformer(16, 8, width=8, n_heads=2, causal=False)
    >>> energy = PseudoLikelihoodEnergy(net, torch.arange(8) > 4, mask_value=0).eval()
    >>> energy(torch.ones(3, 8, dtype=torch.int64)).shape, energy(torch.zeros(3, 8, 16)).shape
    (torch.Size([3]), torch.Size([3]))
    """

    positions: Tensor

    def __init__(self, net: Transformer, positions: Tensor, *, mask_value: int):
        super().__init__()
        if net.causal:
            raise ValueError("a pseudo-likelihood asks for what stands on both sides: build the net with causal=False.")
        if positions.dtype != torch.bool or positions.ndim != 1 or not bool(positions.any()):
            raise ValueError(f"positions is bool (L,), one or more of them True: got {positions.dtype} {positions}.")
        self.net, self.n_values, self.mask_value = net, net.n_values, mask_value
        self.register_buffer("positions", positions.nonzero()[:, 0], persistent=False)

    def embed(self, x: Tensor) -> Tensor:
        """Token embeddings (N, L, D)."""
        return self.net.embed(x)

    def logits(self, x: Tensor) -> Tensor:
        """Scores (N, L, V) of every value at every position, of x as it is: hide what is to be predicted."""
        return self.net.logits(x)

    def from_embeddings(self, embeddings: Tensor, x: Tensor) -> Tensor:
        """E (N,) with the net's inputs given as embeddings (N, L, D); x holds the tokens to be predicted."""
        (n, length, width), p = embeddings.shape, self.positions
        hidden = torch.zeros(len(p), length, dtype=torch.bool, device=x.device).scatter(1, p[:, None], True)
        mask = self.net.embedding.weight[self.mask_value]
        rows = torch.where(hidden[None, :, :, None], mask, embeddings[:, None])  # (N, P, L, D)
        h = self.net.features(rows.flatten(0, 1)).view(n, len(p), length, width)
        at = h[:, torch.arange(len(p), device=x.device), p]  # (N, P, D)
        log_p = self.net.to_logits(at).log_softmax(dim=-1)  # (N, P, V)
        if x.ndim == 2:
            return -log_p.gather(2, x[:, p, None])[..., 0].sum(dim=1)
        return -(log_p * x[:, p]).sum(dim=(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.from_embeddings(self.embed(x), x)
