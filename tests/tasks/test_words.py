"""Words as numbers: the ids, the cut, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ebm_course.tasks.subwords import Subwords
from ebm_course.tasks.text_task import Tokenizer
from ebm_course.tasks.words import Words, as_tensors


def test_a_text_goes_there_and_back() -> None:
    words = Words(("bad", "film", "good"))
    texts = ["good film", "bad", "film film film"]
    assert words.decode(*words.encode(texts, max_length=9)) == texts


def test_a_long_text_keeps_its_end_token() -> None:
    tokens, mask = as_tensors([[7, 8, 9, 10], [7]], max_length=4)
    assert tokens.tolist() == [[2, 7, 8, 3], [2, 7, 3, 0]]
    assert mask.tolist() == [[True] * 4, [True, True, True, False]]
    assert (tokens.dtype, mask.dtype) == (torch.int64, torch.bool)


def test_an_empty_text_is_named() -> None:
    with pytest.raises(ValueError, match="a text has a token at least: got text 2 of 2 without one"):
        Words(("a",)).encode(["a", "  "], max_length=5)


def test_no_room_for_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got max_length=2\. Pass 3 or more"):
        Words(("a",)).encode(["a"], max_length=2)


@pytest.mark.parametrize("words", [(), ("a", "a"), ("a b",), ("",), ("[PAD]",)])
def test_a_vocabulary_with_other_than_different_words_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="a vocabulary holds different words without blanks"):
        Words(words)


@pytest.mark.parametrize("words", ["ab", (1, 2)])
def test_a_vocabulary_is_a_tuple_of_text(words: Any) -> None:
    with pytest.raises(TypeError, match="a vocabulary is a tuple of words as text"):
        Words(words)


SUBWORDS = Subwords.trained(["a good film"] * 4, n_tokens=280)
TOKENIZERS: dict[str, Tokenizer] = {"words": Words(("a", "good", "film")), "subwords": SUBWORDS}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_one_text_and_what_is_none_are_no_texts(name: str) -> None:
    for texts, got in (("a film", "one text"), (["a", None], "a NoneType among them")):
        with pytest.raises(TypeError, match=f"texts are a list of text: got {got}"):
            TOKENIZERS[name].encode(texts, max_length=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("length", ["10", 5.0, float("nan")])
def test_the_largest_length_is_a_whole_number(name: str, length: Any) -> None:
    with pytest.raises(ValueError, match="max_length is a whole number"):
        TOKENIZERS[name].encode(["a"], max_length=length)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_that_stand_for_no_word_are_not_decoded(name: str) -> None:
    tokens, mask = TOKENIZERS[name].encode(["a good"], max_length=9)
    for foreign in (tokens + 999, tokens - 99):
        with pytest.raises(ValueError, match="a token is out of the vocabulary"):
            TOKENIZERS[name].decode(foreign, mask)
    hole = mask.clone()
    hole[0, 1] = False
    with pytest.raises(ValueError, match="row 0 of the mask begins with a pad or has one inside"):
        TOKENIZERS[name].decode(tokens, hole)
    with pytest.raises(ValueError, match="a mask says which tokens are real"):
        TOKENIZERS[name].decode(tokens, mask[:, :2])


def test_subwords_are_made_of_many_texts_and_a_whole_number() -> None:
    with pytest.raises(TypeError, match="texts are a list of text: got one text"):
        Subwords.trained("abc", n_tokens=300)
    with pytest.raises(ValueError, match="n_tokens is a whole number"):
        Subwords.trained(["abc"], n_tokens=300.5)  # type: ignore[arg-type]
