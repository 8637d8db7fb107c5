r"""Features of a token that see the token alone, :math:`b(x, t) = v_t = \sum_c \mathrm{emb}_c(x_{t,c})`.

With them an energy knows of the other tokens what its tags say, and nothing else: what a chain of tags can say is then
seen as it is, and not what an LSTM below it has read. It knows no tag and no energy.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.sentence_checks import check_mask


class WordEncoder(TokenEncoder):
    """b (N, L, width) of a batch of sentences; 0 at pads. Arguments and errors as of :class:`TokenEncoder`.

    >>> import torch
    >>> encoder = WordEncoder((50,), width=8)
    >>> x = torch.tensor([[[3], [7], [0]], [[9], [7], [2]]])
    >>> features = encoder(x, torch.tensor([[True, True, False], [True, True, True]]))
    >>> features.shape, torch.equal(features[0, 1], features[1, 1]), features[0, 2].abs().sum().item()
    (torch.Size([2, 3, 8]), True, 0.0)
    """

    def __init__(
        self,
        n_values_of_columns: Sequence[int],
        *,
        width: int = 100,
        dropout: float = 0.0,
        vectors: Tensor | None = None,
    ):
        super().__init__(n_values_of_columns, width=width, hidden=1, dropout=dropout, vectors=vectors)
        del self.forwards, self.backwards
        self.n_features = width

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        check_mask(mask, tuple(x.shape[:2]))
        features: Tensor = self.dropout(self.embed(x))
        return features if mask is None else features.masked_fill(~mask[..., None], 0.0)
