r"""A structured prediction energy network: features of the sentence score tags, a matrix scores neighbouring tags.

.. math:: E(x, y) = -\Bigl(\sum_{t=1}^{T} \sum_j y_{t,j} \, U_j^\top b(x, t)
    + \sum_{t=1}^{T+1} y_{t-1}^\top W y_t\Bigr)

:math:`y_0` and :math:`y_{T+1}` are a start and an end label, the last row and the last column of W. Rows y_t are
one-hot or, relaxed, any distribution. E is linear in each row alone (multilinear): moving one row to its best corner
never raises E, so the lowest relaxed energy is reached at a corner and is that of the best tags.
It knows no decoder and no loss.
Source: Belanger and McCallum (2016); Tu, Pang and Gimpel (2020), Eq. 7.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.checks import at_least_single, check_count, check_number, check_tokens
from ebm_course.core import Conditioned
from ebm_course.sentence_checks import check_chain, check_features, width_of_features


class Encoder(Protocol):
    """A module that reads sentences (N, L, ...) with their mask (N, L) and gives features (N, L, ``n_features``).

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> encoder: Encoder = TokenEncoder((50,), width=8, hidden=6)
    >>> encoder.n_features
    12
    """

    n_features: int

    def __call__(self, x: Tensor, mask: Tensor | None = None, /) -> Tensor: ...


class Spen(nn.Module):
    """E(x, y), (N,), of tags y (N, L) or relaxed tags (N, L, K); pads of x and y change nothing.

    Args:
        encoder: the features b, a module with ``n_features`` (see :class:`Encoder`).
        n_tags: K, 1 or more.
        init: parameters W start uniform between -init and init, nats.

    Raises:
        ValueError: the encoder says no ``n_features``, or returns others, there is no tag, or ``init`` is negative or
            not finite.

    ``transitions`` is W (K + 1, K + 1): row K holds the scores of first tags, column K those of last tags; its corner
    is not used.

    Source: Tu, Pang and Gimpel (2020), Eq. 7. Departure: the paper's W is L x L and leaves start and end unsaid; this
    one has a label for both, as the authors' code, whose U has no bias and whose W starts within 0.02.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> energy = Spen(TokenEncoder((50,), width=8, hidden=6), n_tags=5)
    >>> x, y = torch.randint(50, (2, 4, 1)), torch.tensor([[0, 1, 2, 3], [4, 4, 0, 0]])
    >>> mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    >>> energy(x, mask, y).shape, energy.given(x, mask)(F.one_hot(y, 5).float()).shape
    (torch.Size([2]), torch.Size([2]))
    """

    def __init__(self, encoder: nn.Module, n_tags: int, *, init: float = 0.02):
        super().__init__()
        check_count("n_tags", n_tags, least=1)
        check_number("init", init)
        if not 0 <= init < torch.inf:
            raise ValueError(
                f"init bounds the transitions at the start: expected a finite number, 0 or larger, got {init}. "
                f"Pass init=0.02."
            )
        self.n_values = n_tags
        n_features = width_of_features(encoder)
        self.encoder = encoder
        self.to_scores = nn.Linear(n_features, n_tags, bias=False)  # U
        self.transitions = nn.Parameter(torch.empty(n_tags + 1, n_tags + 1).uniform_(-init, init))  # W

    def unary(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scores U_j . b(x, t), (N, L, K); 0 at pads."""
        scores: Tensor = self.to_scores(check_features(self.encoder(x, mask), self.to_scores.in_features))
        return scores

    def given(self, x: Tensor, mask: Tensor | None = None) -> Conditioned:
        """y -> E(x, y). The sentence is read once, here, in the mode and with the gradients of this moment.

        Call it inside :func:`~ebm_course.core.frozen` where the energy's parameters should take no gradient, and again
        after every update of them.
        """
        return Conditioned(self.from_unary, self.unary(x, mask), mask, module=self)

    def from_unary(self, unary: Tensor, mask: Tensor | None, y: Tensor) -> Tensor:
        """E (N,) of tags with the scores (N, L, K) of their sentences."""
        return chain_energy(unary, self.transitions, mask, y)

    def forward(self, x: Tensor, mask: Tensor | None, y: Tensor) -> Tensor:
        return self.from_unary(self.unary(x, mask), mask, y)


def chain_energy(unary: Tensor, transitions: Tensor, mask: Tensor | None, y: Tensor) -> Tensor:
    """E = -(sum_t y_t . unary_t + sum_t y_{t-1}^T W y_t), (N,), start and end label included.

    Args:
        unary: scores (N, L, K), nats.
        transitions: W (K + 1, K + 1), nats; row K starts, column K ends.
        mask: (N, L) bool, True from position 0 on; None where all are real.
        y: tags (N, L) or relaxed tags (N, L, K); what they are at pads does not matter.

    It is summed in float32 at least, also under autocast: 16 bits leave the energy of a sentence no digit.

    >>> unary = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])  # two tokens, two tags
    >>> w = torch.tensor([[0.0, 0.5, 0.0], [0.0, 0.0, 0.25], [0.125, 0.0, 0.0]])
    >>> chain_energy(unary, w, None, torch.tensor([[0, 1]]))  # -(1 + 2 + 0.125 start, 0.5 pair, 0.25 end)
    tensor([-3.8750])
    """
    check_chain(unary, transitions, mask)
    k = unary.shape[2]
    unary, transitions = at_least_single(unary), at_least_single(transitions)
    p = tag_rows(y, k).to(unary)
    if p.shape != unary.shape:
        raise ValueError(
            f"a sentence has a tag a token: expected tags {tuple(unary.shape[:2])} or relaxed tags "
            f"{tuple(unary.shape)}, got {tuple(y.shape)}. Cut both alike."
        )
    if mask is not None:
        p = p.masked_fill(~mask[..., None], 0.0)  # a pad has no tag: every term with it is 0
    inside, start, end = transitions[:k, :k], transitions[k, :k], transitions[:k, k]
    first, last = p[:, :1], p[:, -1:] if mask is None else p * _is_last(mask)[..., None]
    with torch.autocast(unary.device.type, enabled=False):
        score = (p * unary).sum(dim=(1, 2)) + (p[:, :-1] @ inside * p[:, 1:]).sum(dim=(1, 2))
        return -(score + (first @ start).sum(dim=1) + (last @ end).sum(dim=1))


def tag_rows(y: Tensor, n_tags: int) -> Tensor:
    """One-hot rows (N, L, K) of tags (N, L); relaxed tags stay as they are.

    Raises:
        ValueError: another shape, or a tag outside the set.

    >>> tag_rows(torch.tensor([[1, 0]]), 2).tolist()
    [[[0, 1], [1, 0]]]
    """
    if y.ndim == 3 and y.shape[2] == n_tags and y.is_floating_point():
        return y
    if y.ndim != 2 or y.dtype != torch.int64:
        raise ValueError(
            f"this energy reads tags (N, L) of integers or relaxed tags (N, L, {n_tags}) of real numbers: "
            f"got {tuple(y.shape)} of {y.dtype}."
        )
    try:
        return F.one_hot(y, n_tags)
    except RuntimeError:
        check_tokens(y, n_tags, what="tag")
        raise


def _is_last(mask: Tensor) -> Tensor:
    """(N, L), True at the last real position of each row."""
    return mask & ~F.pad(mask[:, 1:], (0, 1))
