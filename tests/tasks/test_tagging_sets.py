"""Published sets: addresses and hashes, splits on small files, counts where the published files are at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from ebm_course import runtime
from ebm_course.files import DataFile
from ebm_course.tasks import tagging_sets
from ebm_course.tasks.sentences import Sentence, Sentences
from ebm_course.tasks.tagging_features import normal
from ebm_course.tasks.tagging_sets import (
    SPLITS,
    TWEET_TAGS,
    UNIVERSAL_TAGS,
    conll2003,
    prepared,
    treebank,
    tweet_clusters,
    twitter_pos,
    unlabelled_tweets,
    wnut17,
)
from ebm_course.tasks.tagging_sources import CLUSTERS, MASKED, RAW, UNLABELLED, WNUT

ALL = (*RAW.values(), *MASKED.values(), UNLABELLED, CLUSTERS, *WNUT)


def test_every_file_has_its_own_place_public_address_and_hash() -> None:
    assert len({file.name for file in ALL}) == len({file.url for file in ALL}) == len(ALL) == 15
    for file in ALL:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert re.fullmatch(r"https://raw\.githubusercontent\.com/[\w./-]+", file.url)
        assert file.name.rpartition("/")[2] == file.url.rpartition("/")[2]


def test_the_tag_sets_have_their_published_sizes() -> None:
    assert len(set(TWEET_TAGS)) == 25 and len(set(UNIVERSAL_TAGS)) == 17
    assert {name for parts in SPLITS.values() for name in parts} == set(RAW) == set(MASKED)


def test_the_papers_group_trains_on_training_and_validation_tweets_and_selects_on_what_others_test_on() -> None:
    assert SPLITS["paper"] == ("oct27.traindev", "oct27.test", "daily547")
    assert SPLITS["plain"] == ("oct27.train", "oct27.dev", "oct27.test")


# On small files in the places of the published ones.


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Text by a file's name; what is not named there is an error."""
    texts: dict[str, str] = {}

    def fetch(file: DataFile) -> Path:
        path = tmp_path / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[file.name])
        return path

    monkeypatch.setattr(tagging_sets, "fetch", fetch)
    return texts


@pytest.mark.parametrize("masked", [True, False])
def test_a_split_names_its_three_files(masked: bool, small: dict[str, str]) -> None:
    for k, name in enumerate(RAW):
        small[MASKED[name].name] = f"{name} <@MENTION> ||| N @\n" * (k + 1)
        small[RAW[name].name] = f"{name.upper()}\tN\n@someone\t@\n\n" * (k + 1)
    for split, names in SPLITS.items():
        made = twitter_pos(split, masked=masked, clusters=False, least=1)  # type: ignore[arg-type]
        assert made.task.name == f"twitter-pos-{split}" and made.task.n_values == 25
        for part, name in zip((made.train, made.valid, made.test), names, strict=True):
            assert len(part) == list(RAW).index(name) + 1 and normal(part.tokens[0][0]) == name
        assert made.vocabulary.values[0][0] == "<@MENTION>", "a name is masked as a feature in both forms"
    with pytest.raises(ValueError, match="splits paper, plain: got 'random'"):
        twitter_pos("random")  # type: ignore[arg-type]


def test_clusters_add_their_columns(small: dict[str, str]) -> None:
    for name in RAW:
        small[MASKED[name].name] = "dog ||| N\n"
    small[CLUSTERS.name] = "0010111\tdog\t3\n"
    made = twitter_pos(affixes=True, shape=True, case=True, least=1)
    assert made.task.train.x.shape == (1, 1, 1 + 5 + 6 + 1 + 1)
    assert tweet_clusters().paths == {"dog": "0010111"}


def test_entities_are_converted_and_scored_whole(small: dict[str, str]) -> None:
    for file in WNUT:
        small[file.name] = "in\tO\nNew\tB-location\nYork\tI-location\n"
    made = wnut17(clusters=False)
    assert made.train.tags == (("O", "B-location", "E-location"),) and made.task.n_values == 25
    assert made.task.score(made.task.test.y, made.task.test)["f1"] == 1.0
    assert wnut17(clusters=False, scheme="IOB2").task.n_values == 13
    with pytest.raises(ValueError, match="one of IOB1, IOB2, BIOES: got 'IOBES'"):
        wnut17(clusters=False, scheme="IOBES")  # type: ignore[arg-type]


def test_conll_2003_and_a_treebank_are_read_from_a_folder_of_the_users(tmp_path: Path) -> None:
    said = f"expected 3 files in {re.escape(str(tmp_path))}: eng.train, eng.testa, eng.testb not found there"
    with pytest.raises(FileNotFoundError, match=said):
        conll2003(tmp_path)
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / name).write_text("-DOCSTART- -X- O O\n\nRome NNP I-NP I-LOC\n")
    made = conll2003(tmp_path, shape=True)
    assert made.train.tags == (("S-LOC",),) and made.task.n_values == 17 and made.task.train.x.shape == (1, 1, 2)
    for part in ("train", "dev", "test"):
        (tmp_path / f"fr-ud-{part}.conllu").write_text("1\tpain\tpain\tNOUN\tN\t_\t0\troot\t_\t_\n")
    assert treebank(tmp_path, prefix="fr-ud").train.tags == (("NOUN",),)
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path}: en_ewt-ud-train.conllu, en_ewt-ud-dev")):
        treebank(tmp_path)


def test_vectors_number_the_words_of_all_parts_that_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging_sets, "with_vectors", lambda words: [w for w in words if w != "qzx"])
    parts = [Sentences.of([Sentence((word,), ("N",))]) for word in ("Dog", "cat", "qzx")]
    assert prepared("some", parts).vocabulary.values[0] == ()
    assert prepared("some", parts, vectors=True).vocabulary.values[0] == ("cat", "dog")


# On the published files, where EBM_COURSE_DATA names a folder that holds them.


@pytest.fixture
def real() -> Path:
    folder = runtime.data_folder()
    if folder is None or not all((folder / file.name).is_file() for file in ALL):
        pytest.skip("EBM_COURSE_DATA names no folder with the published files")
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("real")
def test_the_published_files_have_the_published_counts_and_both_forms_of_a_tweet_agree() -> None:
    counts = {"paper": [1327, 500, 547], "plain": [1000, 327, 500]}
    for split, expected in counts.items():
        masked, raw = (twitter_pos(split, masked=form) for form in (True, False))  # type: ignore[arg-type]
        for n, one, other in zip(
            expected, (masked.train, masked.valid, masked.test), (raw.train, raw.valid, raw.test), strict=True
        ):
            assert len(one) == len(other) == n and one.tags == other.tags
            tokens = [
                (a, normal(b))
                for row, raw_row in zip(one.tokens, other.tokens, strict=True)
                for a, b in zip(row, raw_row, strict=True)
            ]
            assert sum(a != b for a, b in tokens) <= len(tokens) / 1000
        known = masked.task.test.x[masked.task.test.mask][:, 5] > 0
        assert 0.9 < float(known.double().mean()) < 0.98
    made = wnut17()
    assert [len(part) for part in (made.train, made.valid, made.test)] == [3394, 1009, 1287]
    assert len(list(unlabelled_tweets())) == 3000 and len(tweet_clusters().paths) == 111_844


@pytest.mark.slow
def test_a_treebank_on_this_machine_has_its_published_counts() -> None:
    folder = runtime.data_folder()
    if folder is None or not (folder / "ud-ewt").is_dir():
        pytest.skip("EBM_COURSE_DATA names no folder with a treebank")
    made = treebank(folder / "ud-ewt")
    assert [len(part) for part in (made.train, made.valid, made.test)] == [12_544, 2_001, 2_077]
    assert torch.equal(made.task.valid.lengths, torch.tensor([len(s) for s in made.valid]))
