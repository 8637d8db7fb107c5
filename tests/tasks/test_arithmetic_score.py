"""The strict metric against cases worked by hand, both known cheats among them."""

from __future__ import annotations

import pytest
import torch

from ebm_course.tasks.arithmetic import Format
from ebm_course.tasks.arithmetic_score import correctness, distance_to, in_support, score, true_answer, well_formed

TEN, TWO = Format(10), Format(2)


@pytest.mark.parametrize(
    "text, share",
    [
        ("99+99=198", 1.0),
        ("99+99=098", 2 / 3),  # the carry out of the last column is lost
        ("99+99=188", 2 / 3),  # one carry inside is lost
        ("19+12=031", 1.0),
        ("19+12=021", 2 / 3),
        ("10+10=555", 0.0),
    ],
)
def test_correctness_counts_right_digits_of_the_answer(text: str, share: float) -> None:
    assert correctness(TWO.encode([text]), 2).item() == pytest.approx(share)


def test_the_truth_of_ten_digits_needs_no_wide_integers() -> None:
    x = TEN.encode(["9999999999+9999999999=00000000000", "4680156823+2390922645=07071079468"])
    digits = ["".join(map(str, row)) for row in true_answer(x, 10).tolist()]
    assert digits == [str(9999999999 * 2), "0" + str(4680156823 + 2390922645)]


def test_cheat_one_all_zeros_is_correct_and_is_caught_by_support_and_uniqueness() -> None:
    x = TEN.encode(["0000000000+0000000000=00000000000"] * 4)
    figures = score(x, 10)
    assert figures["correctness"] == figures["exact"] == figures["valid"] == 1.0
    assert figures["support"] == figures["honest"] == 0.0 and figures["unique"] == 0.25


def test_cheat_two_a_misplaced_sign_scores_zero() -> None:
    # As text it parses: 1 + 2 = 3, then rubbish. By position it is malformed.
    layout = Format(4)
    row = layout.encode(["0001+0002=00003"])
    row[0, 1:-1] = layout.encode(["1+2=00000000003"[:15].ljust(15, "0")])[0, 1:-1]
    assert layout.decode(row) == ["1+2=00000000003"]
    assert correctness(row, 4).item() == 0.0 and not well_formed(row, 4).item()
    assert score(row, 4)["valid"] == 0.0


@pytest.mark.parametrize("position, token", [(0, 4), (-1, 4), (1, 14), (4, 15), (6, 3), (8, 0)])
def test_one_token_out_of_place_makes_a_row_malformed(position: int, token: int) -> None:
    x = TWO.encode(["19+12=031"])
    assert well_formed(x, 2).item()
    x[0, position] = token
    expected = token == 4 and position in (1, 2, 4, 5)
    assert well_formed(x, 2).item() is expected
    assert correctness(x, 2).item() == 0.0


def test_a_leading_zero_is_well_formed_but_out_of_the_datas_support() -> None:
    x = TWO.encode(["09+12=021", "19+12=031"])
    assert well_formed(x, 2).tolist() == [True, True] and in_support(x, 2).tolist() == [False, True]


def test_distance_and_recited_share_against_a_double_loop() -> None:
    x, rows = TWO.encode(["19+12=031", "29+12=031", "55+55=110"]), TWO.encode(["19+12=031", "55+54=109"])
    by_hand = [min(int((a != b).sum()) for b in rows) for a in x]
    assert distance_to(x, rows).tolist() == by_hand == [0, 1, 3]
    figures = score(x, 2, train=rows)
    assert figures["recited"] == pytest.approx(1 / 3) and figures["distance"] == pytest.approx(4 / 3)


def test_moved_tokens_are_counted_and_operands_apart() -> None:
    x0, x = TWO.encode(["19+12=031"]), TWO.encode(["29+12=041"])
    figures = score(x, 2, x0=x0)
    assert figures["tokens_moved"] == 2.0 and figures["operands_moved"] == 1.0


def test_a_wrong_shape_and_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(N, 11\)"):
        correctness(torch.zeros(3, 12, dtype=torch.long), 2)
    with pytest.raises(ValueError, match="no rows"):
        score(torch.zeros(0, 11, dtype=torch.long), 2)


def test_rows_of_another_kind_are_refused_and_none_stands_for_all() -> None:
    x = TWO.encode(["19+12=031", "46+23=069"])
    with pytest.raises(ValueError, match=r"the start of each row: expected \(2, 11\), got \(1, 11\)"):
        score(x, 2, x0=x[:1])  # one start would be taken for that of every row
    for train, words in ((x[:0], r"\(0, 11\)"), (TEN.encode(["0000000001+0000000002=00000000003"]), r"\(1, 35\)")):
        with pytest.raises(ValueError, match=f"token by token with .M, 11., M > 0: got {words}"):
            score(x, 2, train=train)
    with pytest.raises(TypeError, match="tokens are int64"):
        distance_to(x, x.float())
    with pytest.raises(ValueError, match="out of the vocabulary"):
        distance_to(x + 10, x)
    for n_digits in (0, 2.0, True):
        with pytest.raises(ValueError, match="n_digits is a whole number"):
            score(x, n_digits)


@pytest.mark.parametrize(
    "text, supported",
    [("10+20=030", True), ("01+20=021", False), ("10+02=012", False), ("10+09=019", False), ("09+10=019", False)],
)
def test_both_operands_lead_with_a_digit_of_at_least_1_in_the_support(text: str, supported: bool) -> None:
    assert in_support(TWO.encode([text]), 2).tolist() == [supported]


@pytest.mark.parametrize(
    "text, tokens, operands",
    [("19+12=131", 1, 0), ("19+12=032", 1, 0), ("99+12=031", 1, 1), ("19+13=031", 1, 1), ("28+43=999", 7, 4)],
)
def test_what_moved_is_told_apart_in_operands_and_answer(text: str, tokens: int, operands: int) -> None:
    found = score(TWO.encode([text]), 2, x0=TWO.encode(["19+12=031"]))
    assert (found["tokens_moved"], found["operands_moved"]) == (tokens, operands)
