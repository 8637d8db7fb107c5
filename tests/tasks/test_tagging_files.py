"""Readers: what each format holds, one clear error a fault, and a long file in little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ebm_course.tasks.sentences import Sentence
from ebm_course.tasks.tagging_files import read_columns, read_conll2003, read_conllu, read_masked, read_tokens

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "some.txt"
        path.write_bytes(text.encode())
        return path

    return written


def test_columns_are_sentences_between_blank_lines_whatever_ends_a_line(write: Write) -> None:
    expected = [Sentence(("I", "see"), ("O", "V")), Sentence(("it",), ("O",))]
    for text in (
        "I\tO\nsee\tV\n\nit\tO\n",
        "\n\nI\tO\nsee\tV\n\n \t\n\nit\tO",
        "\ufeffI\tO\r\nsee\tV\r\n\r\nit\tO\r\n\r\n",
    ):
        assert list(read_columns(write(text))) == expected


def test_a_line_separator_inside_a_token_ends_no_line(write: Write) -> None:
    (one,) = read_columns(write("a\u2028b\u0085c\tN\n\u00a0\tN\n"))
    assert one.tokens == ("a\u2028b\u0085c", "\u00a0")


def test_masked_tweets_are_split_at_one_space_and_at_no_other_white_space(write: Write) -> None:
    (one,) = read_masked(write("rt <@MENTION> a\u00a0b : ||| ~ @ N ~\n"))
    assert one == Sentence(("rt", "<@MENTION>", "a\u00a0b", ":"), ("~", "@", "N", "~"))


def test_conll_2003_skips_documents_and_reads_both_ways_of_marking_entities_alike(write: Write) -> None:
    document = "-DOCSTART- -X- O O\n\n"
    columns = f"{document}U.N. NNP I-NP {{}}\nhere RB O O\nRome NNP I-NP {{}}\nParis NNP I-NP {{}}\n\n{document}"
    expected = Sentence(("U.N.", "here", "Rome", "Paris"), ("S-ORG", "O", "S-LOC", "S-LOC"))
    assert list(read_conll2003(write(columns.format("I-ORG", "I-LOC", "B-LOC")))) == [expected]
    assert list(read_conll2003(write(columns.format("B-ORG", "B-LOC", "B-LOC")))) == [expected]
    (one,) = read_conll2003(write(columns.format("I-ORG", "I-LOC", "B-LOC")), scheme="IOB2")
    assert one.tags == ("B-ORG", "O", "B-LOC", "B-LOC")


def test_a_document_ends_a_sentence_though_no_blank_line_does(write: Write) -> None:
    text = "Rome NNP I-NP I-LOC\n-DOCSTART- -X- O O\nParis NNP I-NP I-LOC\n"
    assert [s.tokens for s in read_conll2003(write(text))] == [("Rome",), ("Paris",)]
    assert [s.tags for s in read_conll2003(write(text))] == [("S-LOC",), ("S-LOC",)]


def test_an_unknown_scheme_is_refused_before_a_line_is_read(write: Write) -> None:
    for read in (read_columns, read_conll2003):
        with pytest.raises(ValueError, match="a scheme of tags is one of IOB1, IOB2, BIOES: got 'BILOU'"):
            next(read(write("no columns at all\n"), scheme="BILOU"))  # type: ignore[arg-type]


TREE = """# sent_id = 1
1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_
1\tde\tde\tADP\tP\t_\t3\tcase\t_\t_
2\tle\tle\tDET\tD\t_\t3\tdet\t_\t_
2.1\tx\tx\tVERB\tV\t_\t_\t_\t_\t_
3\tpain\tpain\tNOUN\tN\t_\t0\troot\t_\t_

1\tbon\tbon\tADJ\tA\t_\t0\troot\t_\t_
"""


def test_conllu_keeps_the_words_of_the_syntax(write: Write) -> None:
    assert [s.tags for s in read_conllu(write(TREE))] == [("ADP", "DET", "NOUN"), ("ADJ",)]
    assert [s.tokens for s in read_conllu(write(TREE), column="xpos")] == [("de", "le", "pain"), ("bon",)]
    assert [s.tags for s in read_conllu(write(TREE), column="xpos")] == [("P", "D", "N"), ("A",)]
    with pytest.raises(ValueError, match="column='feats'"):
        read_conllu(write(TREE), column="feats")


def test_untagged_text_is_a_sentence_a_line(write: Write) -> None:
    assert list(read_tokens(write("a b\n\nc\u00a0d  e\n"))) == [("a", "b"), ("c\u00a0d", "e")]


FAULTS = {
    "ragged": (
        read_columns,
        "secret\tO\n\nsecret\tO\tO\n",
        "line 3: expected 2 columns with one tab between two, got 3",
    ),
    "no tab": (read_columns, "secret\tO\nsecret O\n", "line 2: expected 2 columns with one tab between two, got 1"),
    "no tag": (read_columns, "secret\t\n", "line 1: expected 2 columns .* got 2 with 1 empty"),
    "no sentence": (read_columns, "\n\n", "some.txt holds no sentence"),
    "three columns": (
        read_conll2003,
        "a NNP O O\nsecret NNP O\n",
        "line 2: expected 4 columns with one space .* got 3",
    ),
    "no entity": (read_conll2003, "secret NNP O NNP\n", "line 1: expected O, or one of B I E S, .* got tag 'NNP'"),
    "documents alone": (read_conll2003, "-DOCSTART- -X- O O\n\n", "holds no sentence"),
    "blank": (read_masked, "a ||| N\n\nsecret ||| N\n", r"line 2: expected tokens, ' \|\|\| ' and tags, got 0 times"),
    "two bars": (read_masked, "secret ||| N ||| N\n", "line 1: .* got 2 times"),
    "unequal": (read_masked, "a ||| N\nsecret secret ||| N\n", "line 2: expected as many tags .* 2 tokens and 1 tags"),
    "two spaces": (read_masked, "secret  a ||| N N N\n", "line 1: .* 3 tokens and 3 tags, 1 of them empty"),
    "empty sentence": (read_masked, " ||| \n", "line 1: .* 2 of them empty"),
    "nothing": (read_masked, "", "holds no sentence"),
    "nine columns": (
        read_conllu,
        TREE + "2\tsecret\t_\tX\t_\t_\t0\t_\t_\n",
        "line 9: expected the 10 columns .* got 9",
    ),
    "numbers": (
        read_conllu,
        TREE.replace("3\tpain", "4\tpain"),
        "line 6: expected word 3 of the sentence, got number '4'",
    ),
    "no tags": (read_conllu, TREE.replace("ADJ", "_"), "line 8: expected a tag in column 4, got '_'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_is_one_error_with_its_line_and_without_its_text(name: str, write: Write) -> None:
    read, text, said = FAULTS[name]
    with pytest.raises(ValueError, match=said) as caught:
        list(read(write(text)))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "read, text, line",
    [
        (read_columns, "a\tN\n\nb\tW\n", 3),
        (read_masked, "a ||| N\nb ||| W\n", 2),
        (read_conllu, TREE.replace("NOUN", "W"), 6),
    ],
)
def test_a_tag_outside_the_set_is_named_with_its_line(read: Callable, text: str, line: int, write: Write) -> None:
    known = ("N", "ADP", "DET", "NOUN", "ADJ")
    with pytest.raises(ValueError, match=rf"line {line}: expected one of the 5 tags N, ADP, .*, got tag 'W'"):
        list(read(write(text), tags=known))


def test_a_type_outside_the_set_is_refused_though_its_letter_is_converted(write: Write) -> None:
    known = ("O", "S-ORG", "B-ORG", "I-ORG", "E-ORG")
    (one,) = read_columns(write("a\tI-ORG\n"), tags=known, scheme="BIOES")
    assert one.tags == ("S-ORG",)
    with pytest.raises(ValueError, match=r"line 1: expected one of the 5 tags O, S-ORG, .* got tag 'I-LOC'"):
        list(read_columns(write("a\tI-LOC\n"), tags=known, scheme="BIOES"))


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("a\tN\ncafé\tN\n".encode("latin-1"))
    with pytest.raises(
        ValueError, match=r"latin\.txt, line 2: expected text in UTF-8, got byte 0xe9 at position 3\. Save"
    ):
        list(read_columns(path))


LONG: dict[str, tuple[Callable[[Path], Iterator[Any]], str, int]] = {
    "columns": (read_columns, "word{k}\tN\nw{k}\tV\n\n", 2),
    "masked": (read_masked, "word{k} w{k} ||| N V\n", 2),
    "CoNLL-2003": (read_conll2003, "word{k} NN B-NP I-ORG\nw{k} VB B-VP O\n\n", 2),
    "CoNLL-U": (read_conllu, "1\tword{k}\t_\tNOUN\t_\t_\t0\troot\t_\t_\n\n", 1),
    "tokens": (read_tokens, "word{k} w{k}\n", 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LONG)
def test_a_hundred_thousand_sentences_stream_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    read, sentence, n_tokens = LONG[kind]
    path, limit = tmp_path / "long.txt", 500_000  # bytes; the files have 1.9 to 5.3 million
    with path.open("w") as file:
        file.writelines(sentence.format(k=k) for k in range(100_000))
    tracemalloc.start()
    try:
        assert sum(len(sentence) for sentence in read(path)) == 100_000 * n_tokens
        assert tracemalloc.get_traced_memory()[1] < limit
        kept = [sentence for sentence, _ in zip(read(path), range(5_000), strict=False)]
        assert len(kept) == 5_000
        assert tracemalloc.get_traced_memory()[1] > limit, "the limit is one that keeping a twentieth would break"
    finally:
        tracemalloc.stop()


def test_every_reader_is_a_generator_that_reads_as_it_goes(write: Write) -> None:
    """The fault in the last line is met when it is reached, not before."""
    for read, text in ((read_columns, "a\tN\n\nb\n"), (read_masked, "a ||| N\nb\n"), (read_conllu, TREE + "3\n")):
        assert len(next(iter(read(write(text))))) > 0
