"""Rows of data: sliced and moved as one, padded to one length, and refused where shapes do not fit."""

from __future__ import annotations

import dataclasses
import doctest
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ebm_course import batch as module
from ebm_course.batch import Batch
from ebm_course.core import Negatives


def test_the_examples_give_what_they_say() -> None:
    assert doctest.testmod(module).failed == 0


def test_a_batch_is_sliced_and_moved_with_all_its_parts() -> None:
    batch = Batch(torch.arange(4), y=torch.arange(4) * 10)
    part = batch[torch.tensor([3, 1])]
    assert part.y is not None
    assert (part.x.tolist(), part.y.tolist(), part.mask, len(part)) == ([3, 1], [30, 10], None, 2)
    assert batch.to("meta").x.device.type == "meta"
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.x = part.x  # type: ignore[misc]


def sentences() -> tuple[list[Tensor], list[Tensor]]:
    """Three of lengths 2, 4 and 1, with tags."""
    words = [torch.tensor([3, 4]), torch.tensor([5, 6, 7, 8]), torch.tensor([9])]
    return words, [row * 10 for row in words]


def test_padding_keeps_every_row_and_the_mask_finds_it_again() -> None:
    words, tags = sentences()
    batch = Batch.padded(words, tags, fill=1)
    assert batch.y is not None and batch.mask is not None
    assert batch.x.tolist() == [[3, 4, 1, 1], [5, 6, 7, 8], [9, 1, 1, 1]]
    assert batch.lengths.tolist() == [2, 4, 1] and batch.y[0].tolist() == [30, 40, 0, 0]
    for n in range(3):
        assert torch.equal(batch.x[n][batch.mask[n]], words[n]) and torch.equal(batch.y[n][batch.mask[n]], tags[n])
    part = batch[torch.tensor([2, 0])]
    assert part.lengths.tolist() == [1, 2] and part.x.shape == (2, 4)


def test_labels_of_whole_sequences_and_sequences_of_vectors_are_padded_too() -> None:
    words, _ = sentences()
    labelled = Batch.padded(words, list(torch.tensor([0, 1, 1])))
    assert labelled.y is not None and labelled.y.tolist() == [0, 1, 1]
    vectors = Batch.padded([torch.ones(len(row), 3) for row in words])
    assert vectors.x.shape == (3, 4, 3) and vectors.x.sum(dim=(1, 2)).tolist() == [6, 12, 3]


def test_without_a_mask_all_positions_are_real() -> None:
    assert Batch(torch.zeros(3, 5, 2)).lengths.tolist() == [5, 5, 5]


MASK = torch.ones(3, 4, dtype=torch.bool)


@pytest.mark.parametrize(
    "y, mask, message",
    [
        (torch.zeros(2), None, r"x has shape \(3, 4\), so expected y \(3, ...\), got \(2,\)\. Cut both alike"),
        (torch.tensor(1.0), None, r"expected y \(3, ...\), got \(\)"),
        (None, MASK[:2], r"a mask is bool with the first axes .* got torch\.bool \(2, 4\) for x \(3, 4\)"),
        (None, MASK.float(), r"got torch\.float32 \(3, 4\)"),
        (None, MASK[..., None], r"\(3, 4, 1\) for x \(3, 4\), y None\. Batch\.padded makes one"),
        (torch.zeros(3, 5), MASK, r"x \(3, 4\), y \(3, 5\)"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(y: Tensor | None, mask: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Batch(torch.zeros(3, 4), y, mask)


@pytest.mark.parametrize("y", [torch.zeros(3), torch.zeros(3, 4), torch.zeros(3, 4, 7)])
def test_labels_tags_and_distributions_over_tags_fit_a_mask(y: Tensor) -> None:
    assert Batch(torch.zeros(3, 4, 2), y, MASK)[:1].y is not None


LABEL, TAGS = torch.tensor(0), torch.tensor([1, 2])


@pytest.mark.parametrize(
    "x, y, message",
    [
        ([], None, r"takes one or more sequences: expected rows \(L_n, ...\), got no rows\. Stack single states"),
        ([LABEL], None, r"got row 0 of shape \(\)\. Stack single states instead, Batch\(torch\.stack\(x\)\)\."),
        ([TAGS, LABEL], None, r"got row 1 of shape \(\)"),
        ([TAGS, TAGS[:1]], [LABEL], r"an answer a sequence: expected 2, got 1\. Cut both alike"),
        ([TAGS, TAGS[:1]], [LABEL] * 3, r"expected 2, got 3"),
        ([TAGS, TAGS[:1]], [], r"expected 2, got 0"),
        (
            [TAGS, TAGS[:1]],
            [TAGS, LABEL],
            r"labels \(\) in all rows or .* row 0 has \(2,\), got \(\) in row 1\. Repeat",
        ),
        ([TAGS, TAGS[:1]], [LABEL, TAGS[:1]], r"row 0 has \(\), got \(1,\) in row 1"),
        (
            [TAGS, TAGS[:1]],
            [TAGS, TAGS],
            r"as many answers as states, or a label \(\): expected 1 in row 1, got 2\. Cut",
        ),
        ([torch.ones(2, 3), torch.ones(1, 4)], None, r"states .* row 0 is \(2, 3\) .* got \(1, 4\) .* in row 1\. Give"),
        (
            [TAGS, torch.tensor([0.5])],
            None,
            r"row 0 is \(2,\) torch\.int64 on cpu, got \(1,\) torch\.float32 on cpu in row 1",
        ),
        ([TAGS, TAGS.to("meta")], None, r"got \(2,\) torch\.int64 on meta in row 1"),
        ([TAGS, TAGS], [torch.ones(2, 3), torch.ones(2, 4)], r"answers of a padded batch differ in length alone"),
    ],
)
def test_rows_that_cannot_be_padded_are_refused(x: list[Tensor], y: list[Tensor] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Batch.padded(x, y)


@pytest.mark.parametrize(
    "x, mask, message",
    [
        (torch.zeros(3), None, r"expected x \(N, L, ...\) .* got x \(3,\) and mask None\. Use len\(batch\)"),
        (torch.zeros(3), torch.ones(3, dtype=torch.bool), r"got x \(3,\) and mask \(3,\)"),
        (torch.zeros(3, 4), torch.ones(3, dtype=torch.bool), r"got x \(3, 4\) and mask \(3,\)"),
    ],
)
def test_rows_that_are_no_sequences_have_no_lengths(x: Tensor, mask: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = Batch(x, mask=mask).lengths


@pytest.mark.parametrize("index", [0, -1, True, np.int64(1), torch.tensor(1)], ids=repr)
def test_a_number_is_no_index_for_it_would_take_away_the_axis_of_rows(index: Any) -> None:
    batch = Batch(torch.arange(4).view(2, 2))
    i = int(index)
    with pytest.raises(TypeError, match=rf"expected a slice or a tensor .* Use batch\[{i}:{i + 1 or None}\] for one"):
        batch[index]
    assert batch[i : i + 1 or None].x.equal(batch.x[i][None])
    with pytest.raises(TypeError, match=r"Use batch\[0:1\]"):
        list(batch)  # type: ignore[call-overload]


def test_batches_and_negatives_are_equal_to_themselves_alone() -> None:
    for one, other in ((Batch(torch.zeros(2, 2)), Batch(torch.zeros(2, 2))), (Negatives(torch.zeros(2, 2)),) * 2):
        assert one == one and one in [other, one] and len({one, other}) in (1, 2)
    assert Batch(torch.zeros(2, 2)) != Batch(torch.zeros(2, 2))
    assert Negatives(torch.zeros(2, 2)) != Negatives(torch.zeros(2, 2))


@pytest.mark.parametrize("name", ["x", "y", "mask"])
def test_a_batch_holds_tensors(name: str) -> None:
    parts: dict[str, Any] = {"x": torch.zeros(1, 2), "y": torch.zeros(1), "mask": torch.ones(1, 2).bool()}
    with pytest.raises(TypeError, match=f"a batch holds tensors: got a list as {name}"):
        Batch(**parts | {name: parts[name].tolist()})
    with pytest.raises(TypeError, match="got a NoneType as x"):
        Batch(None)  # type: ignore[arg-type]
