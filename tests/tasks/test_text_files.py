"""Readers of labelled texts: what each format holds, one clear error a fault, and a long file in little memory."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ebm_course.tasks.text_files import read_csv, read_glue, read_labelled, sampled

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "some.txt"
        path.write_bytes(text.encode())
        return path

    return written


def of_labelled(path: Path) -> Iterator[Any]:
    return read_labelled(path, ("0", "1"))


def of_csv(path: Path) -> Iterator[Any]:
    return read_csv(path, ("1", "2"), n_texts=2)


def test_labelled_lines_whatever_ends_them(write: Write) -> None:
    for text in ("1 a good film\n0 bad\n", "\ufeff1 a good film\r\n\r\n0 bad"):
        assert list(of_labelled(write(text))) == [("a good film", 1), ("bad", 0)]
    assert list(read_labelled(write("2\t  news \n"), ("1", "2"), separator="\t")) == [("news", 1)]
    path = write("1 line\\next line\n")
    assert list(read_labelled(path, ("1",), newline="\\")) == [("line next line", 0)]


def test_a_table_of_glue_has_its_label_last(write: Write) -> None:
    assert list(read_glue(write("sentence\tlabel\na film \t1\n"))) == [("a film", 1)]


def test_csv_joins_its_texts_and_knows_quotes_and_lines_inside_a_field(write: Write) -> None:
    path = write('"2","a ""title""","one\\ntwo"\n"1","","first\nsecond"\n')
    assert list(of_csv(path)) == [('a "title" one two', 1), ("first\nsecond", 0)]


@pytest.mark.parametrize(
    "read, text, said",
    [
        (of_labelled, "1 a\n5 b\n", "line 2: expected one of the 2 labels 0, 1, got label '5'"),
        (of_labelled, "1 a\n\n1  \n", "line 3: expected a text, got an empty one"),
        (of_labelled, "1 a\n1\n", "line 2: expected a label, a blank and a text, got one field"),
        (of_labelled, "\n", "holds no text: expected one at least"),
        (read_glue, "a\t1\n", "line 1: expected the head 'sentence TAB label', got 2 other fields"),
        (read_glue, "sentence\tlabel\na\n", "line 2: expected a text, a tab and a label, got 1 fields"),
        (read_glue, "sentence\tlabel\na\tx\n", "line 2: expected one of the 2 labels 0, 1, got label 'x'"),
        (read_glue, "sentence\tlabel\n", "holds no text: expected one at least"),
        (of_csv, '"1","a\nb","c"\n"1","b"\n', "line 3: expected a label and 2 fields of text, got 2 fields"),
        (of_csv, '"1","a","b"\n"3","a","b"\n', "line 2: expected one of the 2 labels 1, 2, got label '3'"),
        (of_csv, '"1"," ","\\n"\n', "line 1: expected a text, got an empty one"),
        (of_csv, '"1","\u200b","\ufeff"\n', "line 1: expected a text, got an empty one"),
        (of_labelled, "1 a\n1 \u200b\n", "line 2: expected a text, got an empty one"),
        (
            of_csv,
            '"1","a","b"\n"1","' + "x" * 131_073,
            "line 2: expected fields of at most 131,072 characters, got a longer",
        ),
        (of_csv, '"1","a","b"\n"1","a" x,"b"\n', "line 2: expected a row of CSV, got none"),
        (of_csv, "", "holds no text: expected one at least"),
    ],
)
def test_a_fault_names_its_line_and_not_its_text(write: Write, read: Any, text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        list(read(write(text)))
    assert f"some.txt{'' if said.startswith('holds') else ','} {said}" in str(caught.value)


def test_bytes_that_are_no_text_name_their_line(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_bytes(b"1 a\n1 caf\xe9\n")
    with pytest.raises(ValueError, match=r"some.txt, line 2: expected text in UTF-8, got byte 0xe9"):
        list(of_labelled(path))


def test_a_long_file_is_read_and_drawn_from_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        for k in range(20_000):
            file.write(f'"{1 + k % 2}","title {k}","{"word " * 50}"\n')
    tracemalloc.start()
    rows = sampled(of_csv(path), 50, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 50
    assert path.stat().st_size > 5_000_000 > 20 * peak


def test_every_row_is_drawn_as_often_as_every_other_and_keeps_its_place() -> None:
    n, k, draws = 10, 3, 3000
    counts = Counter(row for seed in range(draws) for row in sampled(range(n), k, seed=seed))
    p = k / n
    assert all(abs(counts[row] / draws - p) < 5 * (p * (1 - p) / draws) ** 0.5 for row in range(n))
    assert all((rows := sampled(range(n), k, seed=seed)) == sorted(set(rows)) for seed in range(20))
    assert sampled(range(4), None, seed=0) == sampled(range(4), 4, seed=1) == [0, 1, 2, 3]


def test_more_rows_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="expected 5 rows to draw, got 4"):
        sampled(range(4), 5, seed=0)


@pytest.mark.parametrize("n", [-1, 2.5, "3", True])
def test_a_number_of_rows_to_draw_is_a_whole_one(n: Any) -> None:
    with pytest.raises(ValueError, match="n is a whole number: expected 0 or larger"):
        sampled(range(4), n, seed=0)
