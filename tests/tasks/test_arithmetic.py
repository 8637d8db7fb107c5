"""The data recipe, the text, and the exact perplexity of the perfect model."""

from __future__ import annotations

import math

import pytest
import torch

from ebm_course.tasks.arithmetic import (
    VOCABULARY,
    Format,
    arithmetic,
    digit_synonyms,
    paper_arithmetic,
    perfect_perplexity,
)


def test_the_papers_recipe_gives_its_two_printed_validation_lines_and_its_counts() -> None:
    task, layout = paper_arithmetic(), Format(10)
    first, second = layout.decode(task.valid.x[:2])
    assert " ".join(first) == "8 9 1 2 8 9 6 0 6 2 + 9 6 6 6 9 6 3 1 6 7 = 1 8 5 7 9 8 5 9 2 2 9"
    assert " ".join(second) == "1 0 7 6 0 9 9 7 2 3 + 7 3 8 0 1 6 5 7 2 6 = 0 8 4 5 6 2 6 5 4 4 9"
    assert (len(task.train), len(task.valid), len(task.test)) == (99_299, 350, 350)
    assert task.train.x.shape == (99_299, 35) and task.n_values == 16
    assert task.score(task.train.x, task.train)["honest"] == 1.0


@pytest.mark.parametrize("n_digits", [1, 2, 3, 7, 25])
def test_every_equation_of_any_number_of_digits_is_true_distinct_and_reads_back(n_digits: int) -> None:
    task, layout = arithmetic(n_digits, n_train=40, n_valid=10, n_test=10), Format(n_digits)
    x = torch.cat([task.train.x, task.valid.x, task.test.x])
    assert len(torch.unique(x, dim=0)) == 60
    for line in layout.decode(x):
        left, answer = line.split("=")
        a, b = left.split("+")
        assert int(a) + int(b) == int(answer) and len(a) == len(b) == n_digits and len(answer) == n_digits + 1
    assert torch.equal(layout.encode(layout.decode(x)), x)


def test_the_seed_names_the_data_and_nothing_else_does() -> None:
    one = arithmetic(4, n_train=50).train.x
    torch.manual_seed(123)
    assert torch.equal(one, arithmetic(4, n_train=50).train.x)
    assert not torch.equal(one, arithmetic(4, n_train=50, seed=1).train.x)


def test_the_perfect_model_has_the_stated_perplexity() -> None:
    assert round(perfect_perplexity(10), 3) == 3.851
    # By hand at one digit: two free digits of nine values each, seven predicted tokens.
    assert math.isclose(perfect_perplexity(1), 81 ** (1 / 7))


def test_a_digits_synonyms_are_its_nine_others_and_signs_have_none() -> None:
    table = digit_synonyms()
    for k, symbol in enumerate(VOCABULARY):
        row = {VOCABULARY[i] for i in table[k].tolist()}
        assert row == (set("0123456789") - {symbol} if symbol.isdigit() else {symbol})


def test_the_format_knows_its_positions() -> None:
    layout = Format(2)
    assert layout.length == 11 and layout.first_answer == 7
    marks = "".join(
        "c" if c else "d" if d else "."
        for c, d in zip(layout.answer_positions(), layout.digit_positions(), strict=True)
    )
    assert marks == ".dd.dd.ccc."


@pytest.mark.parametrize("text, said", [("1x+22=033", "x"), ("1+2=3", "pad operands"), ("11+22=0333", "10 symbols")])
def test_text_that_is_no_equation_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Format(2).encode([text])


def test_malformed_tokens_decode_to_their_names() -> None:
    assert Format(1).decode(torch.tensor([[2, 5, 14, 3, 15, 0, 7, 3]])) == ["1+<eos>=<unk>3"]
    with pytest.raises(ValueError, match="out of the vocabulary"):
        Format(1).decode(torch.tensor([[16]]))


def test_more_equations_than_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="only 81 of 1 digits exist"):
        arithmetic(1, n_train=80, n_valid=1, n_test=1)
    for n_digits in (0, 2.5):
        with pytest.raises(ValueError, match="n_digits is a whole number: expected 1 or larger"):
            Format(n_digits)  # type: ignore[arg-type]


def test_operands_are_whole_numbers() -> None:
    assert Format(1).decode(Format(1).equations(torch.tensor([8]), torch.tensor([7]))) == ["8+7=15"]  # type: ignore[arg-type]
    for a in (8.9, -1, "8"):
        with pytest.raises(ValueError, match="operand is a whole number"):
            Format(1).equations([a], [7])  # type: ignore[list-item]
