"""Lines of files that would be read as another text are refused, in one sentence that names the line."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ebm_course.tasks import text_lines
from ebm_course.tasks.brown_clusters import BrownClusters
from ebm_course.tasks.tagging_files import read_columns, read_tokens
from ebm_course.tasks.text_files import read_csv, read_labelled
from ebm_course.tasks.text_lines import lines_of

WRONG = {
    "a byte of 0 in a text": (b"1 go\0od\n", r"line 1: expected text in UTF-8, got byte 0x00 at position 4"),
    "a tail of zeros": (b"1 good\n" + bytes(64), r"line 2: expected text in UTF-8, got byte 0x00 at position 0"),
    "UTF-16 without a mark": ("1 good\n".encode("utf-16-le"), r"line 1: .* got byte 0x00 at position 1"),
    "returns alone": (b"1 good film\r0 bad film\r", "line 1: expected lines that end in a line feed, got none"),
    "a packed file": (gzip.compress(b"1 good\n"), "line 1: expected text in UTF-8, got a file packed by gzip. Unpack"),
}
READERS: dict[str, Callable[[Path], Iterable[object]]] = {
    "labelled": lambda path: read_labelled(path, ("0", "1")),
    "csv": lambda path: read_csv(path, ("1", "2"), n_texts=1),
    "columns": read_columns,
    "tokens": read_tokens,
    "clusters": lambda path: BrownClusters.read(path).paths,
}


@pytest.mark.parametrize("name", WRONG)
def test_bytes_that_are_no_lines_of_text_are_refused(tmp_path: Path, name: str) -> None:
    content, said = WRONG[name]
    (path := tmp_path / "some").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        list(lines_of(path))


@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_a_byte_of_0(tmp_path: Path, name: str) -> None:
    (path := tmp_path / "some").write_bytes(b'"1","a\tN\0"\n')
    with pytest.raises(ValueError, match="some, line 1: expected text in UTF-8, got byte 0x00"):
        list(READERS[name](path))


def test_returns_before_a_line_feed_are_no_part_of_a_tag(tmp_path: Path) -> None:
    (path := tmp_path / "some").write_bytes(b"a\tN\r\r\n")
    assert [sentence.tags for sentence in read_columns(path)] == [("N",)]


def test_a_return_inside_a_line_is_kept(tmp_path: Path) -> None:
    (path := tmp_path / "some").write_bytes(b"one\rtwo\n")
    assert list(lines_of(path)) == [(1, "one\rtwo")]


def test_a_line_has_a_largest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "MOST", 8)
    (path := tmp_path / "some").write_bytes(b"1234567\n123456789\n")
    with pytest.raises(ValueError, match="line 2: expected a line of at most 8 bytes, got a longer one"):
        list(lines_of(path))


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder, expected a file of lines of text"):
        list(read_columns(tmp_path))


def test_clusters_without_a_word_are_refused(tmp_path: Path) -> None:
    (path := tmp_path / "some").touch()
    with pytest.raises(ValueError, match="some holds no word: expected one at least"):
        BrownClusters.read(path)
