"""Sets of texts by name: where rows come from, that no two parts share one, and what is said where one is missing."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from ebm_course.tasks import text, text_sources
from ebm_course.tasks.text import PAPER, ag_news, parts_of, sst2, toy, yahoo_answers, yelp_polarity
from ebm_course.tasks.text_sources import AG_NEWS, PHRASES, SENTENCES, YAHOO, YELP
from ebm_course.tasks.words import Words

N = 300


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with small files of every set."""
    monkeypatch.setenv("EBM_COURSE_DATA", str(tmp_path))
    for source, n_texts in ((AG_NEWS, 2), (YELP, 1), (YAHOO, 3)):
        k = len(source.classes)
        (tmp_path / source.folder).mkdir()
        for part, n in (("train", N), ("test", 60)):
            fields = ",".join('"word{0}"' for _ in range(n_texts))
            rows = (f'"{1 + i % k}",{fields.format(f"{part}{i}")}\n' for i in range(n))
            (tmp_path / source.folder / f"{part}.csv").write_text("".join(rows))
    (tmp_path / "sst2").mkdir()
    for name, n in (("train", N), ("dev", 40), ("test", 60)):
        (tmp_path / "sst2" / f"stsa.binary.{name}").write_text("".join(f"{i % 2} {name}{i} film\n" for i in range(n)))
    for name, n in (("train", N), ("dev", 40)):
        rows = (f"{name}{i} phrase\t{i % 2}\n" for i in range(n))
        (tmp_path / "sst2" / f"{name}.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    return tmp_path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data folder, and no library that loads sets."""
    monkeypatch.delenv("EBM_COURSE_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)


def hub(monkeypatch: pytest.MonkeyPatch, rows: list[dict]) -> list[tuple[str, str]]:
    """A library of sets with these rows in every part, and what it is asked for."""
    asked: list[tuple[str, str]] = []
    library = ModuleType("datasets")

    def load_dataset(name: str, *, split: str) -> list[dict]:
        asked.append((name, split))
        return rows

    library.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", library)
    return asked


def test_the_toy_is_repeatable_and_its_parts_do_not_depend_on_one_another() -> None:
    first, again, other = (toy(n_train=n, n_valid=30, n_test=30, seed=s) for n, s in ((40, 0), (40, 0), (50, 1)))
    assert torch.equal(first.train.x, again.train.x) and torch.equal(first.train.y, again.train.y)
    more = toy(n_train=50, n_valid=30, n_test=30)
    assert torch.equal(more.train.y[:40], first.train.y) and torch.equal(more.test.x, first.test.x)
    assert first.texts(first.test) != other.texts(other.test)
    assert not (first.test.x == 1).any(), "no word of the language is unknown"


def test_no_two_parts_of_the_toy_of_any_seeds_come_from_one_stream() -> None:
    tasks = [toy(n_train=20, n_valid=20, n_test=20, seed=seed) for seed in range(4)]  # runs have neighbouring seeds
    parts = [tuple(task.texts(part)) for task in tasks for part in (task.train, task.valid, task.test)]
    assert len(set(parts)) == len(parts) == 12


@pytest.mark.usefixtures("data")
def test_every_set_is_read_in_the_sizes_asked_for() -> None:
    for make, k in ((ag_news, 4), (yelp_polarity, 2), (yahoo_answers, 10)):
        task = make(n_train=100, n_valid=20, n_test=30, max_length=16)
        assert [len(part) for part in (task.train, task.valid, task.test)] == [100, 20, 30]
        assert task.n_values == k == len(task.classes)
        assert set(task.test.y.tolist()) <= set(range(k)) and task.train.x.shape[1] <= 16


@pytest.mark.usefixtures("data")
def test_validation_rows_are_neither_training_nor_test_rows() -> None:
    for source in (AG_NEWS, PHRASES):
        train, valid, test = parts_of(source, (200, 50, None), seed=3)
        assert (len(train), len(valid)) == (200, 50)
        assert not set(train) & set(valid) and not set(test) & set(train + valid)
        assert len(set(train)) == 200
        again, _, _ = parts_of(source, (200, 50, None), seed=4)
        assert train != again == parts_of(source, (200, 50, None), seed=4)[0]
    (*_, test), (*_, other) = (parts_of(YELP, (200, 50, 20), seed=seed) for seed in (3, 4))
    assert len(test) == len(other) == 20 and test != other  # the seed draws these as well
    train, valid, test = parts_of(AG_NEWS, (None, 50, None), seed=3)
    assert (len(train), len(valid), len(test)) == (N - 50, 50, 60)
    assert valid != parts_of(AG_NEWS, (None, 50, None), seed=4)[1]


@pytest.mark.usefixtures("data")
def test_both_forms_of_sst2_have_their_own_rows() -> None:
    sentences = sst2(max_length=32)
    assert [len(part) for part in (sentences.train, sentences.valid, sentences.test)] == [N, 40, 60]
    assert sentences.texts(sentences.valid)[3] == "dev3 film" and sentences.valid.y[3] == 1
    phrases = sst2("phrases", n_valid=100, max_length=32)
    assert [len(part) for part in (phrases.train, phrases.valid, phrases.test)] == [N - 100, 100, 40]
    assert phrases.texts(phrases.test)[0] == "dev0 phrase"
    with pytest.raises(ValueError, match="SST-2 has the forms sentences and phrases: got 'words'"):
        sst2("words")  # type: ignore[arg-type]


@pytest.mark.usefixtures("data")
def test_subwords_are_made_of_training_texts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    trained = text.Subwords.trained

    def spy(texts):
        seen.extend(texts := list(texts))
        return trained(texts)

    monkeypatch.setattr(text.Subwords, "trained", spy)
    task = ag_news(n_train=100, n_valid=50)
    assert len(seen) == 100
    assert set(seen) == set(task.texts(task.train)) and not set(seen) & set(task.texts(task.valid))


@pytest.mark.usefixtures("data")
def test_a_given_tokenizer_numbers_the_texts() -> None:
    task = sst2(tokenizer=Words(("film",)), n_valid=40)
    assert task.n_tokens == 6 and task.test.x[0].tolist() == [2, 1, 5, 3]


def test_a_folder_that_is_named_must_hold_the_files(data: Path) -> None:
    assert len(ag_news(folder=data / "ag-news", n_train=10, n_valid=10).train) == 10
    with pytest.raises(FileNotFoundError, match=r"expected the files train.csv and test.csv or train.txt and test.txt"):
        ag_news(folder=data / "sst2")


@pytest.mark.usefixtures("nowhere")
def test_a_set_that_is_nowhere_says_where_to_put_it() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"yelp-polarity is not there: expected train.csv and test.csv in .*hub"
    ):
        yelp_polarity()


@pytest.mark.usefixtures("nowhere")
def test_sentences_of_sst2_are_downloaded_one_file_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(file):
        asked.append(file.name)
        path = tmp_path / "some"
        path.write_text("1 a good film\n")
        return path

    monkeypatch.setattr(text_sources, "fetch", fetch)
    assert list(SENTENCES.rows()["valid"]()) == [("a good film", 1)]
    assert asked == ["sst2/stsa.binary.dev"]


@pytest.mark.usefixtures("nowhere")
def test_a_set_of_the_hub_streams_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"question_title": "why", "question_content": "", "best_answer": "so\\nit is", "topic": 7}
    asked = hub(monkeypatch, [row] * 40)
    train, valid, test = parts_of(YAHOO, (20, 10, 5), seed=0)
    assert (len(train), len(valid), test[0]) == (20, 10, ("why so it is", 7))
    assert sorted(asked) == [(YAHOO.hub, "test"), (YAHOO.hub, "train")]


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    "source, splits",
    [  # GLUE's test rows have no labels: the 872 sentences on which the paper reports are its validation split
        (PHRASES, {"train": "train", "test": "validation"}),
        (SENTENCES, {"train": "train", "valid": "validation", "test": "test"}),
        (AG_NEWS, {"train": "train", "test": "test"}),
        (YELP, {"train": "train", "test": "test"}),
        (YAHOO, {"train": "train", "test": "test"}),
    ],
)
def test_each_part_is_its_own_split_of_the_hub(
    source: text_sources.Source, splits: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {**dict.fromkeys(source.hub_texts, "good film"), source.hub_label: 1}
    asked = hub(monkeypatch, [row])
    read = dataclasses.replace(source, published=None).rows()
    for part, split in splits.items():
        assert next(iter(read[part]()))[1] == 1 and asked[-1] == (source.hub, split)  # type: ignore[index]
    assert read.keys() == splits.keys()


def test_a_backslash_of_the_news_ends_a_line_in_both_forms_and_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "lines").mkdir()
    for part in ("train", "test"):
        (tmp_path / "csv" / f"{part}.csv").write_text('"1","a","line\\next"\n')
        (tmp_path / "lines" / f"{part}.txt").write_text("1\ta line\\next\n")
    for form in ("csv", "lines"):
        assert list(AG_NEWS.rows(folder=tmp_path / form)["test"]()) == [("a line next", 0)]
    monkeypatch.delenv("EBM_COURSE_DATA", raising=False)
    hub(monkeypatch, [{"text": "a line\\next", "label": 0}])
    assert list(AG_NEWS.rows()["test"]()) == [("a line next", 0)]


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    "row, said",
    [
        ({"label": 0}, "row 1: expected a column 'text', got label"),
        ({"text": "a", "label": 2}, "row 1: expected a text and a label of 0 to 1, got a text and 2"),
        ({"text": " ", "label": 1}, "row 1: expected a text and a label of 0 to 1, got no text and 1"),
        ({"text": None, "label": 1}, "row 1: expected a text and a label of 0 to 1, got no text and 1"),
        ({"text": "a", "label": 1.0}, r"row 1: expected a text and a label of 0 to 1, got a text and 1\.0"),
    ],
)
def test_a_row_of_the_hub_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, row: dict, said: str) -> None:
    hub(monkeypatch, [row] * 9)
    with pytest.raises(ValueError, match=said):
        yelp_polarity(n_train=2, n_valid=2, n_test=2)


@pytest.mark.usefixtures("nowhere")
def test_a_missing_field_of_the_hub_is_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, [{"question_title": "why", "question_content": None, "best_answer": "so", "topic": 7}])
    assert list(YAHOO.rows()["test"]()) == [("why so", 7)]


@pytest.mark.usefixtures("nowhere")
def test_a_hub_without_a_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("datasets")
    monkeypatch.setitem(sys.modules, "datasets", library)  # load_dataset is not even there
    with pytest.raises(ConnectionError, match=r"fancyzhx/yelp_polarity could not be loaded \(AttributeError\)"):
        yelp_polarity()


@pytest.mark.usefixtures("data")
def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="n_train is a whole number: expected 1 or larger, got 0"):
        ag_news(n_train=0)
    with pytest.raises(ValueError, match=f"expected {N + 1} rows to draw, got {N}"):
        ag_news(n_train=N - 9, n_valid=10)
    with pytest.raises(ValueError, match=f"taken from the {N} training rows: got n_valid={N}"):
        ag_news(n_valid=N)
    for sizes, name in (
        ((2, -1, None), "n_valid"),
        (("2", 1, 1), "n_train"),
        ((2, 1.5, 1), "n_valid"),
        ((2, 1, -1), "n"),
    ):
        with pytest.raises(ValueError, match=f"^{name} is a whole number: expected 0 or larger"):
            parts_of(AG_NEWS, sizes, seed=0)  # type: ignore[arg-type]


def test_the_paper_s_sizes_fit_what_was_published() -> None:
    sst = PAPER["sst2"]
    assert sst["n_train"] + sst["n_valid"] == 67_349 and sst["n_test"] == 872  # type: ignore[operator]
    assert {name: sizes["n_train"] for name, sizes in PAPER.items() if name != "sst2"} == dict.fromkeys(
        ("ag-news", "yelp", "yahoo"), 60_000
    )
    assert len(SENTENCES.published[0]) == 3  # type: ignore[index]
