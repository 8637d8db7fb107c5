r"""Energies of all ways to go on by one tag, where what stands before that tag is not read again.

A search from left to right asks, at each place t, for the energies of B kept rows with each of K tags at t and the
start's tags behind it. What a chain and a forward language model need of the tags before t is a score and a state; a
backward model has read the tags behind t, which are the start's in all rows. So of L + 1 steps of an LSTM L + 1 - t are
left forwards and t + 1 backwards, half of them on the mean. It knows chains and tag language models, no search.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.checks import at_least_single
from ebm_course.energies.tag_language_model import TagLanguageModel

State = tuple[Tensor, Tensor]
"""h and c of an LSTM, (M, H) each."""


class Sentence(NamedTuple):
    """What all rows of a search share: the start's tags (N, L), the mask or None, vectors of words or None.

    >>> Sentence(torch.zeros(2, 3, dtype=torch.int64), None, None).is_real(0).tolist()
    [True, True]
    """

    tags: Tensor
    mask: Tensor | None
    words: Tensor | None

    def is_real(self, t: int) -> Tensor:
        """(N,), False at pads and behind the last place."""
        n, length = self.tags.shape
        if t >= length:
            return torch.zeros(n, dtype=torch.bool, device=self.tags.device)
        return torch.ones_like(self.tags[:, t], dtype=torch.bool) if self.mask is None else self.mask[:, t]


class ChainCompletions:
    """Scores of a chain, at place 0 at first; see :func:`~ebm_course.energies.spen.chain_energy`.

    >>> one = Sentence(torch.tensor([[0, 1]]), None, None)
    >>> ChainCompletions(torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.zeros(3, 3), one).scores().tolist()
    [[[3.0, 2.0]]]
    """

    def __init__(self, unary: Tensor, transitions: Tensor, sentence: Sentence):
        unary, w = at_least_single(unary), at_least_single(transitions)  # 16 bits would keep other rows
        (n, length, k), tags = unary.shape, sentence.tags
        behind, following = unary.new_zeros(n), torch.full_like(tags[:, 0], k)  # the end comes last
        self.behind, self.following = [behind] * length, [following] * length
        for t in range(length - 1, -1, -1):  # score of the start's tags from t + 1 on, and the first of them
            self.behind[t], self.following[t] = behind, following
            own = unary[:, t].gather(1, tags[:, t, None])[:, 0] + w[tags[:, t], following]
            real = sentence.is_real(t)
            behind = torch.where(real, behind + own, behind)
            following = torch.where(real, tags[:, t], following)
        self.unary, self.w, self.t = unary, w, 0
        self.before, self.last = unary.new_zeros(n, 1), torch.full_like(tags[:, :1], k)  # (N, B); row K of W starts

    def scores(self) -> Tensor:
        """Of each row with each tag at the place at hand, (N, B, K)."""
        k, t = self.unary.shape[2], self.t
        onwards = self.w[:k].T[self.following[t]] + self.unary[:, t] + self.behind[t][:, None]  # (N, K)
        return self.before[..., None] + self.w[self.last, :k] + onwards[:, None]

    def keep(self, rows: Tensor, tags: Tensor) -> None:
        """Go on with these of the rows (N, B'), which have these tags at the place at hand."""
        own = self.unary[:, self.t].gather(1, tags) + self.w[self.last.gather(1, rows), tags]
        self.before, self.last, self.t = self.before.gather(1, rows) + own, tags, self.t + 1


class ModelCompletions:
    """log-probabilities of a tag language model, at place 0 at first; see :meth:`ChainCompletions`.

    >>> one = Sentence(torch.zeros(2, 3, dtype=torch.int64), None, None)
    >>> ModelCompletions(TagLanguageModel(5, width=4, hidden=6), one).scores().shape
    torch.Size([2, 1, 5])
    """

    def __init__(self, model: TagLanguageModel, sentence: Sentence):
        self.model, self.sentence, self.t = model, sentence, 0
        n, length = sentence.tags.shape
        words = sentence.tags.new_zeros(n, 1, model.word_width)  # no word at the start
        begun = self._step(model.start.expand(n, 1, -1), words, None)
        self.prefix = sentence.tags.new_zeros(n, 1, 0)  # tags of the kept rows (N, B, t)
        if not model.backward:
            self.before, self.state = at_least_single(model.start).new_zeros(n, 1), begun  # (N, B), and of N B rows
            return
        total, state = at_least_single(model.start).new_zeros(n), begun
        self.behind, self.states = [total] * length, [begun] * length  # what stands behind t has been read
        for t in range(length - 1, -1, -1):
            self.behind[t], self.states[t] = total, state
            tags, real = sentence.tags[:, t], sentence.is_real(t)
            own = self._log_q(state[0]).gather(1, tags[:, None])[:, 0]
            h, c = self._read(tags[:, None], t, state)
            total = torch.where(real, total + own, total)
            state = torch.where(real[:, None], h, state[0]), torch.where(real[:, None], c, state[1])

    def scores(self) -> Tensor:
        """log q of all tags of each row with each tag at the place at hand, ends included, (N, B, K)."""
        (n, b, _), k = self.prefix.shape, self.model.n_values
        values = torch.arange(k, device=self.prefix.device)
        if self.model.backward:
            state: State = tuple(part.repeat_interleave(b, dim=0) for part in self.states[self.t])  # type: ignore[assignment]
            so_far = self.behind[self.t][:, None].expand(n, b)
        else:
            state, so_far = self.state, self.before
        log_q = self._log_q(state[0])  # (N B, K + 1)
        every: State = tuple(part.repeat_interleave(k, dim=0) for part in state)  # type: ignore[assignment]
        every = self._read(values.expand(n * b, k).reshape(-1, 1), self.t, every)
        rest = self._backwards(every, b * k) if self.model.backward else self._onwards(every, b * k)
        self.found = so_far[..., None] + log_q[:, :k].view(n, b, k), every  # that of a forward model is kept
        return self.found[0] + rest.view(n, b, k)

    def keep(self, rows: Tensor, tags: Tensor) -> None:
        """Go on with these of the rows (N, B'), which have these tags at the place at hand."""
        n, b, t = self.prefix.shape
        if not self.model.backward:
            before, every = self.found
            index = rows * self.model.n_values + tags  # (N, B')
            self.before = before.flatten(1).gather(1, index)
            flat = (index + torch.arange(n, device=rows.device)[:, None] * b * self.model.n_values).flatten()
            self.state = every[0][flat], every[1][flat]
        kept = self.prefix.gather(1, rows[..., None].expand(-1, -1, t))
        self.prefix, self.t = torch.cat([kept, tags[..., None]], dim=2), t + 1

    def _onwards(self, state: State, m: int) -> Tensor:
        """log q of the start's tags behind t, and of the end, of m rows a sentence that have read the tag at t."""
        later = self.sentence.tags[:, self.t + 1 :]
        states = state[0][:, None]  # (N m, 1, H)
        if later.shape[1]:
            inputs = self._inputs(later, slice(self.t + 1, None)).repeat_interleave(m, dim=0)
            states = torch.cat([states, self._run(inputs, state)], dim=1)
        log_q = self._log_q(states)  # at the places t + 1 to L
        mask = self.sentence.mask
        real = torch.ones_like(later, dtype=torch.bool) if mask is None else mask[:, self.t + 1 :]
        index = later.repeat_interleave(m, dim=0)[..., None]
        terms = log_q[:, :-1].gather(2, index)[..., 0].masked_fill(~real.repeat_interleave(m, dim=0), 0.0)
        end = log_q[..., -1].gather(1, real.sum(dim=1, keepdim=True).repeat_interleave(m, dim=0))[:, 0]
        return terms.sum(dim=1) + end

    def _backwards(self, state: State, m: int) -> Tensor:
        """log q of the rows' tags before t, read from the right, and of the end."""
        k, t = self.model.n_values, self.t
        earlier = self.prefix.flip(2).repeat_interleave(k, dim=1).flatten(0, 1)  # (N m, t)
        states = state[0][:, None]
        if t:
            words = self.sentence.words
            some = None if words is None else words[:, :t].flip(1).repeat_interleave(m, dim=0)
            states = torch.cat([states, self._run(self._joined(earlier, some), state)], dim=1)
        log_q = self._log_q(states)
        return log_q[:, :-1].gather(2, earlier[..., None])[..., 0].sum(dim=1) + log_q[:, -1, -1]

    def _read(self, tags: Tensor, t: int, state: State) -> State:
        """The state after the tags (M, 1) at place t, M a multiple of N."""
        words = self.sentence.words
        some = None if words is None else words[:, t, None].repeat_interleave(len(tags) // max(len(words), 1), dim=0)
        inputs = self._joined(tags, some)
        _, (h, c) = self.model.lstm(inputs, (state[0][None], state[1][None]))
        return h[0], c[0]

    def _inputs(self, tags: Tensor, places: slice) -> Tensor:
        words = self.sentence.words
        return self._joined(tags, None if words is None else words[:, places])

    def _joined(self, tags: Tensor, words: Tensor | None) -> Tensor:
        vectors = F.embedding(tags, self.model.embedding.weight)
        return vectors if words is None else torch.cat([vectors, words], dim=2)

    def _step(self, vectors: Tensor, words: Tensor, state: State | None) -> State:
        _, (h, c) = self.model.lstm(torch.cat([vectors, words.to(vectors)], dim=2), state)
        return h[0], c[0]

    def _run(self, inputs: Tensor, state: State) -> Tensor:
        states: Tensor = self.model.lstm(inputs, (state[0][None], state[1][None]))[0]
        return states

    def _log_q(self, h: Tensor) -> Tensor:
        return at_least_single(self.model.to_logits(h)).log_softmax(dim=-1)
