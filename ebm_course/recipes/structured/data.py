"""The data of the tagging recipes: tasks by a function's name, on the run's device, with fixed word vectors or none.

It knows tasks and vocabularies; no net and no loss.

What each asks of its task; only generated sentences are others for another seed:

>>> from unittest.mock import patch
>>> with patch("ebm_course.recipes.structured.data.made", lambda task, **how: (task.__name__, how)):
...     for source in (language, tweets, tweets_with_vectors, posts):
...         print(source.__name__, *source(seed=3))
language agreement {'seed': 3}
tweets twitter_pos {}
tweets_with_vectors twitter_pos {'vectors': True}
posts wnut17 {'shape': True}
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ebm_course.core import Batch
from ebm_course.recipes.shared import check_memory, check_rows
from ebm_course.runtime import Run, data_folder
from ebm_course.tasks.agreement import agreement
from ebm_course.tasks.tagging import Tagging
from ebm_course.tasks.tagging_sets import conll2003, twitter_pos, wnut17
from ebm_course.tasks.vocabulary import Vocabulary
from ebm_course.tasks.word_vectors import embedding_rows


@lru_cache(maxsize=4)
def made(task: Callable[..., Tagging], **how: Any) -> Tagging:
    """The task, read once: files of clusters and vectors take seconds.

    >>> sizes = {"n_train": 20, "n_valid": 5, "n_test": 5}
    >>> first = made(agreement, **sizes)
    >>> made(agreement, **sizes) is first, made(agreement, **sizes, seed=1) is first
    (True, False)
    """
    return task(**how)


def language(*, seed: int) -> Tagging:
    """200 sentences of the agreement language, others for every seed; no download."""
    return made(agreement, seed=seed)


def tweets(*, seed: int) -> Tagging:
    """Tweets and their parts of speech in the paper's split, words and Brown clusters; the same for every seed."""
    return made(twitter_pos)


def tweets_with_vectors(*, seed: int) -> Tagging:
    """The same with every word that has a GloVe vector numbered; needs the extra ``vectors``."""
    return made(twitter_pos, vectors=True)


def posts(*, seed: int) -> Tagging:
    """Entities in the posts of WNUT-17: words, Brown clusters and shapes; the same for every seed."""
    return made(wnut17, shape=True)


def newswire(*, seed: int) -> Tagging:
    """Entities of CoNLL-2003, from the folder ``conll2003`` in ``EBM_COURSE_DATA``: words, affixes and shapes.

    Raises:
        FileNotFoundError: there is no such folder; the set may not be passed on, so it is not downloaded.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> with TemporaryDirectory() as folder, patch.dict(os.environ, EBM_COURSE_DATA=folder):
    ...     conll_folder().mkdir()
    ...     for name in ("eng.train", "eng.testa", "eng.testb"):
    ...         _ = (conll_folder() / name).write_text("Germany NNP I-NP I-LOC")
    ...     newswire(seed=0).train.tags
    (('S-LOC',),)
    """
    return made(conll2003, folder=conll_folder(), affixes=True, shape=True)


def conll_folder() -> Path:
    """The user's folder ``conll2003``; see :func:`newswire`.

    >>> import os
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, EBM_COURSE_DATA=""):
    ...     conll_folder()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: CoNLL-2003 is read from a folder of yours: set EBM_COURSE_DATA to one that holds ...
    """
    folder = data_folder()
    if folder is None:
        raise FileNotFoundError(
            "CoNLL-2003 is read from a folder of yours: set EBM_COURSE_DATA to one that holds a folder conll2003 with "
            "eng.train, eng.testa and eng.testb."
        )
    return folder / "conll2003"


def no_vectors(vocabulary: Vocabulary) -> Tensor | None:
    """Words are learned.

    >>> no_vectors(language(seed=0).vocabulary) is None
    True
    """
    return None


def glove_vectors(vocabulary: Vocabulary) -> Tensor | None:
    """GloVe vectors of the vocabulary's words, for an embedding that stays fixed; needs the extra ``vectors``.

    >>> import torch
    >>> from unittest.mock import patch
    >>> with patch("ebm_course.tasks.word_vectors.glove", lambda words: torch.ones(len(words), 50)):
    ...     vectors = glove_vectors(language(seed=0).vocabulary)
    >>> vectors.shape, vectors.sum(dim=1)[:3]  # row 0 is that of unknown words
    (torch.Size([20, 50]), tensor([ 0., 50., 50.]))
    """
    return embedding_rows(vocabulary.values[0])


class Data(NamedTuple):
    """Rows on the run's device, what encodes them, and how tags are scored.

    >>> import torch
    >>> from ebm_course.recipes.structured.bilstm import SMOKE
    >>> data = Data(*data_of(SMOKE, Run(torch.device("cpu"), 0)))
    >>> data.n_tags, data.vocabulary.n_values_of_columns, data.train.x.shape[2]  # one column, of words
    (7, (20,), 1)
    """

    train: Batch
    valid: Batch
    vocabulary: Vocabulary
    vectors: Tensor | None
    score: Callable[[Tensor, Batch], dict[str, float]]

    @property
    def n_tags(self) -> int:
        """K."""
        return self.vocabulary.n_tags


def data_of(config: Any, run: Run) -> Data:
    """What a recipe's configuration trains on: ``config.task``, called with the run's seed.

    Raises:
        ValueError: the nets do not fit the memory, or there are fewer sentences than a minibatch has.

    >>> import torch
    >>> from ebm_course.recipes.structured.bilstm import SMOKE
    >>> data: Data = data_of(SMOKE, Run(torch.device("cpu"), 0))
    >>> len(data.train), len(data.valid), data.n_tags, data.vectors
    (200, 200, 7, None)
    >>> data.score(data.valid.y, data.valid)["accuracy"]
    1.0
    """
    made: Tagging = config.task(seed=run.seed)
    check_rows(train=made.task.train, valid=made.task.valid)
    columns = made.vocabulary.n_values_of_columns
    n, length = made.task.train.x.shape[:2]
    if config.batch_size > n:
        raise ValueError(f"batch_size: expected {n} at most, which {made.task.name} has, got {config.batch_size}.")
    sizes = {  # of parameters with their gradients and Adam's two moments, four numbers each
        "batch_size": length * config.batch_size * (8 * len(columns) + 4 * config.hidden),
        "width": 16 * config.width * (sum(columns) + 8 * config.hidden),
        "hidden": 16 * 8 * config.hidden**2,
    }
    if "tag_hidden" in vars(config):
        sizes["tag_hidden"] = 16 * 4 * config.tag_hidden**2
        sizes["tag_width"] = 16 * config.tag_width * (made.vocabulary.n_tags + 4 * config.tag_hidden)
    check_memory(config, run, **sizes)
    parts = (made.task.train.to(run.device), made.task.valid.to(run.device))
    return Data(*parts, made.vocabulary, config.vectors(made.vocabulary), made.task.score)
