r"""An LSTM language model: a noise distribution whose log-probability is known exactly.

.. math:: q(x) = \prod_t q(x_{t+1} \mid x_{\le t}), \qquad E(x) = -\log q(x)

over sequences of fixed length that begin with a given token: ids are drawn to the end whatever comes before, so q sums
to one over all of them. As an energy it has Z = 1. It knows no task and no vocabulary.
Source: Hochreiter and Schmidhuber (1997); sizes from Yin (2023), Table 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from ebm_course.checks import check_count
from ebm_course.energies.lstm import LSTM
from ebm_course.energies.sequence_energies import sequence_nll
from ebm_course.energies.tokens import embed_tokens

LSTMState = tuple[Tensor, Tensor]


class LSTMLanguageModel(nn.Module):
    """E(x) = -log q(x), (N,), of tokens (N, L) or relaxed tokens (N, L, V); the first token is given.

    Args:
        n_values: size V of the vocabulary.
        width: size of the embedding and of the hidden state.

    Raises:
        ValueError: a size is below 1.

    >>> import torch
    >>> model = LSTMLanguageModel(5, width=8)
    >>> x = torch.tensor([[0, 1, 2, 3], [0, 4, 4, 4]])
    >>> model(x).shape, model.logits(x).shape
    (torch.Size([2]), torch.Size([2, 4, 5]))
    """

    def __init__(self, n_values: int, *, width: int = 256, n_layers: int = 1):
        super().__init__()
        for name, size in (("n_values", n_values), ("width", width), ("n_layers", n_layers)):
            check_count(name, size, least=1)
        self.n_values, self.width = n_values, width
        self.embedding = nn.Embedding(n_values, width)
        self.lstm = LSTM(width, width, n_layers, batch_first=True)
        self.to_logits = nn.Linear(width, n_values)

    def embed(self, x: Tensor) -> Tensor:
        """Token embeddings (N, L, width); linear in relaxed tokens."""
        return embed_tokens(self.embedding, x)

    def from_embeddings(self, embeddings: Tensor, x: Tensor) -> Tensor:
        """E (N,) with inputs given as embeddings (N, L, width); x are the tokens to be predicted."""
        return sequence_nll(self.to_logits(self.lstm(embeddings)[0]), x)

    def logits(self, x: Tensor) -> Tensor:
        """Next-token logits (N, L, V): row t scores token t + 1."""
        scores: Tensor = self.to_logits(self.lstm(self.embed(x))[0])
        return scores

    def forward(self, x: Tensor) -> Tensor:
        return self.from_embeddings(self.embed(x), x)

    def advance(self, tokens: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """Next-token logits (N, V) after one more token (N,), and the new state; start with ``state=None``."""
        h, state = self.lstm(self.embedding(tokens)[:, None], state)
        scores: Tensor = self.to_logits(h)[:, 0]
        return scores, state
