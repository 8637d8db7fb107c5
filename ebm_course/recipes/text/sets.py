"""The texts and the encoders of the recipes, by a function's name: sets are called with the run's seed, read once.

It knows tasks and encoders; no loss.

What each asks of its task; nothing is read here:

>>> from unittest.mock import patch
>>> with patch("ebm_course.recipes.text.sets.made", lambda task, **how: (task.__name__, how)):
...     for source in (opinions, film_reviews, phrases, news, film_reviews_for_minilm):
...         print(source.__name__, *source(seed=3))
opinions toy {'seed': 3}
film_reviews sst2 {}
phrases _phrases_for_albert {'seed': 3}
news ag_news {'n_train': 60000, 'n_valid': 2000, 'n_test': 2000, 'seed': 3}
film_reviews_for_minilm _reviews_for_minilm {}
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ebm_course.energies.hugging_face_classifier import HuggingFaceClassifier, pretrained
from ebm_course.energies.minilm import minilm, minilm_tokenizer
from ebm_course.energies.text_energy import TextEnergy
from ebm_course.runtime import data_folder
from ebm_course.tasks import text
from ebm_course.tasks.subwords import Subwords
from ebm_course.tasks.text import PAPER, Text

ALBERT = "albert-base-v2"
ALBERT_FILES = ("config.json", "model.safetensors", "tokenizer.json")


@lru_cache(maxsize=4)
def made(task: Callable[..., Text], /, **how: Any) -> Text:
    """The task, read once: files and subwords of large sets take seconds.

    >>> task = made(text.toy, n_train=20, n_valid=5, n_test=5)
    >>> len(task.train), made(text.toy, n_train=20, n_valid=5, n_test=5) is task
    (20, True)
    """
    return task(**how)


def opinions(*, seed: int) -> Text:
    """2,000 opinions of the embedded language, others for every seed; no download."""
    return made(text.toy, seed=seed)


def film_reviews(*, seed: int) -> Text:
    """SST-2 in 6,920 whole sentences and its published split; the same for every seed."""
    return made(text.sst2)


def phrases(*, seed: int) -> Text:
    """SST-2 in GLUE's form and the paper's, in subwords of ALBERT; needs the extra ``encoder``, and a network once."""
    return made(_phrases_for_albert, seed=seed)


def news(*, seed: int) -> Text:
    """AG News in the paper's sizes, other rows for every seed."""
    return made(text.ag_news, **PAPER["ag-news"], seed=seed)


def film_reviews_for_minilm(*, seed: int) -> Text:
    """``film_reviews`` in the subwords of MiniLM; needs its package."""
    return made(_reviews_for_minilm)


def pretrained_minilm(n_tokens: int, n_classes: int, *, max_length: int) -> TextEnergy:
    """The first three layers of MiniLM, for texts in its subwords.

    >>> from unittest.mock import patch
    >>> from ebm_course.energies.text_classifier import TextClassifier
    >>> small = TextClassifier(n_tokens=30, n_classes=2, width=16)
    >>> with patch("ebm_course.recipes.text.sets.minilm", lambda n_classes, n_layers: small):  # in its place
    ...     pretrained_minilm(50, 2, max_length=8)
    Traceback (most recent call last):
    ValueError: a pretrained encoder reads its own 30 subwords: got texts in 50. Take a task in its subwords.
    """
    net = minilm(n_classes, n_layers=3)
    _check_words(net, n_tokens)
    return net


def pretrained_albert(n_tokens: int, n_classes: int, *, max_length: int) -> TextEnergy:
    """ALBERT-base-v2, the paper's encoder, for texts in its subwords.

    It is read from the folder of its name in ``EBM_COURSE_DATA``, where there is one, else downloaded once by its name.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> with TemporaryDirectory() as folder, patch.dict(os.environ, EBM_COURSE_DATA=folder):
    ...     (Path(folder) / ALBERT).mkdir()
    ...     pretrained_albert(30_000, 2, max_length=8)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: the folder albert-base-v2 in EBM_COURSE_DATA holds no config.json and no model.safetensors ...
    """
    net = HuggingFaceClassifier(pretrained(_albert_folder() or ALBERT), n_classes)
    _check_words(net, n_tokens)
    return net


def albert_subwords() -> Subwords:
    """The subwords of ALBERT-base-v2: ``tokenizer.json`` of the folder its weights are read from, or by its name.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> subwords = Subwords.trained(["a good film", "a bad film"], n_tokens=300)  # in the place of ALBERT's 30,000
    >>> with TemporaryDirectory() as folder, patch.dict(os.environ, EBM_COURSE_DATA=folder):
    ...     (Path(folder) / ALBERT).mkdir()
    ...     for name in ALBERT_FILES:
    ...         (Path(folder) / ALBERT / name).touch()
    ...     subwords.save(Path(folder) / ALBERT / "tokenizer.json")
    ...     len(albert_subwords()) == len(subwords)
    True
    """
    folder = _albert_folder()
    read = Tokenizer.from_pretrained(ALBERT) if folder is None else Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Subwords(read)


def _albert_folder() -> Path | None:
    data = data_folder()
    if data is None or not (data / ALBERT).is_dir():
        return None
    lacking = [name for name in ALBERT_FILES if not (data / ALBERT / name).is_file()]
    if lacking:
        raise FileNotFoundError(
            f"the folder {ALBERT} in EBM_COURSE_DATA holds no {' and no '.join(lacking)}: expected "
            f"{', '.join(ALBERT_FILES)}. Copy them there, or take the folder away to have them downloaded."
        )
    return data / ALBERT


def _reviews_for_minilm() -> Text:
    return text.sst2(tokenizer=Subwords.read(minilm_tokenizer()))


def _phrases_for_albert(*, seed: int) -> Text:
    return text.sst2("phrases", seed=seed, tokenizer=albert_subwords())


def _check_words(net: TextEnergy, n_tokens: int) -> None:
    n = net.word_embedding.num_embeddings
    if n_tokens > n:
        raise ValueError(
            f"a pretrained encoder reads its own {n} subwords: got texts in {n_tokens}. Take a task in its subwords."
        )
