r"""Features of a sentence: b(x, t), what an LSTM has read from the left and another from the right when they meet at t.

.. math:: v_t = \sum_c \mathrm{emb}_c(x_{t,c}), \qquad
    b(x, t) = [\overrightarrow{\mathrm{LSTM}}(v_{1..t}) ; \overleftarrow{\mathrm{LSTM}}(v_{T..t})]

The sum over a token's columns is one matrix on the concatenation of their vectors, written without the matrix. Every
sentence is turned round inside its own length, so that no LSTM reads a pad before a token.
It knows no tag and no energy.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.checks import check_share
from ebm_course.energies.lstm import LSTM
from ebm_course.energies.reversal import reversed_within
from ebm_course.sentence_checks import check_mask


class TokenEncoder(nn.Module):
    """b (N, L, 2 hidden) of a batch of sentences; 0 at pads, which change nothing elsewhere.

    Args:
        n_values_of_columns: how many values each of a token's F integers takes, the word's first.
        width: size of a token's vector.
        hidden: size of each LSTM's state.
        dropout: share of entries dropped from token vectors and from features while training.
        vectors: fixed word vectors (n_values_of_columns[0], D), real; used instead of trained ones, through a trained
            matrix where D differs from the width. They are stored with the parameters.

    Raises:
        ValueError: no columns, a size below 1, or vectors of another number of rows.

    Source: Tu, Pang and Gimpel (2020), Sections 5 and 6: a BiLSTM, hidden 100, of one layer (Table 1). Departure:
    torch's cell has two bias vectors and no peepholes; by default words are learned, with further columns such as
    clusters and affixes.

    >>> encoder = TokenEncoder((50, 10), width=8, hidden=6)
    >>> x = torch.tensor([[[3, 1], [7, 2], [0, 0]]])
    >>> mask = torch.tensor([[True, True, False]])
    >>> encoder(x, mask).shape, encoder(x, mask)[0, 2].abs().sum().item()
    (torch.Size([1, 3, 12]), 0.0)
    """

    first: Tensor
    sizes: Tensor
    vectors: Tensor | None

    def __init__(
        self,
        n_values_of_columns: Sequence[int],
        *,
        width: int = 100,
        hidden: int = 100,
        dropout: float = 0.0,
        vectors: Tensor | None = None,
    ):
        super().__init__()
        sizes = tuple(n_values_of_columns)
        check_share("dropout", dropout)
        if not sizes or min(*sizes, width, hidden) < 1:
            raise ValueError(
                f"an encoder reads one column or more, each of one value or more, with width and hidden size of 1 or "
                f"more: got columns {sizes}, width {width}, hidden {hidden}. Pass the vocabulary's n_values_of_columns."
            )
        if vectors is not None and (vectors.ndim != 2 or len(vectors) != sizes[0]):
            raise ValueError(
                f"there is a vector for each of {sizes[0]} words: expected shape ({sizes[0]}, D), got "
                f"{tuple(vectors.shape)}. Take them in the order of the vocabulary."
            )
        self.n_values_of_columns, self.width, self.n_features = sizes, width, 2 * hidden
        self.register_buffer("vectors", None if vectors is None else vectors.detach().to(torch.get_default_dtype()))
        learned = sizes if vectors is None else sizes[1:]
        self.register_buffer("sizes", torch.tensor(learned, dtype=torch.int64), persistent=False)
        self.register_buffer("first", self.sizes.cumsum(0) - self.sizes, persistent=False)  # a column's first row
        self.table = nn.EmbeddingBag(sum(learned), width, mode="sum") if learned else None
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=len(sizes) ** -0.5)
        fits = vectors is None or vectors.shape[1] == width
        self.project = None if fits or vectors is None else nn.Linear(vectors.shape[1], width, bias=False)
        self.forwards = LSTM(width, hidden, batch_first=True)
        self.backwards = LSTM(width, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Token vectors (N, L, width) of x (N, L, F), int64, each column from 0 to its number of values - 1.

        Raises:
            ValueError: another shape or dtype, no token, or a value out of its column (on a CPU).
        """
        n_columns = len(self.n_values_of_columns)
        if x.ndim != 3 or x.shape[2] != n_columns or x.dtype != torch.int64:
            raise ValueError(
                f"an encoder reads int64 columns (N, L, {n_columns}): got {tuple(x.shape)} of {x.dtype}. "
                f"Use x[..., None] for sentences of word ids alone."
            )
        if x.shape[1] == 0:
            raise ValueError(f"sentences are columns (N, L, F), L above 0: got {tuple(x.shape)}. Leave empty ones out.")
        if x.device.type == "cpu":  # elsewhere asking would wait for the device at every call; it refuses by itself
            _check_columns(x, self.n_values_of_columns)
        parts, columns = [], x
        if self.vectors is not None:
            words, columns = F.embedding(x[..., 0], self.vectors), x[..., 1:]
            parts.append(words if self.project is None else self.project(words))
        if self.table is not None:
            out = (columns < 0) | (columns >= self.sizes)
            ids = (columns + self.first).masked_fill(out, self.table.num_embeddings)  # refused, not another column's
            parts.append(self.table(ids.flatten(0, 1)).unflatten(0, x.shape[:2]))
        embeddings: Tensor = sum(parts[1:], parts[0])
        return embeddings

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        e = self.dropout(self.embed(x))
        check_mask(mask, tuple(x.shape[:2]))
        from_left = self.forwards(e)[0]  # (N, L, hidden)
        from_right = reversed_within(self.backwards(reversed_within(e, mask))[0], mask)
        features: Tensor = self.dropout(torch.cat([from_left, from_right], dim=2))
        return features if mask is None else features.masked_fill(~mask[..., None], 0.0)


def _check_columns(x: Tensor, sizes: tuple[int, ...]) -> None:
    """Refuse a value out of its column: it would be the vector of another column's value."""
    out = (x < 0) | (x >= torch.tensor(sizes, device=x.device))
    if bool(out.any()):
        column = int(out.flatten(0, 1).any(dim=0).long().argmax())
        value = int(x[..., column][out[..., column]][0])
        raise ValueError(
            f"a token's column {column} takes 0 to {sizes[column] - 1}: got {value}. "
            f"Encode the sentences with this vocabulary."
        )
