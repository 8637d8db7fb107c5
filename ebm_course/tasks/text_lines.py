"""Lines of a UTF-8 file, one after the other, and the one form of error that names a line.

A file of any length is read in the memory of its longest line. A message never repeats a line's text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def lines_of(path: Path | str) -> Iterator[tuple[int, str]]:
    r"""(number from 1, text without its line end) of each line. Only a line feed ends a line, with or without a return.

    Raises:
        ValueError: a line is not UTF-8; the message names it.
        FileNotFoundError: there is no such file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (path := Path(folder) / "some").write_bytes(b"one\r\ntwo\x0b\n")
    ...     list(lines_of(path))
    [(1, 'one'), (2, 'two\x0b')]
    """
    with Path(path).open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                where = f"byte {raw[error.start]:#04x} at position {error.start}"
                raise fault(path, number, "text in UTF-8", where, "Save the file as UTF-8.") from error
            yield number, text.removesuffix("\n").removesuffix("\r")


def fault(path: Path | str, number: int, expected: str, got: str, remedy: str = "Mend or drop the line.") -> ValueError:
    """The error of a line: the file's name and the line's number, what was expected, what stood there, what to do.

    >>> str(fault("a/tweets.conll", 12, "2 columns", "3"))
    'tweets.conll, line 12: expected 2 columns, got 3. Mend or drop the line.'
    """
    return ValueError(f"{Path(path).name}, line {number}: expected {expected}, got {got}. {remedy}")
