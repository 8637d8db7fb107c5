"""Tagging as a task: the parts share one vocabulary, masks and tags are checked once, scores are named."""

from __future__ import annotations

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.tasks.sentences import Sentence, Sentences
from ebm_course.tasks.tagging import check_batch, check_mask, entity_score, gold_of, tagging

TRAIN = Sentences.of([Sentence(("in", "New", "York"), ("O", "B-LOC", "I-LOC")), Sentence(("Rome",), ("B-LOC",))])
TEST = Sentences.of([Sentence(("York", "in", "Rome"), ("B-LOC", "O", "B-LOC"))])


def test_all_parts_are_numbered_by_the_training_part() -> None:
    made = tagging("some", TRAIN, TEST, TEST, least=1)
    assert made.task.name == "some" and made.task.n_values == 3 and made.test is TEST
    assert made.vocabulary.values == (("in", "new", "rome", "york"),)
    assert made.task.test.x[:, :, 0].tolist() == [[4, 1, 3]]
    assert made.task.train.mask.tolist() == [[True] * 3, [True, False, False]]


def test_a_tag_of_a_later_part_that_training_lacks_is_refused_unless_the_set_is_named() -> None:
    odd = Sentences.of([Sentence(("Rome",), ("B-PER",))])
    with pytest.raises(ValueError, match="sentence 1: tag 'B-PER' is outside the set"):
        tagging("some", TRAIN, odd, TEST)
    assert tagging("some", TRAIN, odd, TEST, tags=("O", "B-LOC", "I-LOC", "B-PER")).task.n_values == 4


def test_scores_count_tokens_and_whole_entities() -> None:
    made = tagging("some", TRAIN, TRAIN, TRAIN, score=entity_score)
    batch, tags = made.task.train, made.task.train.y.clone()
    assert made.task.score(tags, batch) == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0}
    tags[0, 2] = made.vocabulary.tags.index("O")
    found = made.task.score(tags, batch)
    assert found == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "accuracy": 0.75}
    relaxed = torch.nn.functional.one_hot(tags, 3).double() * 0.6 + 0.1
    relaxed[~batch.mask] = 7.0
    assert made.task.score(relaxed, batch) == found


@pytest.mark.parametrize(
    "rows, said",
    [
        ([[True, True], [False, True]], "row 1 of the mask starts with off"),
        ([[False, False], [True, True]], "row 0 of the mask has no real token"),
        ([[True, False, True]], "row 0 of the mask has a hole"),
        ([[1, 1]], "a mask is bool"),
        ([True, False], "a mask is bool"),
    ],
)
def test_a_mask_that_is_no_sentence_is_refused(rows: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_mask(torch.tensor(rows))


def test_a_good_mask_is_given_back() -> None:
    mask = torch.tensor([[True, True], [True, False]])
    assert check_mask(mask) is mask


def test_a_batch_is_refused_where_it_has_no_such_tags_or_features() -> None:
    x, y, mask = torch.zeros(1, 2, 1, dtype=torch.int64), torch.tensor([[1, 9]]), torch.tensor([[True, False]])
    assert check_batch(Batch(x, y, mask), 2).y is y  # what stands at a pad is nobody's business
    with pytest.raises(ValueError, match="expected 0 to 0, got 1 to 1"):
        check_batch(Batch(x, y, mask), 1)
    with pytest.raises(ValueError, match="expected 0 to 1, got -1 to -1"):
        check_batch(Batch(x, y - 2, mask), 2)
    with pytest.raises(TypeError, match=r"int64: got torch\.float32"):
        check_batch(Batch(x.float(), y, mask), 2)
    with pytest.raises(TypeError, match=r"got torch\.int64 .* and torch\.int32"):
        check_batch(Batch(x, y.int(), mask), 2)
    with pytest.raises(TypeError, match=r"\(1, 2\)"):
        check_batch(Batch(x[..., 0], y, mask), 2)
    with pytest.raises(ValueError, match="starts with off"):
        check_batch(Batch(x, y, ~mask), 2)
    for batch in (Batch(x), Batch(x, y), Batch(x, mask=mask)):
        with pytest.raises(ValueError, match="has tags and a mask"):
            gold_of(batch)


def test_a_batch_of_no_sentence_has_no_wrong_tag() -> None:
    none = Batch(torch.zeros(0, 2, 1).long(), torch.zeros(0, 2).long(), torch.zeros(0, 2).bool())
    assert check_batch(none, 2) is none
