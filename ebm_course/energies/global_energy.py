r"""An energy of tags with terms that see the whole sentence: a chain and up to four tag language models.

.. math:: E = E_\text{chain} + w \bigl(E_{\bar y} + E_{\bar y'} + \gamma \, (E_{\tilde y} + E_{\tilde y'})\bigr)

forward, backward, and both again with words. (a) is the first term, (b) the first two, (c) all four. A chain's best
tags cannot say that the end of a sentence agrees with its start; a language model's can. It knows no decoder and no
loss.
Source: Tu, Pang and Gimpel (2020), Eq. 9, whose sign of the terms after the first is read as those of Eq. 8.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ebm_course.checks import at_least_single, check_tokens
from ebm_course.core import Conditioned
from ebm_course.energies.completions import ChainCompletions, ModelCompletions, Sentence
from ebm_course.energies.spen import Spen
from ebm_course.energies.tag_language_model import TagLanguageModel

KINDS = {
    "a": ("tags",),
    "b": ("tags", "tags_backward"),
    "c": ("tags", "tags_backward", "words", "words_backward"),
}
"""Which tag language models each of the paper's three settings adds."""


@runtime_checkable
class EmbedsWords(Protocol):
    """An encoder that gives vectors of words too, of the ``width`` that it says.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> isinstance(TokenEncoder((50,)), EmbedsWords), isinstance(nn.Linear(2, 2), EmbedsWords)
    (True, False)
    """

    width: int

    def embed(self, x: Tensor, /) -> Tensor:
        """Vectors (N, L, width) of the words of sentences."""


class GlobalEnergy(nn.Module):
    """E(x, y), (N,), of tags (N, L) or relaxed tags (N, L, K).

    Args:
        spen: the chain; its encoder's ``embed`` gives the vectors of words, so (c) needs an encoder that has it.
        kind: "a", "b" or "c".
        width: size of a tag's vector in each language model.
        hidden: size of each language model's state.
        gamma: weight of the models with words, 0 or larger.
        weight: weight of all language models beside the chain, 0 or larger; the paper's is 1.

    Raises:
        ValueError: another kind, a weight below 0, or an encoder that gives no vectors of words where (c) reads them.

    Source: Tu, Pang and Gimpel (2020), Eq. 9. Departure: the words' vectors are those of the energy's own encoder.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> energy = GlobalEnergy(Spen(TokenEncoder((50,), width=8, hidden=6), n_tags=5), "c")
    >>> x, y = torch.randint(50, (2, 4, 1)), torch.zeros(2, 4, dtype=torch.int64)
    >>> energy(x, None, y).shape, sorted(energy.language_models)
    (torch.Size([2]), ['tags', 'tags_backward', 'words', 'words_backward'])
    """

    def __init__(
        self, spen: Spen, kind: str, *, width: int = 32, hidden: int = 64, gamma: float = 1.0, weight: float = 1.0
    ):
        super().__init__()
        if kind not in KINDS or not 0 <= gamma < torch.inf or not 0 <= weight < torch.inf:
            raise ValueError(
                f"a global energy is of kind {', '.join(KINDS)}, with weights of 0 or larger: "
                f"got {kind!r}, gamma={gamma}, weight={weight}."
            )
        self.spen, self.n_values, self.gamma, self.weight = spen, spen.n_values, gamma, weight
        self.language_models = nn.ModuleDict()
        encoder, word_width = spen.encoder, 0
        if "words" in KINDS[kind]:
            if not isinstance(encoder, EmbedsWords):
                raise ValueError(
                    f"kind {kind!r} reads vectors of words: expected an encoder with embed(x) and width, got "
                    f"{type(encoder).__name__}. Take kind 'b', or a TokenEncoder."
                )
            word_width = encoder.width
        for name in KINDS[kind]:
            model = TagLanguageModel(
                self.n_values,
                width=width,
                hidden=hidden,
                word_width=word_width if name.startswith("words") else 0,
                backward=name.endswith("backward"),
            )
            self.language_models[name] = model

    def given(self, x: Tensor, mask: Tensor | None = None) -> Given:
        """y -> E(x, y). The sentence is read once, here; see :meth:`Spen.given`. A search keeps prefixes by it."""
        return Given(self.from_unary, self.spen.unary(x, mask), mask, self._words(x), module=self)

    def from_unary(self, unary: Tensor, mask: Tensor | None, words: Tensor | None, y: Tensor) -> Tensor:
        """E (N,) of tags with the scores (N, L, K) of their sentences and, for (c), the vectors of their words."""
        e = self.spen.from_unary(unary, mask, y)
        for name, model in self.language_models.items():
            e = e + self.weight_of(name) * model(y, mask, words if name.startswith("words") else None)
        return e

    def weight_of(self, name: str) -> float:
        """Of a language model beside the chain."""
        return self.weight * (self.gamma if name.startswith("words") else 1.0)

    def forward(self, x: Tensor, mask: Tensor | None, y: Tensor) -> Tensor:
        return self.from_unary(self.spen.unary(x, mask), mask, self._words(x), y)

    def _words(self, x: Tensor) -> Tensor | None:
        """Vectors (N, L, width) of the words where a language model reads them."""
        needed = "words" in self.language_models
        words: Tensor | None = self.spen.encoder.embed(x) if needed else None  # type: ignore[operator]
        return words


class Given(Conditioned):
    """y -> E(x, y) of a :class:`GlobalEnergy`, for searches too: a ``samplers.beam.CompletesPrefix``.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> chain = Spen(TokenEncoder((50,), width=8, hidden=6), n_tags=5)
    >>> energy = GlobalEnergy(chain, "a").given(torch.ones(2, 4, 1).long())
    >>> energy(torch.zeros(2, 4).long()).shape, hasattr(energy, "completions")
    (torch.Size([2]), True)
    """

    def completions(self, x: Tensor) -> GlobalCompletions:
        """Of the start's tags x (K N, L), row m of sentence m // K.

        Raises:
            ValueError: there are other rows, of another length, or tags that are none.
        """
        assert isinstance(self.module, GlobalEnergy)
        n, length = self.condition.shape[:2]
        if x.ndim != 2 or x.shape[1] != length or (len(x) % n if n else len(x)):
            raise ValueError(
                f"a search starts from K rows of {length} tags for each of {n} sentences, row m for sentence m // K: "
                f"got {tuple(x.shape)}. Pass tags of these sentences."
            )
        check_tokens(x, self.module.n_values, what="tag")
        k = len(x) // max(n, 1)
        unary, mask, words = (
            None if c is None else c.repeat_interleave(k, dim=0) for c in (self.condition, *self.more)
        )
        assert unary is not None
        return GlobalCompletions(self.module, unary, mask, words, x)


class GlobalCompletions:
    """Energies of a :class:`GlobalEnergy` of kept rows that go on by one tag: ``samplers.beam.Completions``.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> chain = Spen(TokenEncoder((50,), width=8, hidden=6), n_tags=5)
    >>> energy = GlobalEnergy(chain, "a").given(torch.ones(2, 4, 1).long())
    >>> rows = energy.completions(torch.zeros(2, 4).long())
    >>> rows.energies().shape  # of one row a sentence, five tags at the first place
    torch.Size([2, 1, 5])
    >>> rows.keep(torch.zeros(2, 3).long(), torch.tensor([[0, 1, 4]] * 2))
    >>> rows.energies().shape  # of three rows at the second
    torch.Size([2, 3, 5])
    """

    def __init__(self, energy: GlobalEnergy, unary: Tensor, mask: Tensor | None, words: Tensor | None, x: Tensor):
        self.sentence = Sentence(x, mask, None)
        self.chain = ChainCompletions(unary, energy.spen.transitions, self.sentence)
        self.models = list[tuple[float, ModelCompletions]]()
        for name, model in energy.language_models.items():
            assert isinstance(model, TagLanguageModel)
            own = ModelCompletions(model, Sentence(x, mask, words if model.word_width else None))
            self.models.append((energy.weight_of(name), own))
        self.e = at_least_single(unary).new_zeros(len(x), 1)  # of the kept rows (N, B), which at pads stays
        self.found = self.e[..., None]

    def energies(self) -> Tensor:
        """(N, B, K): of each row with each tag at the place at hand and the start's tags behind it."""
        e = -self.chain.scores()
        for weight, model in self.models:
            e = e - weight * model.scores()
        self.found = torch.where(self.sentence.is_real(self.chain.t)[:, None, None], e, self.e[..., None])
        return self.found

    def keep(self, rows: Tensor, tags: Tensor) -> None:
        """Go on with the rows (N, B') of these numbers and with these tags (N, B') at the place at hand."""
        k = self.found.shape[2]
        self.e = self.found.flatten(1).gather(1, rows * k + tags)
        self.chain.keep(rows, tags)
        for _, model in self.models:
            model.keep(rows, tags)
