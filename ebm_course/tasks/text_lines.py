"""Lines of a UTF-8 file, one after the other, and the one form of error that names a line.

A file of any length is read in the memory of its longest line. A message never repeats a line's text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MOST = 1 << 24
"""Bytes of the longest line that is read: a file without line ends is none of lines, and may have no end at all."""


def lines_of(path: Path | str) -> Iterator[tuple[int, str]]:
    r"""(number from 1, text without its line end) of each line. Only a line feed ends a line, with or without returns.

    Raises:
        ValueError: a line is not UTF-8, holds a byte of 0 or is longer than ``MOST``, or the file is packed or has the
            line ends of an old Macintosh; the message names the line.
        FileNotFoundError: there is no such file.
        IsADirectoryError: there is a folder of this name.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (path := Path(folder) / "some").write_bytes(b"one\r\ntwo\x0b\n")
    ...     list(lines_of(path))
    [(1, 'one'), (2, 'two\x0b')]
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected a file of lines of text. Name a file in it.")
    with Path(path).open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(MOST + 1), b""), start=1):
            _check(path, number, raw)
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                where = f"byte {raw[error.start]:#04x} at position {error.start}"
                raise fault(path, number, "text in UTF-8", where, "Save the file as UTF-8.") from error
            yield number, text.removesuffix("\n").rstrip("\r")


def _check(path: Path | str, number: int, raw: bytes) -> None:
    """Refuse bytes that would be read as another text: they are packed, cut by zeros, or several lines in one."""
    if number == 1 and raw.startswith(b"\x1f\x8b"):
        raise fault(path, number, "text in UTF-8", "a file packed by gzip", "Unpack it first: gunzip FILE.")
    if b"\0" in raw:  # of UTF-16, or of a disk that was full
        where = f"byte 0x00 at position {raw.index(0)}"
        raise fault(path, number, "text in UTF-8", where, "Save the file as UTF-8, or fetch it again.")
    if number == 1 and b"\r" in raw[:-1] and not raw.endswith(b"\n"):
        remedy = "Save the file with line ends of Unix or Windows."
        raise fault(path, number, "lines that end in a line feed", "none in the file, and carriage returns", remedy)
    if len(raw) > MOST:
        raise fault(path, number, f"a line of at most {MOST:,} bytes", "a longer one", "Name a file of lines of text.")


def fault(path: Path | str, number: int, expected: str, got: str, remedy: str = "Mend or drop the line.") -> ValueError:
    """The error of a line: the file's name and the line's number, what was expected, what stood there, what to do.

    >>> str(fault("a/tweets.conll", 12, "2 columns", "3"))
    'tweets.conll, line 12: expected 2 columns, got 3. Mend or drop the line.'
    """
    return ValueError(f"{Path(path).name}, line {number}: expected {expected}, got {got}. {remedy}")
