r"""The tags of lowest energy of a chain, exactly, for a batch of sentences of different lengths.

.. math:: \alpha_1(j) = W_{\text{start}, j} + u_{1,j}, \qquad
    \alpha_t(j) = u_{t,j} + \max_i \, [\alpha_{t-1}(i) + W_{ij}], \qquad
    \min_y E = -\max_i \, [\alpha_T(i) + W_{i, \text{end}}]

One loop over positions. Which i was best is not kept: on the way back it is asked again for the one tag taken, K sums
in place of K^2. It knows scores, no net. Source: Viterbi (1967).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import at_least_single, check_finite
from ebm_course.sentence_checks import check_chain


@torch.no_grad()
def viterbi(unary: Tensor, transitions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """argmin_y E(x, y) and its energy for E = -(sum_t unary_t[y_t] + sum_t W[y_{t-1}, y_t]).

    Args:
        unary: scores (N, L, K), nats, as of :meth:`Spen.unary`; not changed.
        transitions: W (K + 1, K + 1), nats; row K holds the scores of first tags, column K those of last tags.
        mask: (N, L) bool, True from position 0 on; None where all are real.

    Returns:
        tags (N, L), int64, 0 at pads, the lowest of equally good ones at each choice; their energies (N,), nats.

    Raises:
        ValueError: shapes do not belong together.
        FloatingPointError: a NaN, or an infinite score that all tags take, left a sentence without a lowest energy.

    >>> unary = torch.tensor([[[1.0, 0.0], [0.0, 0.5]]])
    >>> w = torch.zeros(3, 3)
    >>> viterbi(unary, w)
    (tensor([[0, 1]]), tensor([-1.5000]))
    >>> w[0, 1] = -1.0  # tag 1 no longer follows tag 0: 0 0 scores 1
    >>> viterbi(unary, w)
    (tensor([[0, 0]]), tensor([-1.]))
    """
    check_chain(unary, transitions, mask)
    unary, transitions = at_least_single(unary), at_least_single(transitions)  # 16 bits would choose other tags
    n, length, k = unary.shape
    onto = transitions[:k, :k].T.contiguous()  # (K, K): row j, from i
    alphas = [unary[:, 0] + transitions[k, :k]]
    for t in range(1, length):
        alphas.append((alphas[-1][:, None, :] + onto).amax(dim=2) + unary[:, t])  # (N, K)
    towards = transitions[:k].T  # (K + 1, K): row j, from i; row K is the end
    following = torch.full((n,), k, device=unary.device)
    tags: list[Tensor] = []
    energy = unary.new_zeros(n)
    for t in range(length - 1, -1, -1):
        best, tag = (alphas[t] + towards[following]).max(dim=1)
        is_end = following == k if mask is None else mask[:, t] & (following == k)
        energy = torch.where(is_end, -best, energy)
        tag = tag if mask is None else tag.masked_fill(~mask[:, t], 0)
        following = tag if mask is None else torch.where(mask[:, t], tag, k)
        tags.append(tag)
    check_finite("the lowest energy of a chain", energy, "Look for the scores or transitions that diverged.")
    return torch.stack(tags[::-1], dim=1), energy
