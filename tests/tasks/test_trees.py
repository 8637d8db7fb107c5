from __future__ import annotations

import pytest

from ebm_course.tasks.trees import Bracket, bracket_f1, tree_of, tree_tags

TREE = (Bracket("S", 0, 5), Bracket("NP", 0, 2), Bracket("VP", 2, 5), Bracket("NP", 3, 5))
TAGS = ("(S (NP XX", "XX )", "(VP XX", "(NP XX", "XX ) ) )")


def test_a_tree_by_hand_is_cut_behind_its_words_and_read_back() -> None:
    assert tree_tags(TREE, 5) == TAGS
    brackets, whole = tree_of(TAGS)
    assert sorted(brackets) == sorted(TREE) and whole


@pytest.mark.parametrize(
    "tags, said",
    [
        (("(S XX", "XX ) )"), {("S", 0, 2)}),  # one closes nothing
        (("(S (NP XX", "XX )"), {("NP", 0, 2), ("S", 0, 2)}),  # S ends with the sentence
        (("(S XX )", "(S XX )"), {("S", 0, 1), ("S", 1, 2)}),  # two roots
        (("(S XX )", "XX"), {("S", 0, 1)}),  # a word outside
        (("XX", "(S XX )"), {("S", 1, 2)}),
        (("XX", "XX"), set()),
    ],
)
def test_whatever_the_tags_there_are_brackets_and_what_is_no_tree_is_told(
    tags: tuple[str, ...], said: set[tuple[str, int, int]]
) -> None:
    brackets, whole = tree_of(tags)
    assert set(brackets) == said and not whole


def test_brackets_by_hand_are_counted_over_all_sentences() -> None:
    flat = ("(S XX", "XX", "(VP XX", "(NP XX", "XX ) ) )")  # without the first NP: 3 said, all right, of 4
    found = bracket_f1([flat, ("(S XX", "XX )")], [TAGS, ("(S XX", "XX )")])
    assert found == {"f1": pytest.approx(2 * 4 / (4 + 5)), "trees": 1.0, "exact": 0.5}


def test_a_bracket_said_twice_is_right_once() -> None:
    assert bracket_f1([("(S (S XX", "XX ) )")], [("(S XX", "XX )")])["f1"] == pytest.approx(2 / 3)


def test_a_label_that_differs_is_wrong() -> None:
    assert bracket_f1([("(NP XX", "XX )")], [("(S XX", "XX )")])["f1"] == 0


@pytest.mark.parametrize("tags, gold", [([], []), ([("(S XX )",)], [])])
def test_other_numbers_of_sentences_are_refused(tags: list[tuple[str, ...]], gold: list[tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="sentence by sentence: expected as many as the gold ones"):
        bracket_f1(tags, gold)


@pytest.mark.parametrize(
    "brackets, message",
    [
        ([Bracket("S", 0, 5)], r"expected 0 <= start < end <= 4, got Bracket\(label='S', start=0, end=5\)"),
        ([Bracket("S", -1, 2)], "expected 0 <= start < end <= 4"),
        ([Bracket("S", 2, 2)], "expected 0 <= start < end <= 4"),
        ([Bracket("S", 0, 4), Bracket("A", 0, 2), Bracket("B", 1, 3)], "label='A'.*label='B'.*which cross"),
    ],
)
def test_brackets_that_cross_or_leave_the_sentence_are_refused(brackets: list[Bracket], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tree_tags(brackets, 4)


def test_brackets_of_the_same_words_are_those_of_one_tree() -> None:
    assert tree_tags([Bracket("S", 0, 2), Bracket("VP", 0, 2), Bracket("V", 0, 1)], 2) == ("(S (VP (V XX )", "XX ) )")


def test_tags_of_another_length_than_the_gold_ones_are_refused() -> None:
    short = [("(S XX", "XX )"), ("(S XX )",)]
    with pytest.raises(ValueError, match="sentence 2: expected 2 tags, got 1"):
        bracket_f1(short, [("(S XX", "XX )"), ("(S XX", "XX )")])


def test_brackets_of_one_label_over_the_same_words_count_as_often_as_they_are_there() -> None:
    twice, once = ["(S (NP (NP XX", "XX ) )", "XX )"], ["(S (NP XX", "XX )", "XX )"]
    assert bracket_f1([twice], [twice])["f1"] == 1.0
    assert bracket_f1([twice], [once])["f1"] == pytest.approx(2 * 2 / (3 + 2))
