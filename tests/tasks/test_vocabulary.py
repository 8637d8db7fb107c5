"""Numbers of features and tags: 0 is unknown and pad, tags outside the set are refused, a stream stays one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ebm_course.tasks.sentences import Sentence, Sentences
from ebm_course.tasks.tagging_features import Features
from ebm_course.tasks.vocabulary import Vocabulary

SOME = Sentences.of(
    [
        Sentence(("The", "dog", "sees", "the", "cat"), ("D", "N", "V", "D", "N")),
        Sentence(("dog",), ("N",)),
        Sentence(("cat", "sees"), ("N", "V")),
    ]
)


def test_numbers_by_hand() -> None:
    words = Vocabulary.of(SOME, features=Features(with_shape=True))
    assert words.values == (("cat", "dog", "sees", "the"), ("Xxx", "xx")) and words.tags == ("D", "N", "V")
    assert words.n_values_of_columns == (5, 3) and words.n_tags == 3
    assert words.ids("Dog") == (2, 1) and words.ids("bird") == (0, 2) and words.ids("??") == (0, 0)


def test_a_rare_word_is_unknown_in_training_too() -> None:
    some = SOME + Sentences.of([Sentence(("bird",), ("N",))])
    assert Vocabulary.of(some).ids("bird") == (0,)
    assert Vocabulary.of(some, least=1).ids("bird") == (1,)


def test_a_word_that_is_known_beforehand_has_a_number_without_training() -> None:
    words = Vocabulary.of(SOME, known_words=["zebra", "dog"])
    assert words.values[0] == ("cat", "dog", "sees", "the", "zebra")


def test_pads_are_zero_and_a_row_does_not_depend_on_the_others() -> None:
    words = Vocabulary.of(SOME, features=Features(with_affixes=True, with_shape=True))
    batch = words.batch(SOME)
    assert batch.x.shape == (3, 5, 8) and batch.x.dtype == batch.y.dtype == torch.int64
    assert batch.lengths.tolist() == [5, 1, 2]
    assert int(batch.x[~batch.mask].abs().sum()) == 0 and int(batch.y[~batch.mask].sum()) == 0
    for k, sentence in enumerate(SOME):
        alone = words.batch([sentence])
        assert torch.equal(alone.x[0], batch.x[k, : len(sentence)])
        assert torch.equal(alone.y[0], batch.y[k, : len(sentence)])


def test_tags_come_back_as_text() -> None:
    words = Vocabulary.of(SOME)
    batch = words.batch(SOME)
    assert words.texts(batch.y, batch.mask) == list(SOME.tags)


def test_a_tag_outside_the_set_is_named_with_its_sentence() -> None:
    words = Vocabulary.of(SOME)
    with pytest.raises(ValueError, match=r"sentence 2: tag 'X' is outside the set of 3: expected one of D, N, V"):
        words.batch([*SOME[:1], Sentence(("a",), ("X",))])
    with pytest.raises(ValueError, match=r"the training sentences: tag 'V' is outside the set of 2"):
        Vocabulary.of(SOME, tags=("D", "N"))
    assert Vocabulary.of(SOME, tags=("V", "N", "D", "X")).tags == ("V", "N", "D", "X")


def test_nothing_is_no_training_data() -> None:
    with pytest.raises(ValueError, match="made of training sentences, got none"):
        Vocabulary.of([])
    with pytest.raises(ValueError, match="one or more sequences"):
        Vocabulary.of(SOME).batch([])


def test_batches_of_a_stream_read_no_further_than_they_must() -> None:
    words, read = Vocabulary.of(SOME), []

    def stream() -> Iterator[Sentence]:
        for k, sentence in enumerate([*SOME, *SOME]):
            read.append(k)
            yield sentence

    batches = words.batches(stream(), 4)
    assert len(next(batches)) == 4 and read == [0, 1, 2, 3]
    assert [len(batch) for batch in batches] == [2]


def test_characters_are_numbered_from_one_and_cut_at_the_width() -> None:
    some = Sentences.of([Sentence(("ab", "b"), ("N", "N")), Sentence(("abc",), ("N",))])
    words = Vocabulary.of(some[:1])
    assert words.characters == ("a", "b")
    assert words.characters_of(some, width=3).tolist() == [[[1, 2, 0], [2, 0, 0]], [[1, 2, 0], [0, 0, 0]]]
    assert words.characters_of(some, width=1).tolist() == [[[1], [2]], [[1], [0]]]
