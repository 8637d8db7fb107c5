"""Readers of labelled texts: ``label text`` and ``label TAB text`` a line, GLUE's tables, and CSV of several fields.

Each is a generator of one (text, label) after the other, labels from 0 to K - 1, and keeps no more than that in memory.
Errors name the file and the line and never repeat its text. Files are UTF-8.
"""

from __future__ import annotations

import csv
import random
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ebm_course.checks import check_count
from ebm_course.tasks.text_lines import fault, lines_of

Row = TypeVar("Row")
Labelled = tuple[str, int]
OPEN_QUOTE = "Close a quote that stands open, shorten the text, or raise csv.field_size_limit() first."


def read_labelled(
    path: Path | str, classes: Sequence[str], *, separator: str = " ", newline: str = ""
) -> Iterator[Labelled]:
    r"""Texts of lines ``label SEPARATOR text``; blank lines are left out.

    Args:
        path: the file, as ``stsa.binary.train`` with a blank or AG News with a tab.
        classes: the labels as the file writes them, in the order of their numbers.
        newline: what stands for a new line inside a text, such as AG News' backslash; it becomes a blank.

    Raises:
        ValueError: a line has no separator, no text or another label, it is not UTF-8, or the file holds no text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (path := Path(folder) / "some").write_text("bad\tslow\\and long\n\ngood\twarm\n")
    ...     list(read_labelled(path, ("bad", "good"), separator="\t", newline="\\"))
    [('slow and long', 0), ('warm', 1)]
    """
    name, n = {" ": "blank", "\t": "tab"}.get(separator, separator), 0
    for number, line in lines_of(path):
        if line.strip():
            label, found, text = line.partition(separator)
            if not found:
                raise fault(path, number, f"a label, a {name} and a text", "one field")
            n += 1
            yield _checked(path, number, text.replace(newline, " ") if newline else text, label, classes)
    _check_any(path, n)


def read_glue(path: Path | str, classes: Sequence[str] = ("0", "1")) -> Iterator[Labelled]:
    r"""Texts of a table of GLUE's SST-2: a head ``sentence TAB label``, then a text, a tab and its label a line.

    Errors are those of :func:`read_labelled`; another head is one of them.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (path := Path(folder) / "train.tsv").write_text("sentence\tlabel\nslow and long \t0\nwarm \t1\n")
    ...     list(read_glue(path))
    [('slow and long', 0), ('warm', 1)]
    """
    n = 0
    for number, line in lines_of(path):
        fields = line.split("\t")
        if number == 1:
            if fields != ["sentence", "label"]:
                raise fault(
                    path,
                    number,
                    "the head 'sentence TAB label'",
                    f"{len(fields)} other fields",
                    "Name train.tsv or dev.tsv.",
                )
            continue
        if line.strip():
            if len(fields) != 2:
                raise fault(path, number, "a text, a tab and a label", f"{len(fields)} fields")
            n += 1
            text, label = fields
            yield _checked(path, number, text, label, classes)
    _check_any(path, n)


def read_csv(path: Path | str, classes: Sequence[str], *, n_texts: int, newline: str = "\\n") -> Iterator[Labelled]:
    r"""Texts of CSV rows ``"label","text","text"...``, as AG News, Yelp and Yahoo Answers are published.

    Args:
        n_texts: how many fields of text follow the label; those that are not empty are joined by a blank. A field may
            go over several lines.
        newline: what stands for a new line inside a text; it becomes a blank.

    Raises:
        ValueError: a row has another number of fields, only empty ones or another label; the message names its line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (path := Path(folder) / "train.csv").write_text('"2","Rates rise","The bank, it ""says"","\n')
    ...     list(read_csv(path, ("1", "2"), n_texts=2))
    [('Rates rise The bank, it "says",', 1)]
    """
    before, n = 1, 0
    lines = (f"{line}\n" for _, line in lines_of(path))
    rows = csv.reader(lines, strict=True)
    while True:
        try:
            fields = next(rows, None)
        except csv.Error as error:
            if "field limit" in str(error):
                most = f"fields of at most {csv.field_size_limit():,} characters"
                raise fault(path, before, most, "a longer one", OPEN_QUOTE) from error
            raise fault(path, before, "a row of CSV", f"none ({error})") from error
        if fields is None:
            break
        if fields:
            if len(fields) != n_texts + 1:
                raise fault(path, before, f"a label and {n_texts} fields of text", f"{len(fields)} fields")
            label, *texts = fields
            text = " ".join(some for some in (text.replace(newline, " ").strip() for text in texts) if some)
            n += 1
            yield _checked(path, before, text, label, classes)
        before = rows.line_num + 1
    _check_any(path, n)


def sampled(rows: Iterable[Row], n: int | None, *, seed: int) -> list[Row]:
    """``n`` rows drawn without repetition, every set alike, in the order in which they came; all where n is None.

    It reads the rows once, however many there are, and keeps n of them.

    Raises:
        ValueError: there are fewer than n, or n is no whole number of 0 or more.

    Source: Vitter (1985), Algorithm R.

    >>> sampled(range(1000), 4, seed=0)
    [2, 783, 817, 928]
    """
    if n is None:
        return list(rows)
    n = check_count("n", n)
    draw, kept, seen = random.Random(seed), list[tuple[int, Row]](), 0
    for seen, row in enumerate(rows, start=1):
        if len(kept) < n:
            kept.append((seen, row))
        elif n and (place := draw.randrange(seen)) < n:
            kept[place] = (seen, row)
    if seen < n:
        raise ValueError(f"expected {n} rows to draw, got {seen}: ask for fewer, or name a larger file.")
    return [row for _, row in sorted(kept, key=lambda pair: pair[0])]


def is_empty(text: str) -> bool:
    r"""Whether nothing of a text is seen: blanks, controls and marks of format alone, as the blank of no width.

    >>> is_empty(" \u200b\t"), is_empty("\u200b?")
    (True, False)
    """
    return all(character.isspace() or unicodedata.category(character) in ("Cc", "Cf") for character in text)


def _checked(path: Path | str, number: int, text: str, label: str, classes: Sequence[str]) -> Labelled:
    """The text and its label as a number, refused where the label is unknown or the text empty."""
    text, label = text.strip(), label.strip()
    if label not in classes:
        raise fault(path, number, f"one of the {len(classes)} labels {', '.join(classes)}", f"label {label[:20]!r}")
    if is_empty(text):
        raise fault(path, number, "a text", "an empty one")
    return text, classes.index(label)


def _check_any(path: Path | str, n: int) -> None:
    if n == 0:
        raise ValueError(f"{Path(path).name} holds no text: expected one at least. Look whether it was cut short.")
