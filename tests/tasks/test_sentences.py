"""Sentences are checked once, where they enter."""

from __future__ import annotations

import pytest

from ebm_course.tasks.sentences import Sentence, Sentences


@pytest.mark.parametrize(
    "tokens, tags, said",
    [
        ((), (), "has a token at least"),
        (("a", "b"), ("N",), "expected 2 tags, got 1"),
        (("a", ""), ("N", "N"), "text of a character at least"),
        (("a",), ("",), "text of a character at least"),
        (("a",), (3,), "text of a character at least"),
        ("the", "DNN", "text of a character at least"),
        (("t", "h"), "DN", "text of a character at least"),
    ],
)
def test_what_is_no_sentence_is_refused_alone_and_among_others(tokens: tuple, tags: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Sentence(tokens, tags)
    with pytest.raises(ValueError, match=said):
        Sentences((("a",), tokens), (("N",), tags))


def test_rows_of_tokens_and_of_tags_are_as_many() -> None:
    with pytest.raises(ValueError, match="expected 2, got 1"):
        Sentences((("a",), ("b",)), (("N",),))


def test_sentences_come_back_in_their_order() -> None:
    some = [Sentence(("a", "b"), ("X", "Y")), Sentence(("c",), ("Z",)), Sentence(("d",), ("X",))]
    kept = Sentences.of(iter(some))
    assert list(kept) == some and len(kept) == 3 and kept.n_tokens == 4 and kept.tag_set == ("X", "Y", "Z")
    assert list(kept[1:] + kept[:1]) == [*some[1:], some[0]]
