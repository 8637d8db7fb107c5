"""Every published set, from a folder of a user's, with the small encoder and with ALBERT's: each runs end to end.

Files hold a few invented texts, and trainings make a few updates: what is left to a reader is time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.text.arms import TABLE
from ebm_course.experiments.text.config import CPU, PAPER, SMOKE, Config
from ebm_course.experiments.text.experiment import EXPERIMENT
from ebm_course.experiments.text.sets import ALBERT, encoder_of
from ebm_course.recipes.text import sets
from ebm_course.runtime import setup
from ebm_course.tasks import sentiment_language, text
from ebm_course.tasks.subwords import Subwords
from ebm_course.tasks.text import yahoo_answers, yelp_polarity

SIZES: dict[str, int | None] = {"n_train": 24, "n_valid": 12, "n_test": 16}
FEW: dict[str, Any] = {"n_steps": 4, "warm_up": 1, "validate_every": 2, "contrast_after": 2, "batch_size": 8}
FEW |= {"n_negatives": 10, "precision": "float32"}
SMALL_TASKS = {
    "yelp": partial(yelp_polarity, **SIZES, max_length=24),
    "yahoo": partial(yahoo_answers, **SIZES, max_length=24),
}
CLASSES = {"ag-news": 4, "yelp": 2, "yahoo": 10, "sst2": 2}
FIELDS = {"ag-news": 2, "yelp": 1, "yahoo": 3}
FOLDERS = {"ag-news": "ag-news", "yelp": "yelp-polarity", "yahoo": "yahoo-answers"}


def texts(n: int, seed: int = 0) -> list[str]:
    return [" ".join(words) for words, _ in sentiment_language.labelled(n, random.Random(seed), noise=0.0)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as ``EBM_COURSE_DATA`` names one, in the forms in which the sets are published."""
    folder = tmp_path / "data"
    for name, n_fields in FIELDS.items():
        (folder / FOLDERS[name]).mkdir(parents=True)
        for part, n in (("train", 1_100 if name == "ag-news" else 60), ("test", 40)):
            rows = enumerate(texts(n, seed=len(part)))
            lines = (",".join(f'"{x}"' for x in (k % CLASSES[name] + 1, *[line] * n_fields)) for k, line in rows)
            (folder / FOLDERS[name] / f"{part}.csv").write_text("\n".join(lines) + "\n")
    (folder / "sst2").mkdir()
    for part, n in (("train", 930), ("dev", 30)):  # 872 rows are taken out to validate
        lines = (f"{line}\t{k % 2}" for k, line in enumerate(texts(n, seed=len(part))))
        (folder / "sst2" / f"{part}.tsv").write_text("\n".join(("sentence\tlabel", *lines)) + "\n")
    monkeypatch.setenv("EBM_COURSE_DATA", str(folder))
    for name in ("sst2", "ag-news", "yelp", "yahoo"):
        monkeypatch.setitem(text.PAPER, name, SIZES)
    sets.made.cache_clear()
    yield folder
    sets.made.cache_clear()


@pytest.fixture
def albert(data: Path) -> Path:
    """ALBERT's three files, of a tiny net with random weights."""
    transformers = pytest.importorskip("transformers", reason="the extra encoder is not installed")
    subwords = Subwords.trained(texts(200), n_tokens=300)
    sizes = {"vocab_size": len(subwords), "embedding_size": 8, "hidden_size": 16, "num_attention_heads": 2}
    torch.manual_seed(0)
    net = transformers.AlbertModel(transformers.AlbertConfig(**sizes, num_hidden_layers=1, intermediate_size=16))
    folder = data / ALBERT
    net.save_pretrained(folder, safe_serialization=True)
    subwords.tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def small(config: Config, name: str) -> Config:
    """One run of the rows of the paper's table on one set, a few updates each; texts of the preset, or fewer."""

    def few(variant: Any) -> Any:
        fields = {key: value for key, value in FEW.items() if hasattr(variant.config, key)}
        task = SMALL_TASKS.get(name)
        return replace(variant, config=replace(variant.config, **fields, **({} if task is None else {"task": task})))

    arms = tuple(few(arm) for arm in config.arms(name) if arm.name.partition("/")[2] in TABLE)
    judge = config.judge(name)
    sizes = {"n_runs": 1, "n_attacked": 8, "n_attack_steps": 1}
    return replace(config, data=(name,), variants=arms, judges=() if judge is None else (few(judge),), **sizes)


def run(config: Config, name: str, folder: Path) -> set[str]:
    few = small(config, name)
    found = reproduce(EXPERIMENT, few, setup(0, device="cpu", quiet=True), folder=folder, progress=False)
    names = {entry.name for entry in found.entries}
    radius = max(few.radii_of(name))
    assert {f"{name}/{arm}/{what}" for arm in TABLE for what in ("accuracy", f"pgd-{radius:g}", "text-norm")} <= names
    assert f"{name}/rar/reconstructed-0/meaning" in names
    return names


@pytest.mark.parametrize("name", ["ag-news", "yelp", "yahoo"])
def test_a_set_from_a_users_folder_runs_with_the_small_encoder(data: Path, tmp_path: Path, name: str) -> None:
    names = run(CPU, name, tmp_path / "work")
    assert (f"claims/{name}/freelb-robust" in names) == (name == "ag-news")


@pytest.mark.parametrize("name", CLASSES)
def test_a_set_from_a_users_folder_has_a_smoke_run(data: Path, tmp_path: Path, name: str) -> None:
    for part in ("train", "dev", "test"):
        if name == "sst2":  # in whole sentences
            lines = (f"{k % 2} {line}" for k, line in enumerate(texts(300, seed=len(part))))
            (data / "sst2" / f"stsa.binary.{part}").write_text("\n".join(lines) + "\n")
        elif part != "dev":
            rows = (
                ",".join(f'"{x}"' for x in (k % CLASSES[name] + 1, *[line] * FIELDS[name]))
                for k, line in enumerate(texts(300))
            )
            (data / FOLDERS[name] / f"{part}.csv").write_text("\n".join(rows) + "\n")
    config = replace(SMOKE, data=(name,), n_runs=1)
    found = reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=tmp_path / "work", progress=False)
    sizes = {entry.name: entry.values for entry in found.entries if entry.name.startswith(f"{name}/texts/")}
    assert sizes == {f"{name}/texts/train": (200,), f"{name}/texts/valid": (40,), f"{name}/texts/test": (60,)}
    assert {f"{name}/{arm}/accuracy" for arm in TABLE} <= {entry.name for entry in found.entries}


@pytest.mark.parametrize("name", [name for name in PAPER.data if encoder_of(name) == ALBERT])
def test_a_set_runs_with_albert_from_a_users_folder(albert: Path, tmp_path: Path, name: str) -> None:
    run(PAPER, name, tmp_path / "work")


def test_a_folder_of_albert_that_lacks_a_file_is_refused_in_one_sentence(data: Path) -> None:
    (data / ALBERT).mkdir()
    (data / ALBERT / "config.json").write_text(json.dumps({}))
    with pytest.raises(FileNotFoundError, match=r"holds no model.safetensors and no tokenizer.json: expected config"):
        sets.albert_subwords()
