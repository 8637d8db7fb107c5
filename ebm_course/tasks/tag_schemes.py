"""Entities written as tags: IOB1, IOB2 and BIOES, and the spans that conlleval reads out of any of them.

It knows the tags of one sentence alone. A tag is ``O``, or a letter, a hyphen and a type: ``B-creative-work``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

Entity = tuple[int, int, str]
"""(first position, position after the last, type) of an entity."""

Scheme = Literal["IOB1", "IOB2", "BIOES"]
SCHEMES: tuple[str, ...] = get_args(Scheme)
LETTERS = "BIES"


def check_scheme(scheme: str) -> None:
    """Refuse the name of another scheme, which would be read as IOB2.

    >>> check_scheme("IOBES")
    Traceback (most recent call last):
    ValueError: a scheme of tags is one of IOB1, IOB2, BIOES: got 'IOBES'. Name one of them.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"a scheme of tags is one of {', '.join(SCHEMES)}: got {scheme!r}. Name one of them.")


def split_tag(tag: str) -> tuple[str, str]:
    """Letter and type of a tag; of O an empty type.

    Raises:
        ValueError: the tag is neither.

    >>> split_tag("B-creative-work"), split_tag("O")
    (('B', 'creative-work'), ('O', ''))
    """
    letter, hyphen, kind = tag.partition("-")
    if tag != "O" and (len(letter) != 1 or letter not in LETTERS or not hyphen or not kind):
        raise ValueError(f"tag {tag!r} is no tag of entities: expected O, or one of B I E S, a hyphen and a type.")
    return letter, kind


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence as conlleval reads them, which any sequence of tags has.

    One begins at B and S, at any tag after O, E and S, and where the type changes: so an I may begin one. It goes on
    until the next begins or O stands.

    Source: Tjong Kim Sang and De Meulder (2003), conlleval, startOfChunk and endOfChunk. Departure: S counts as its
    later versions read it.

    >>> entities(["I-PER", "I-PER", "B-PER", "I-LOC", "O", "S-ORG", "E-ORG"])
    [(0, 2, 'PER'), (2, 3, 'PER'), (3, 4, 'LOC'), (5, 6, 'ORG'), (6, 7, 'ORG')]
    """
    found: list[Entity] = []
    before, before_kind = "O", ""
    for position, (letter, kind) in enumerate(map(split_tag, tags)):
        if letter != "O":
            if letter in "BS" or before in "OES" or kind != before_kind:
                found.append((position, position + 1, kind))
            else:
                found[-1] = (found[-1][0], position + 1, kind)
        before, before_kind = letter, kind
    return found


def tags_of(spans: Sequence[Entity], length: int, scheme: Scheme) -> tuple[str, ...]:
    """The tags of a sentence of ``length`` tokens with these entities, which do not overlap.

    Raises:
        ValueError: another scheme, or an entity that is empty, outside the sentence or in another one.

    >>> tags_of([(0, 1, "A"), (1, 3, "A"), (4, 5, "B")], 5, "IOB1")
    ('I-A', 'B-A', 'I-A', 'O', 'I-B')
    >>> tags_of([(0, 1, "A"), (1, 3, "A"), (4, 5, "B")], 5, "BIOES")
    ('S-A', 'B-A', 'E-A', 'O', 'S-B')
    """
    check_scheme(scheme)
    tags = ["O"] * length
    for first, end, kind in sorted(spans):  # in IOB1 a tag depends on the one before it
        if not 0 <= first < end <= length or any(tag != "O" for tag in tags[first:end]):
            raise ValueError(
                f"entities hold tokens 0 to {length - 1}, each one entity's at most: got {(first, end, kind)}. "
                f"Pass (first position, position after the last, type)."
            )
        tags[first:end] = [f"I-{kind}"] * (end - first)
        if scheme != "IOB1" or (first and tags[first - 1][2:] == kind and tags[first - 1] != "O"):
            tags[first] = f"B-{kind}"
        if scheme == "BIOES":
            tags[end - 1] = f"E-{kind}" if end - first > 1 else f"S-{kind}"
    return tuple(tags)


def convert(tags: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    """The same entities in another scheme; the given one is known by what it holds, IOB1 and IOB2 alike.

    Raises:
        ValueError: another scheme, or a tag that is none of entities.

    >>> convert(["I-PER", "I-PER", "O", "I-LOC"], "BIOES")
    ('B-PER', 'E-PER', 'O', 'S-LOC')
    """
    return tags_of(entities(tags), len(tags), scheme)


def all_tags(kinds: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    """Every tag of a scheme for these types, O first.

    Raises:
        ValueError: another scheme.

    >>> all_tags(["LOC", "PER"], "IOB2")
    ('O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER')
    """
    check_scheme(scheme)
    return ("O", *(f"{letter}-{kind}" for kind in kinds for letter in (LETTERS if scheme == "BIOES" else "BI")))
