"""The appendix on entities: its sentences are the ledger's and the paper's, and another outcome is noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ebm_course.experiments.structured import published
from ebm_course.results import ledger

NAME = "appendix_entities"
RECORD_OF_PLUS, PLUS = "structured-cpu-data=wnut17-vectors", "wnut17-vectors/"
RECORD_OF_LACKED = f"{RECORD_OF_PLUS}-variant=margin-truncated-no-ce,margin-no-ce,margin-truncated,perceptron-no-ce,"
RECORD_OF_LACKED += "perceptron,separated,shared"


@pytest.mark.parametrize(
    "name, value",
    [
        ("crf/exact/f1", 0.28),
        ("stacked/network/f1", 0.2),
        ("stacked/exact/f1", 0.2),
        ("margin-entropy/network/f1", 0.25),
        ("bilstm/network/f1", 0.3),
        ("margin-truncated-no-ce/network/f1", 0.2),
        ("margin-truncated-no-ce/exact/f1", 0.1),
        ("margin-no-ce/network/f1", 0.3),
        ("margin-truncated/network/f1", 0.3),
        ("perceptron-no-ce/network/f1", 0.25),
        ("margin/a-minus-f", 0.01),
        ("shared/a-minus-f", -0.01),
    ],
)
def test_another_outcome_on_posts_would_be_noticed(
    plant: Callable[..., None], chapter: Callable[[str], Any], name: str, value: float
):
    plant(f"wnut17/{name}", value, "structured-cpu-data=wnut17")
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded")


@pytest.mark.parametrize("arm, value", [("bilstm/network", 0.4), ("crf/exact", 0.4), ("stacked/network", 0.31)])
def test_other_taggers_that_gain_or_lose_by_more_features_on_posts_would_be_noticed(
    plant: Callable[..., None], chapter: Callable[[str], Any], arm: str, value: float
):
    plant(f"wnut17-features/{arm}/f1", value, "structured-cpu-data=wnut17-features")
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded")


PLANTED_ON_NER_PLUS = [
    (RECORD_OF_PLUS, "bilstm/network/f1", 0.33),
    (RECORD_OF_PLUS, "crf/exact/f1", 0.33),
    (RECORD_OF_PLUS, "margin/network/f1", 0.36),
    (RECORD_OF_PLUS, "margin/exact/f1", 0.12),
    (RECORD_OF_PLUS, "margin/a-minus-f", 0.05),
    (RECORD_OF_PLUS, "stacked/network/f1", 0.34),
    (RECORD_OF_PLUS, "stacked/exact/f1", 0.2),
    (RECORD_OF_PLUS, "stacked/a-minus-f", 0.01),
    (RECORD_OF_PLUS, "ge-a/network/f1", 0.33),
    (RECORD_OF_PLUS, "ge-b/network/f1", 0.345),
    (RECORD_OF_PLUS, "ge-c/network/f1", 0.345),
    (RECORD_OF_PLUS, "ge-c/network/accuracy", 0.93),
    (RECORD_OF_LACKED, "margin-truncated-no-ce/network/f1", 0.1),
    (RECORD_OF_LACKED, "margin-truncated-no-ce/exact/f1", 0.1),
    (RECORD_OF_LACKED, "margin-no-ce/network/f1", 0.3),
    (RECORD_OF_LACKED, "margin-no-ce/exact/f1", 0.05),
    (RECORD_OF_LACKED, "perceptron-no-ce/network/f1", 0.193),
    (RECORD_OF_LACKED, "perceptron-no-ce/network/accuracy", 0.931),
    (RECORD_OF_LACKED, "perceptron-no-ce/exact/f1", 0.05),
    (RECORD_OF_LACKED, "margin-truncated/network/f1", 0.3),
    (RECORD_OF_LACKED, "margin-truncated/exact/f1", 0.1),
    (RECORD_OF_LACKED, "perceptron/network/f1", 0.3),
    (RECORD_OF_LACKED, "perceptron/exact/f1", 0.03),
    (RECORD_OF_LACKED, "separated/network/f1", 0.32),
    (RECORD_OF_LACKED, "separated/exact/f1", 0.2),
    (RECORD_OF_LACKED, "separated/a-minus-f", -0.01),
    (RECORD_OF_LACKED, "shared/network/f1", 0.31),
    (RECORD_OF_LACKED, "shared/network/accuracy", 0.95),
    (RECORD_OF_LACKED, "shared/a-minus-f", 0.03),
]
"""A record with vectors on posts, an entry, and a value that would make a sentence untrue."""


@pytest.mark.parametrize("key, name, value", PLANTED_ON_NER_PLUS)
def test_another_outcome_of_ner_plus_on_posts_would_be_noticed(
    plant: Callable[..., None], chapter: Callable[[str], Any], key: str, name: str, value: float
):
    plant(f"{PLUS}{name}", value, key)
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded")


@pytest.mark.parametrize("arm, at", [("margin-truncated", 10), ("margin-truncated", 13), ("perceptron-no-ce", 9)])
def test_other_curves_of_ner_plus_on_posts_would_be_noticed(
    chapter: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, arm: str, at: int
):
    record, read, name = ledger.read(RECORD_OF_LACKED), ledger.read, f"answers/{PLUS}{arm}"
    runs = [[0.0 if k == at else y for k, y in enumerate(run)] for run in record.curve(name).runs]
    curves_planted = (replace(one, runs=runs) if one.name == name else one for one in record.curves)
    planted = replace(record, curves=tuple(curves_planted))
    monkeypatch.setattr(ledger, "read", lambda key: planted if key == RECORD_OF_LACKED else read(key))
    with pytest.raises(AssertionError):
        chapter(NAME).run("recorded")


def test_the_papers_numbers_beside_ner_plus_on_posts_are_those_of_its_tables(chapter: Callable[[str], Any]):
    opened, paper = chapter(NAME), published.MORE_FEATURES["conll2003-vectors"]
    names = opened.run("recorded")
    assert dict(zip(names["rows_plus"], names["newswire"], strict=True)) == paper
    (text,) = [" ".join(cell.source.split()) for cell in opened.text if cell["id"] == "en-words-4"]
    said = {
        "Truncated and without cross-entropy training fails** ({} %)": ["margin-truncated-no-ce"],
        "Without the truncation it succeeds** ({} %)": ["margin-no-ce"],
        "The perceptron without cross-entropy ({} %)": ["perceptron-no-ce"],
        "has little effect** ({} and {} %)": ["margin-truncated", "margin"],
        "The margin beats the perceptron** ({}, {} %)": ["margin", "perceptron"],
        "Shared and stacked beat separated** ({}, {}, {} %)": ["shared", "stacked", "separated"],
        "Tag language models help** ({} % without)": ["stacked"],
        "GE(b) above GE(a) in all three ({} % each)": ["ge-b"],
        "GE(c) above GE(b) in one ({} %)": ["ge-c"],
    }
    for words, arms in said.items():
        assert words.format(*(paper[arm] for arm in arms)) in text
    assert paper["ge-a"] == paper["ge-b"]


def test_the_papers_numbers_beside_those_of_posts_are_theirs(chapter: Callable[[str], Any]):
    (on_posts,) = [" ".join(cell.source.split()) for cell in chapter(NAME).text if cell["id"] == "en-words-2"]
    broken, dropped, perceptron = (
        published.ANSWERS[arm][1] for arm in ("margin-truncated-no-ce", "margin-no-ce", "perceptron-no-ce")
    )
    assert f"({broken} % on the paper's newswire)" in on_posts
    assert f"where the paper has {dropped} %" in on_posts and f"where the paper has {perceptron} %" in on_posts
    entities = [published.DIFFERENCES[arm][1] for arm in ("separated", "shared", "stacked")]
    margin = f"{published.DIFFERENCES['margin'][1]:g}"
    assert "(The paper has {}, {}, {} and {}, in this order.)".format(*entities, margin) in on_posts


def test_the_first_table_has_the_numbers_of_the_paper_and_of_the_runs(chapter: Callable[[str], Any]):
    opened, paper = chapter(NAME), published.MORE_FEATURES["conll2003-vectors"]
    names, first = opened.run("recorded"), opened.text[0].source
    for arm in ("margin-truncated-no-ce", "margin-no-ce", "bilstm"):
        runs = ", ".join(f"{x:.3f}" for x in names["plus"][f"{arm}/network/f1"])
        assert any(f"{paper[arm]}" in line and runs in line for line in first.splitlines()), arm
    lost = names["plus"]["margin/network/f1"] - names["plus"]["margin-truncated/network/f1"]
    assert "behind by " + ", ".join(f"{x:.2f}" for x in lost) in first
    taught = {arm: names["plus"][f"{arm}/network/f1"] for arm in names["taught"] if arm != "bilstm"}
    above = sum((runs > names["plus"]["bilstm/network/f1"]).all() for runs in taught.values())
    assert (len(taught), above) == (8, 4) and "four of the eight in every run" in first
    assert (
        f"{min(paper[arm] for arm in taught)} to {max(paper[arm] for arm in taught)} and {paper['bilstm']} %" in first
    )
    assert f"{min(map(min, taught.values())):.3f} to {max(map(max, taught.values())):.3f}" in first
    assert f"has {names['plus']['crf/exact/f1'].mean():.3f}." in first
