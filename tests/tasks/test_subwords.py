"""Subwords: no text is unknown, training is deterministic, and an encoder's file has the same face."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ebm_course.tasks.subwords import Subwords

TEXTS = ["A gripping film.", "a dull film, and a dull plot", "The plot grips; the cast is fine."] * 3


def test_every_text_goes_there_and_back_in_lower_case() -> None:
    subwords = Subwords.trained(TEXTS, n_tokens=300)
    texts = ["a gripping plot", "naïve 電影 ☺", "x"]
    tokens, mask = subwords.encode(texts, max_length=64)
    assert subwords.decode(tokens, mask) == texts
    assert not (tokens == subwords.unknown).any()
    assert subwords.decode(*subwords.encode([" a \t\n film"], max_length=64)) == ["a film"]
    assert (tokens[:, 0] == subwords.start).all() and (tokens[~mask] == subwords.pad).all()
    assert subwords.decode(*subwords.encode(["A FILM"], max_length=64)) == ["a film"]
    kept = Subwords.trained(TEXTS, n_tokens=300, lowercase=False)
    assert kept.decode(*kept.encode(["A FILM"], max_length=64)) == ["A FILM"]


def test_frequent_words_become_one_number() -> None:
    subwords = Subwords.trained(TEXTS, n_tokens=320)
    tokens, _ = subwords.encode(["film"], max_length=9)
    assert tokens.shape == (1, 3)


def test_training_gives_the_same_numbers_in_another_process() -> None:
    code = f"""
from ebm_course.tasks.subwords import Subwords
print(Subwords.trained({TEXTS!r}, n_tokens=300).tokenizer.to_str())
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(run.stdout) == json.loads(Subwords.trained(TEXTS[::-1], n_tokens=300).tokenizer.to_str())


def test_a_file_gives_the_same_tokenizer_whatever_padding_it_asks_for(tmp_path: Path) -> None:
    subwords, path = Subwords.trained(TEXTS, n_tokens=300), tmp_path / "tokenizer.json"
    tokens, mask = subwords.encode(TEXTS, max_length=32)
    subwords.tokenizer.enable_padding(length=99)
    subwords.tokenizer.enable_truncation(max_length=4)
    subwords.save(path)
    again = Subwords.read(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert all((a == b).all() for a, b in zip(again.encode(TEXTS, max_length=32), (tokens, mask), strict=True))
    assert len(again) == len(subwords)


def test_a_file_that_is_another_or_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(FileNotFoundError, match=r"there is no file tokenizer.json"):
        Subwords.read(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"has SHA-256 44136fa355\w+, expected 0000"):
        Subwords.read(path, sha256="0" * 64)
    with pytest.raises(ValueError, match=r"tokenizer.json is no tokenizer: expected JSON of the library tokenizers"):
        Subwords.read(path)


def test_a_tokenizer_without_a_special_token_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    Subwords.trained(TEXTS, n_tokens=300).save(path)
    path.write_text(path.read_text().replace("[SEP]", "[END]"))
    with pytest.raises(ValueError, match=r"found no end token \(\[SEP\] or </s>\)"):
        Subwords.read(path)


def test_no_texts_and_too_small_a_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="subwords are made of training texts, got none"):
        Subwords.trained([])
    with pytest.raises(ValueError, match="bytes and special tokens are 261: got n_tokens=260"):
        Subwords.trained(TEXTS, n_tokens=260)
    with pytest.raises(ValueError, match="got text 1 of 1 without one"):
        Subwords.trained(TEXTS, n_tokens=261).encode([" \n"], max_length=9)
