r"""Networks that do the inference: one answers, the other finds the answer that hurts the energy most.

.. math:: A(x) \approx \arg\min_y E(x, y), \qquad
    F(x, y^*) \approx \arg\min_y \, [E(x, y) - \Delta(y, y^*)]

Both give a distribution over tags at each position, one step for all positions at once. Four ways to share parameters:

- separated: two nets, F does not see the gold tags;
- shared: one encoder with two heads;
- stacked: :math:`F_t = \mathrm{softmax}(W_q [A(x)_t ; y^*_t] + b_q)`, with the gradient blocked at A;
- single: F is A, as where a margin loss is trained first and A is fine-tuned from F.

Parameters for 100 inputs, hidden 100 and 25 tags, with an energy of the same encoder (26 x 26 transitions, no bias):
the paper's table says 166K for A and 333K, 500K, 339K, 335K trained for single, separated, shared, stacked. Its cells
have one bias and three peepholes a unit, in all 700 numbers a direction; torch's LSTM has two biases, 800, and no
peepholes. So each of two directions of each encoder holds 100 more here: A has 166,625 for 166,425, and what is trained
333,901 for 333,501, then 500,526 for 499,926, 338,926 for 338,526, 335,176 for 334,776.
It knows no energy. Source: Tu, Pang and Gimpel (2020), Eqs. 2 and 3, Section 3.1, Table 2.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.checks import check_count, check_tokens
from ebm_course.sentence_checks import check_features, width_of_features

PARAMETRISATIONS = ("separated", "shared", "stacked", "single")


class Encoder(Protocol):
    """A module that reads sentences (N, L, ...) with their mask (N, L) and gives features (N, L, ``n_features``).

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> encoder: Encoder = TokenEncoder((50,), width=8, hidden=6)
    >>> encoder(torch.zeros(2, 3, 1, dtype=torch.int64)).shape
    torch.Size([2, 3, 12])
    """

    n_features: int

    def __call__(self, x: Tensor, mask: Tensor | None = None, /) -> Tensor: ...


class InferenceNetworks(nn.Module):
    """A(x) and F(x, y*): relaxed tags (N, L, K) on the simplex; at pads a distribution that means nothing.

    Args:
        encoder: the features A reads, a module with ``n_features``.
        n_tags: K.
        parametrisation: "separated", "shared", "stacked" or "single".
        cost_encoder: the features F reads where "separated"; None elsewhere.

    Raises:
        ValueError: another parametrisation, a second encoder missing, not used or the first one again, or an encoder
            that says no ``n_features``, or returns others.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> nets = InferenceNetworks(TokenEncoder((50,), width=8, hidden=6), n_tags=5, parametrisation="stacked")
    >>> x, y = torch.randint(50, (2, 4, 1)), torch.zeros(2, 4, dtype=torch.int64)
    >>> nets.test_time(x).shape, nets.cost_augmented(x, y).shape
    (torch.Size([2, 4, 5]), torch.Size([2, 4, 5]))
    """

    def __init__(self, encoder: nn.Module, n_tags: int, *, parametrisation: str, cost_encoder: nn.Module | None = None):
        super().__init__()
        check_count("n_tags", n_tags, least=1)
        if parametrisation not in PARAMETRISATIONS:
            raise ValueError(f"expected a parametrisation of {PARAMETRISATIONS}, got {parametrisation!r}.")
        if (cost_encoder is not None) != (parametrisation == "separated"):
            given = "none" if cost_encoder is None else "one"
            raise ValueError(
                f"separated networks have an encoder each, the others one for both: got {given} for F of "
                f"{parametrisation!r}. Pass cost_encoder for 'separated' alone."
            )
        if cost_encoder is not None and cost_encoder is encoder:
            raise ValueError(
                "separated networks have an encoder each: got one object twice. Make a second, or take 'shared'."
            )
        self.n_tags, self.parametrisation = n_tags, parametrisation
        self.encoder, self.cost_encoder = encoder, cost_encoder
        self.head = nn.Linear(width_of_features(encoder), n_tags)
        self.cost_head: nn.Linear | None = None
        if parametrisation == "stacked":
            self.cost_head = nn.Linear(2 * n_tags, n_tags)  # W_q, b_q
        elif parametrisation != "single":
            self.cost_head = nn.Linear(width_of_features(encoder if cost_encoder is None else cost_encoder), n_tags)

    def test_time(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """A(x), (N, L, K)."""
        return self._log_a(self.encoder(x, mask)).exp()

    def cost_augmented(self, x: Tensor, y_gold: Tensor, mask: Tensor | None = None) -> Tensor:
        """F(x, y*), (N, L, K), of gold tags (N, L), which "stacked" alone reads."""
        if self.cost_encoder is not None:
            return self._log_f(self.cost_encoder(x, mask)).exp()
        return self.log_probabilities(x, y_gold, mask)[1].exp()

    def log_probabilities(self, x: Tensor, y_gold: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """log A(x) and log F(x, y*), each (N, L, K); what both need is computed once."""
        h = self.encoder(x, mask)
        log_a = self._log_a(h)
        if self.parametrisation == "single":
            return log_a, log_a
        if self.parametrisation == "stacked":
            gold = self._rows_of(y_gold, log_a)
            return log_a, self._log_f(torch.cat([log_a.detach().exp(), gold], dim=2))
        return log_a, self._log_f(h if self.cost_encoder is None else self.cost_encoder(x, mask))

    def _rows_of(self, y_gold: Tensor, like: Tensor) -> Tensor:
        if y_gold.shape != like.shape[:2] or y_gold.dtype != torch.int64:
            raise ValueError(
                f"gold tags are int64 with one for each token: expected {tuple(like.shape[:2])}, got {y_gold.dtype} "
                f"{tuple(y_gold.shape)}. Cut them as the sentences."
            )
        try:
            return F.one_hot(y_gold, self.n_tags).to(like)
        except RuntimeError:
            check_tokens(y_gold, self.n_tags, what="tag")
            raise

    def _log_a(self, h: Tensor) -> Tensor:
        scores: Tensor = self.head(check_features(h, self.head.in_features))
        return scores.log_softmax(dim=2)

    def _log_f(self, h: Tensor) -> Tensor:
        assert self.cost_head is not None  # "single" has no F of its own
        scores: Tensor = self.cost_head(check_features(h, self.cost_head.in_features))
        return scores.log_softmax(dim=2)
