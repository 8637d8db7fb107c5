"""Entities as conlleval reads them: by hand, against its rules written out, and there and back between schemes."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from ebm_course.tasks.tag_schemes import Entity, all_tags, convert, entities, split_tag, tags_of

BY_HAND = {
    "an I begins an entity": ("O I-A I-A O", [(1, 3, "A")]),
    "an I at the start": ("I-A", [(0, 1, "A")]),
    "the type changes in an I": ("B-A I-B I-B", [(0, 1, "A"), (1, 3, "B")]),
    "two neighbours of one type in IOB1": ("I-A B-A I-A", [(0, 1, "A"), (1, 3, "A")]),
    "entities of length one": ("B-A B-A O S-B S-B", [(0, 1, "A"), (1, 2, "A"), (3, 4, "B"), (4, 5, "B")]),
    "an I after an E or an S begins one": ("B-A E-A I-A S-A I-A", [(0, 2, "A"), (2, 3, "A"), (3, 4, "A"), (4, 5, "A")]),
    "an E without a beginning": ("O E-A E-A", [(1, 2, "A"), (2, 3, "A")]),
    "an unfinished BIOES": ("B-A I-A O", [(0, 2, "A")]),
    "a hyphen in the type": ("B-creative-work I-creative-work", [(0, 2, "creative-work")]),
    "none": ("O O", []),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_entities_by_hand(name: str) -> None:
    tags, expected = BY_HAND[name]
    assert entities(tags.split()) == expected


def chunks_of_conlleval(tags: list[str]) -> list[Entity]:
    """The rules of the script, pair by pair, with its two questions kept apart."""
    found, start = [], -1
    before, kind_before = "O", ""
    for i, tag in enumerate([*tags, "O"]):
        letter, _, kind = tag.partition("-")
        pair = before + letter
        ends = pair in {"BB", "BS", "BO", "IB", "IS", "IO"} or before in {"E", "S"}
        ends = ends or (before not in {"O", "."} and kind_before != kind)
        begins = letter in {"B", "S"} or pair in {"EE", "EI", "SE", "SI", "OE", "OI"}
        begins = begins or (letter not in {"O", "."} and kind_before != kind)
        if start >= 0 and ends:
            found.append((start, i, kind_before))
            start = -1
        if begins:
            start = i
        before, kind_before = letter, kind
    return found


def test_every_short_sequence_of_tags_is_read_as_conlleval_reads_it() -> None:
    tags = all_tags(["A", "B"], "BIOES")
    assert len(tags) == 9
    for length in (1, 2, 3, 4):
        for sequence in itertools.product(tags, repeat=length):
            assert entities(sequence) == chunks_of_conlleval(list(sequence)), sequence


def test_entities_are_those_of_seqeval() -> None:
    get_entities = pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities
    draw, tags = random.Random(0), all_tags(["A", "B"], "BIOES")
    for _ in range(500):
        row = draw.choices(tags, k=draw.randint(1, 12))
        assert [(first, last + 1, kind) for kind, first, last in get_entities(row)] == entities(row)


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES"])
def test_entities_come_back_from_every_scheme(scheme: str) -> None:
    draw = random.Random(1)
    for _ in range(200):
        row = draw.choices(all_tags(["A", "B"], "BIOES"), k=9)
        spans = entities(row)
        assert entities(tags_of(spans, 9, scheme)) == spans  # type: ignore[arg-type]
        assert entities(convert(convert(row, "IOB1"), scheme)) == spans  # type: ignore[arg-type]


def test_iob1_marks_a_beginning_only_after_a_neighbour_of_its_type() -> None:
    assert convert(["B-A", "I-A", "O", "B-A", "B-B", "B-B"], "IOB1") == ("I-A", "I-A", "O", "I-A", "I-B", "B-B")
    assert convert(["I-A", "I-A", "O", "I-A", "I-B", "B-B"], "IOB2") == ("B-A", "I-A", "O", "B-A", "B-B", "B-B")


@pytest.mark.parametrize("tag", ["", "o", "NNP", "X-A", "B", "B-", "-A", "BI-A", "O-A"])
def test_what_is_no_tag_of_entities_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="is no tag of entities: expected O, or one of B I E S"):
        split_tag(tag)


def test_the_paper_has_seventeen_tags() -> None:
    assert len(all_tags(["LOC", "MISC", "ORG", "PER"], "BIOES")) == 17


@pytest.mark.parametrize("scheme", ["iob1", "IOBES", "BILOU", "", None])
def test_an_unknown_scheme_is_refused_and_the_three_are_named(scheme: Any) -> None:
    for call in (lambda: convert(["B-A"], scheme), lambda: tags_of([], 1, scheme), lambda: all_tags(["A"], scheme)):
        with pytest.raises(ValueError, match=f"a scheme of tags is one of IOB1, IOB2, BIOES: got {scheme!r}"):
            call()


@pytest.mark.parametrize("spans", [[(0, 2, "A"), (1, 3, "B")], [(0, 5, "A")], [(-2, 1, "A")], [(1, 1, "A")]])
def test_entities_that_overlap_or_lie_outside_are_refused(spans: list[Entity]) -> None:
    with pytest.raises(ValueError, match="entities hold tokens 0 to 2, each one entity's at most"):
        tags_of(spans, 3, "BIOES")


def test_entities_may_be_given_in_any_order() -> None:
    spans = [(1, 2, "A"), (0, 1, "A"), (2, 3, "B")]
    assert tags_of(spans, 3, "IOB1") == ("I-A", "B-A", "I-B")
    assert entities(tags_of(spans, 3, "IOB1")) == sorted(spans)
