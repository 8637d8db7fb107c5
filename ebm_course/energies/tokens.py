"""Embeddings of tokens and of relaxed tokens by one table, and what is refused. It knows no net and no task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebm_course.checks import check_tensors, check_tokens


def embed_tokens(table: nn.Embedding, x: Tensor) -> Tensor:
    """Rows of the table for tokens (N, L), mixtures of rows for relaxed tokens (N, L, V): (N, L, D) in both cases.

    Args:
        table: V rows of width D.
        x: integers 0 to V - 1, or one-hot rows and mixtures of them; not changed.

    Raises:
        TypeError: a list or an array.
        ValueError: another shape or type, or a token out of the vocabulary.

    >>> table = nn.Embedding.from_pretrained(torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
    >>> embed_tokens(table, torch.tensor([[1, 0]])).tolist()
    [[[0.0, 4.0], [1.0, 0.0]]]
    >>> embed_tokens(table, torch.tensor([[[0.5, 0.5]]])).tolist()  # half of each row
    [[[0.5, 2.0]]]
    """
    check_tensors(x=x)
    v = table.num_embeddings
    if x.ndim == 3 and x.shape[2] == v:
        return x.to(table.weight) @ table.weight
    if x.ndim != 2 or x.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"this net reads tokens (N, L) of integers or relaxed tokens (N, L, {v}): "
            f"got {tuple(x.shape)} of {x.dtype}.{' Use x.long().' if x.ndim == 2 else ''}"
        )
    try:
        embeddings: Tensor = table(x)
    except IndexError:  # on a CPU; asking first would wait for the device at every call
        check_tokens(x.long(), v)
        raise
    return embeddings
