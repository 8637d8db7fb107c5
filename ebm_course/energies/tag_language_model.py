r"""A language model of tags as an energy: what it expects next, against the tags that come.

.. math:: \bar y_t = h(y_0, \dots, y_{t-1}), \qquad
    E(y) = -\sum_{t=1}^{T+1} \log\bigl(y_t^\top \bar y_t\bigr)

:math:`y_0` is a start symbol and :math:`y_{T+1}` an end symbol, so that :math:`e^{-E}` sums to one over tag sequences
of all lengths, the empty one too. Of one-hot tags E is the negative log-likelihood; of relaxed ones, which enter the
LSTM as mixtures of tag vectors, it is not multilinear: its relaxed minimum need not be a corner. Backwards the sentence
is turned round inside its own length; with words, y_t is expected from the words before t too,
:math:`g(x_{<t}, y_{<t})`.
It knows no sentence but the word vectors that it is given.
Source: Tu, Pang and Gimpel (2020), Eqs. 8 and 9.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.checks import at_least_single, check_count
from ebm_course.core import Conditioned
from ebm_course.energies.lstm import LSTM
from ebm_course.energies.reversal import reversed_within
from ebm_course.energies.spen import tag_rows
from ebm_course.sentence_checks import check_mask

MAX_RATIO = 60.0
"""Largest log of a ratio of probabilities whose exponential is taken, nats: below float32's overflow at 88."""


class TagLanguageModel(nn.Module):
    """E(y), (N,), of tags (N, L) or relaxed tags (N, L, K), with a mask (N, L) where lengths differ.

    Args:
        n_tags: K.
        width: size of a tag's vector.
        hidden: size of the LSTM's state.
        word_width: size of the word vectors that are given with the tags; 0 for a model of tags alone.
        backward: read each sentence from its end to its start.

    Source: Tu, Pang and Gimpel (2020), Eq. 8, with the end symbol that the authors' code leaves out.

    >>> model = TagLanguageModel(5, width=4, hidden=6)
    >>> y = torch.tensor([[0, 1, 2], [3, 0, 0]])
    >>> mask = torch.tensor([[True, True, True], [True, False, False]])
    >>> model(y, mask).shape, model.given(None, mask)(y).shape
    (torch.Size([2]), torch.Size([2]))
    >>> model.log_probabilities(y).exp().sum(dim=2).shape  # of K tags and the end, at L + 1 places
    torch.Size([2, 4])
    """

    def __init__(self, n_tags: int, *, width: int = 32, hidden: int = 64, word_width: int = 0, backward: bool = False):
        super().__init__()
        for name, size in (("n_tags", n_tags), ("width", width), ("hidden", hidden)):
            check_count(name, size, least=1)
        check_count("word_width", word_width)
        self.n_values, self.word_width, self.backward = n_tags, word_width, backward
        self.embedding = nn.Embedding(n_tags, width)
        self.start = nn.Parameter(torch.randn(width))
        self.lstm = LSTM(width + word_width, hidden, batch_first=True)
        self.to_logits = nn.Linear(hidden, n_tags + 1)  # the last is the end symbol

    def given(self, words: Tensor | None, mask: Tensor | None = None) -> Conditioned:
        """y -> E(y) beside word vectors (N, L, word_width), or None for a model of tags alone."""
        if words is None and mask is None:
            raise ValueError("a condition has a row a chain: expected word vectors or a mask, got neither. Call it.")
        if words is None:
            return Conditioned(self._beside_mask, mask, module=self)  # type: ignore[arg-type]
        return Conditioned(self._beside_words, words, mask, module=self)

    # Methods and no lambdas, so that what is given a condition can be pickled.
    def _beside_mask(self, mask: Tensor, y: Tensor) -> Tensor:
        return self(y, mask)

    def _beside_words(self, words: Tensor, mask: Tensor | None, y: Tensor) -> Tensor:
        return self(y, mask, words)

    def log_probabilities(self, y: Tensor, mask: Tensor | None = None, words: Tensor | None = None) -> Tensor:
        """log of y-bar at places 1 to T + 1, (N, L + 1, K + 1), in the order in which the model reads."""
        return self._expected(self._read(y, mask), mask, words)

    def forward(self, y: Tensor, mask: Tensor | None = None, words: Tensor | None = None) -> Tensor:
        p = self._read(y, mask)
        log_q = self._expected(p, mask, words)  # (N, L + 1, K + 1)
        terms = _log_of_mixture(p, log_q[:, :-1, :-1])  # (N, L)
        if mask is None:
            return -(terms.sum(dim=1) + log_q[:, -1, -1])
        end = log_q[..., -1].gather(1, mask.sum(dim=1, keepdim=True))[:, 0]  # the place after the last tag
        return -(terms.masked_fill(~mask, 0.0).sum(dim=1) + end)

    def _read(self, y: Tensor, mask: Tensor | None) -> Tensor:
        """Rows (N, L, K) in the model's order; pads are the first tag, whatever they were."""
        p = tag_rows(y, self.n_values).to(self.start)
        check_mask(mask, tuple(p.shape[:2]))
        if mask is not None:
            p = torch.where(mask[..., None], p, nn.functional.one_hot(mask.new_zeros(()).long(), self.n_values).to(p))
        return reversed_within(p, mask) if self.backward else p

    def _expected(self, p: Tensor, mask: Tensor | None, words: Tensor | None) -> Tensor:
        inputs = torch.cat([self.start.expand(len(p), 1, -1), p @ self.embedding.weight], dim=1)  # (N, L + 1, width)
        if (0 if words is None else words.shape[-1]) != self.word_width:
            raise ValueError(
                f"this tag language model reads word vectors of width {self.word_width}: got "
                f"{'none' if words is None else tuple(words.shape)}. Pass the encoder's embed(x), or word_width=0."
            )
        if words is not None:
            if words.shape[:-1] != p.shape[:2]:
                raise ValueError(
                    f"each tag has the vector of its word beside it: expected {(*p.shape[:2], self.word_width)}, got "
                    f"{tuple(words.shape)}. Cut tags and words alike."
                )
            words = words if mask is None else words.masked_fill(~mask[..., None], 0.0)
            words = reversed_within(words, mask) if self.backward else words
            inputs = torch.cat([inputs, nn.functional.pad(words, (0, 0, 1, 0))], dim=2)  # no word at the start
        with _lstm_with_gradients(self.training):
            states = self.lstm(inputs)[0]
        log_q = at_least_single(self.to_logits(states)).log_softmax(dim=2)  # MAX_RATIO overflows 16 bits
        return log_q


def _lstm_with_gradients(training: bool) -> AbstractContextManager[None]:
    """cuDNN has gradients of an LSTM in training mode alone, and descent asks for those in tags of a frozen energy."""
    cudnn: Any = torch.backends.cudnn
    wanted = training or not torch.is_grad_enabled()
    context: AbstractContextManager[None] = nullcontext() if wanted else cudnn.flags(enabled=False)
    return context


def _log_of_mixture(p: Tensor, log_q: Tensor) -> Tensor:
    """log(p . q) (N, L), exactly log q_k where p is one-hot at k, however small q_k is."""
    seen = log_q.detach().masked_fill(p <= 0, -torch.inf).amax(dim=2, keepdim=True)  # the likeliest tag that p has
    ratio = (log_q - seen).clamp_max(MAX_RATIO).exp()
    return (p * ratio).sum(dim=2).log() + seen[..., 0]
