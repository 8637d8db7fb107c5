"""Features of a token: its normal form, shape, affixes and clusters."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebm_course.tasks.brown_clusters import BrownClusters
from ebm_course.tasks.tagging_features import Features, affixes, case, normal, shape


@pytest.mark.parametrize(
    "token, expected",
    [
        ("RT", "rt"),
        ("@Some_One1", "<@MENTION>"),
        ("@", "@"),
        ("@a'b", "@a'b"),
        ("http://bit.ly/Abc", "<URL-bit.ly>"),
        ("https://www.Site.org?q=1", "<URL-Site.org>"),
        ("www.site.org", "<URL-site.org>"),
        ("<URL-bit.ly>", "<URL-bit.ly>"),
        ("<@MENTION>", "<@MENTION>"),
        ("http", "http"),
        ("<3", "<3"),
    ],
)
def test_the_normal_form_is_lower_case_with_names_and_addresses_masked(token: str, expected: str) -> None:
    assert normal(token) == expected
    assert normal(expected) == expected


def test_shapes_keep_two_of_equal_ones() -> None:
    assert [shape(t) for t in ("USA", "U.S.A.", "a1b22c333", "Über", "...!!", "\u00a0a", "x")] == [
        *("XX", "X.X.X.", "xdxddxdd", "Xxx", "..!!", " x", "x")
    ]


def test_a_case_says_how_letters_are_written_whatever_stands_between_them() -> None:
    words = {"lower": ("dogs", "don't", "über"), "Title": ("Dogs", "I", "O'neill"), "UPPER": ("USA", "U.S.", "ÜBER")}
    words |= {"mixed": ("iPhone", "McDonald"), "digits": ("24", "3.5%"), "other": (":)", "...")}
    for kind, some in words.items():
        assert {case(word) for word in some} == {kind}


def test_an_affix_is_shorter_than_its_word() -> None:
    assert affixes("Abc") == ("a", "ab", "", "c", "bc", "")
    assert affixes("abcd") == ("a", "ab", "abc", "d", "cd", "bcd")


def test_columns_stand_in_the_order_of_their_names() -> None:
    clusters = BrownClusters({"dogs": "01101"})
    features = Features(clusters, with_affixes=True, with_shape=True, with_case=True)
    row = dict(zip(features.names, features.of("DOGS"), strict=True))
    assert row["word"] == "dogs" and row["shape"] == "XX" and row["case"] == "UPPER"
    assert [row[f"cluster-{n}"] for n in (4, 6, 8, 12, "full")] == ["0110", "01101", "01101", "01101", "01101"]
    assert row["prefix-3"] == "dog" and row["suffix-2"] == "gs"
    assert features.of("cat")[1:6] == ("",) * 5
    assert Features().names == ("word",) and Features().of("DOGS") == ("dogs",)


def test_only_words_and_affixes_are_dropped_for_being_rare() -> None:
    features = Features(with_affixes=True, with_shape=True)
    counts = [{"a": 1, "b": 2, "": 9} for _ in features.names]
    kept = dict(zip(features.names, features.frequent(counts, 2), strict=True))
    assert kept["word"] == kept["prefix-1"] == kept["suffix-3"] == ["b"] and kept["shape"] == ["a", "b"]


def test_clusters_are_read_from_the_published_format(tmp_path: Path) -> None:
    path = tmp_path / "paths"
    path.write_text("0010\tdog\t7\n00101110101\t<@MENTION>\t12\n")
    assert BrownClusters.read(path).paths == {"dog": "0010", "<@MENTION>": "00101110101"}


@pytest.mark.parametrize(
    "text, said",
    [
        ("0010\tdog\t7\n0010\tcat\n", "paths, line 2: expected 3 columns .* got 2"),
        ("0012\tdog\t7\n", "line 1: expected a path of 0 and 1"),
        ("\tdog\t7\n", "line 1: expected a path of 0 and 1"),
        ("0010\tdog\tmany\n", "line 1: expected a path of 0 and 1 and a count"),
        ("0\tdog\t7\n0\tcat\t1\n1\tdog\t7\n", "line 3: expected each word once"),
    ],
)
def test_a_line_that_is_no_cluster_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "paths"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        BrownClusters.read(path)


def test_what_is_masked_keeps_its_letters_and_so_its_cluster() -> None:
    seen = Features(clusters=BrownClusters({"<@MENTION>": "00101110101", "<URL-bit.ly>": "0111"}))
    assert seen.of("@somebody")[1:3] == ("0010", "001011") and seen.of("http://bit.ly/x")[1] == "0111"
