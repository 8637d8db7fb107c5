"""The data of the tagging recipes: tasks by a function's name, on the run's device, with fixed word vectors or none.

It knows tasks and vocabularies; no net and no loss.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ebm_course.core import Batch
from ebm_course.recipes.shared import check_memory
from ebm_course.runtime import Run, data_folder
from ebm_course.tasks.agreement import agreement
from ebm_course.tasks.tagging import Tagging
from ebm_course.tasks.tagging_sets import conll2003, twitter_pos, wnut17
from ebm_course.tasks.vocabulary import Vocabulary
from ebm_course.tasks.word_vectors import embedding_rows


@lru_cache(maxsize=4)
def made(task: Callable[..., Tagging], **how: Any) -> Tagging:
    """The task, read once: files of clusters and vectors take seconds."""
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
    """
    return made(conll2003, folder=conll_folder(), affixes=True, shape=True)


def conll_folder() -> Path:
    """The user's folder ``conll2003``; see :func:`newswire`."""
    folder = data_folder()
    if folder is None:
        raise FileNotFoundError(
            "CoNLL-2003 is read from a folder of yours: set EBM_COURSE_DATA to one that holds a folder conll2003 with "
            "eng.train, eng.testa and eng.testb."
        )
    return folder / "conll2003"


def no_vectors(vocabulary: Vocabulary) -> Tensor | None:
    """Words are learned."""
    return None


def glove_vectors(vocabulary: Vocabulary) -> Tensor | None:
    """GloVe vectors of the vocabulary's words, for an embedding that stays fixed; needs the extra ``vectors``."""
    return embedding_rows(vocabulary.values[0])


class Data(NamedTuple):
    """Rows on the run's device, what encodes them, and how tags are scored."""

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
    """
    made: Tagging = config.task(seed=run.seed)
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
