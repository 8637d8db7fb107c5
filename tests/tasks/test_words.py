"""Words as numbers: the ids, the cut, and what is refused."""

from __future__ import annotations

import pytest
import torch

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
