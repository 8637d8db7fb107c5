r"""Readers of tagged text: columns with a blank line between sentences, the masked tweets, CoNLL-2003 and CoNLL-U.

Each is a generator of one :class:`Sentence` after the other and keeps no more than that in memory. Errors name the
file and the line and never repeat its text. Files are UTF-8.

What each reader takes for the tags of two words:

>>> import tempfile
>>> rest = "\t_" * 6 + "\n"
>>> texts = {
...     read_columns: "New\tB-LOC\nYork\tI-LOC\n",
...     read_conll2003: "-DOCSTART- -X- -X- O\n\nNew NNP B-NP I-LOC\nYork NNP I-NP I-LOC\n",
...     read_conllu: f"1\tNew\tnew\tADJ{rest}2\tYork\tYork\tPROPN{rest}",
...     read_masked: "New York ||| ^ ^\n",
... }
>>> with tempfile.TemporaryDirectory() as folder:
...     for read, text in texts.items():
...         _ = (path := Path(folder) / "some").write_text(text)
...         read.__name__, [sentence.tags for sentence in read(path)]
...     list(read_tokens(path))
('read_columns', [('B-LOC', 'I-LOC')])
('read_conll2003', [('B-LOC', 'E-LOC')])
('read_conllu', [('ADJ', 'PROPN')])
('read_masked', [('^', '^')])
[('New', 'York', '|||', '^', '^')]
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from ebm_course.tasks.sentences import Sentence
from ebm_course.tasks.tag_schemes import Scheme, check_scheme, convert, split_tag
from ebm_course.tasks.text_lines import fault, lines_of

SEPARATOR = " ||| "
DOCUMENT = "-DOCSTART-"
Fields = Sequence[str]


def read_columns(
    path: Path | str, *, tags: Collection[str] | None = None, scheme: Scheme | None = None
) -> Iterator[Sentence]:
    """Sentences of lines ``token TAB tag``, as in the raw tweets (``oct27.train``) and WNUT-17.

    Args:
        path: the file. Several blank lines in a row end one sentence; a line of spaces and tabs alone is blank.
        tags: the tag set, where one outside it is to be refused.
        scheme: what entities are converted to; the tags as they stand by default.

    Raises:
        ValueError: a line has other columns or another tag, it is not UTF-8, the file holds no sentence, or the scheme
            is another one.
    """
    return _sentences(path, _tokens_of(path, "\t", 2), 0, 1, tags, scheme)


def read_conll2003(
    path: Path | str, *, tags: Collection[str] | None = None, scheme: Scheme | None = "BIOES"
) -> Iterator[Sentence]:
    """Sentences of the four columns of CoNLL-2003 (token, part of speech, chunk, entity), one space between them.

    Entities may be written in IOB1, as published, or in IOB2; a line ``-DOCSTART-`` is of no sentence and ends one.
    Arguments and errors are those of :func:`read_columns`.

    Source: Tjong Kim Sang and De Meulder (2003), Section 2.2.
    """
    lines = _tokens_of(path, " ", 4)
    tokens = ((number, [] if fields[:1] == [DOCUMENT] else fields) for number, fields in lines)
    return _sentences(path, tokens, 0, 3, tags, scheme)


def read_conllu(path: Path | str, *, column: str = "upos", tags: Collection[str] | None = None) -> Iterator[Sentence]:
    """Sentences of CoNLL-U with their universal (``upos``) or their own (``xpos``) parts of speech.

    Comments, ranges of a contracted word (``1-2``) and empty nodes (``8.1``) are left out; the words are those of the
    syntax. Words must be numbered 1, 2, ... Errors are those of :func:`read_columns`.
    """
    places = {"upos": 3, "xpos": 4}
    if column not in places:
        raise ValueError(f"a CoNLL-U file has tags in the columns upos and xpos: got column={column!r}. Name one.")
    return _sentences(path, _words_of(path, places[column]), 1, places[column], tags, None)


def read_masked(path: Path | str, *, tags: Collection[str] | None = None) -> Iterator[Sentence]:
    """Sentences of lines ``token token ... ||| TAG TAG ...``, as in the masked tweets (``oct27.train.proc.cnn``).

    Parts are split at one space and at nothing else: some tokens hold another white space. Errors are those of
    :func:`read_columns`; a blank line is one of them.
    """
    n_sentences, check = 0, _checker(path, tags, None)
    for number, line in lines_of(path):
        parts = line.split(SEPARATOR)
        if len(parts) != 2:
            raise fault(path, number, "tokens, ' ||| ' and tags", f"{len(parts) - 1} times ' ||| '")
        tokens, found = (tuple(part.split(" ")) for part in parts)
        if len(tokens) != len(found) or "" in (*tokens, *found):
            empty = (*tokens, *found).count("")
            raise fault(
                path,
                number,
                "as many tags as tokens, one space between two",
                f"{len(tokens)} tokens and {len(found)} tags, {empty} of them empty",
            )
        for tag in found:
            check(number, tag)
        n_sentences += 1
        yield Sentence(tokens, found)
    _check_any(path, n_sentences)


def read_tokens(path: Path | str) -> Iterator[tuple[str, ...]]:
    """Tokens of untagged text, one sentence a line, split at one space; blank lines are left out."""
    return (tuple(token for token in line.split(" ") if token) for _, line in lines_of(path) if line.strip(" "))


def _tokens_of(path: Path | str, separator: str, n_columns: int) -> Iterator[tuple[int, Fields]]:
    """(line number, fields) of each line; no fields at a blank one."""
    for number, line in lines_of(path):
        fields = line.split(separator) if line.strip(" \t") else []
        if fields and (len(fields) != n_columns or "" in fields):
            name = "tab" if separator == "\t" else "space"
            got = f"{len(fields)} with {fields.count('')} empty"
            raise fault(path, number, f"{n_columns} columns with one {name} between two", got)
        yield number, fields


def _words_of(path: Path | str, tag: int) -> Iterator[tuple[int, Fields]]:
    """The words of a CoNLL-U file as (line number, ten fields), and no fields at a blank line."""
    expected = 1
    for number, line in lines_of(path):
        if line.startswith("#"):
            continue
        fields = line.split("\t") if line.strip(" \t") else []
        if fields and (len(fields) != 10 or "" in fields):
            got = f"{len(fields)} with {fields.count('')} empty"
            raise fault(path, number, "the 10 columns of CoNLL-U with one tab between two", got)
        if fields and ("-" in fields[0] or "." in fields[0]):
            continue
        if fields and fields[0] != str(expected):
            raise fault(path, number, f"word {expected} of the sentence", f"number {fields[0][:10]!r}")
        if fields and fields[tag] == "_":
            raise fault(path, number, f"a tag in column {tag + 1}", "'_', which says that there is none")
        expected = expected + 1 if fields else 1
        yield number, fields


def _sentences(
    path: Path | str,
    lines: Iterator[tuple[int, Fields]],
    token: int,
    tag: int,
    tags: Collection[str] | None,
    scheme: Scheme | None,
) -> Iterator[Sentence]:
    """Sentences of lines of fields; ``token`` and ``tag`` are the columns that are kept."""
    n_sentences, check = 0, _checker(path, tags, scheme)
    for block in _blocks(lines):
        found = [fields[tag] for _, fields in block]
        for number, fields in block:
            check(number, fields[tag])
        n_sentences += 1
        yield Sentence(tuple(fields[token] for _, fields in block), convert(found, scheme) if scheme else tuple(found))
    _check_any(path, n_sentences)


def _blocks(lines: Iterator[tuple[int, Fields]]) -> Iterator[list[tuple[int, Fields]]]:
    """The lines between blank ones."""
    for is_text, block in itertools.groupby(lines, key=lambda line: bool(line[1])):
        if is_text:
            yield list(block)


def _checker(path: Path | str, tags: Collection[str] | None, scheme: Scheme | None) -> Callable[[int, str], None]:
    """Refuses a tag outside the set; where it is to be converted, one whose type is, or that is no tag of entities."""
    if scheme is not None:
        check_scheme(scheme)
    known = {split_tag(tag)[1] if scheme else tag for tag in tags or ()}

    def check(number: int, tag: str) -> None:
        kind = tag
        if scheme is not None:
            try:
                _, kind = split_tag(tag)
            except ValueError as error:
                raise fault(path, number, "O, or one of B I E S, a hyphen and a type", f"tag {tag!r}") from error
        if tags is not None and kind not in known:
            raise fault(path, number, f"one of the {len(tags)} tags {', '.join(tags)}", f"tag {tag!r}")

    return check


def _check_any(path: Path | str, n_sentences: int) -> None:
    if n_sentences == 0:
        raise ValueError(f"{Path(path).name} holds no sentence: expected one at least. Look whether it was cut short.")
