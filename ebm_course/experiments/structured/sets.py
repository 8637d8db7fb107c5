"""Sets of sentences of the experiment that the recipes do not name.

Three columns of features for entities, after the paper's NER, NER+ and NER++ of Section 6. **NER**, on posts words,
Brown clusters and shapes, on newswire words, affixes and shapes. **NER+**, ``-vectors``: fixed GloVe vectors in the
place of learned words, on both; the paper's, fine-tuned, also has parts of speech and chunks, which posts have not.
**NER++**, ``-features``: the vectors, affixes of 1 to 3 characters in the place of the paper's network over characters,
shapes, and how letters are written (lower, Title, UPPER, mixed), where the paper has the case of the first letter in
NER+. No column has a gazetteer, here or there.

What each of them reads, here by name alone:

>>> from unittest.mock import patch
>>> named = {"made": lambda task, **how: (task.__name__, *how), "conll_folder": lambda: "a folder"}
>>> with patch.multiple("ebm_course.experiments.structured.sets", **named):
...     print(*tweets_with_features(seed=0))
...     print(*posts_with_vectors(seed=0))
...     print(*posts_with_features(seed=0))
...     print(*newswire_with_vectors(seed=0))
...     print(*newswire_with_features(seed=0))
twitter_pos affixes shape vectors
wnut17 shape vectors
wnut17 affixes shape case vectors
conll2003 folder affixes shape vectors
conll2003 folder affixes shape case vectors
>>> from ebm_course.recipes.structured.data import language
>>> task = few(language, seed=0).task
>>> len(task.train), len(task.valid), len(task.test)
(80, 30, 40)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ebm_course.experiments.structured.declared import (
    CONLL,
    CONLL_FEATURES,
    CONLL_VECTORS,
    NER,
    NER_FEATURES,
    NER_VECTORS,
    POS,
    POS_FEATURES,
    POS_VECTORS,
)
from ebm_course.recipes.structured.data import conll_folder, made, newswire, posts, tweets, tweets_with_vectors
from ebm_course.tasks.agreement import agreement
from ebm_course.tasks.tagging import Tagging
from ebm_course.tasks.tagging_sets import conll2003, twitter_pos, wnut17

small_language = partial(agreement, n_train=80, n_valid=30, n_test=40)
"""A few sentences of the agreement language, others for every seed."""


def tweets_with_features(*, seed: int) -> Tagging:
    """Tweets with their clusters, affixes, shapes and every word that has a GloVe vector numbered."""
    return made(twitter_pos, affixes=True, shape=True, vectors=True)


def posts_with_vectors(*, seed: int) -> Tagging:
    """Entities in posts with every word that has a GloVe vector numbered; needs the extra ``vectors``."""
    return made(wnut17, shape=True, vectors=True)


def posts_with_features(*, seed: int) -> Tagging:
    """The same with affixes and how letters are written."""
    return made(wnut17, affixes=True, shape=True, case=True, vectors=True)


def newswire_with_vectors(*, seed: int) -> Tagging:
    """Entities of CoNLL-2003 with every word that has a GloVe vector numbered."""
    return made(conll2003, folder=conll_folder(), affixes=True, shape=True, vectors=True)


def newswire_with_features(*, seed: int) -> Tagging:
    """The same with how letters are written."""
    return made(conll2003, folder=conll_folder(), affixes=True, shape=True, case=True, vectors=True)


def few(task: Callable[..., Tagging], *, seed: int) -> Tagging:
    """The first 80 sentences of a set to train on, 30 to select by and 40 to test on, with its whole vocabulary."""
    whole = task(seed=seed)
    parts: dict[str, Any] = {
        "train": whole.task.train[:80],
        "valid": whole.task.valid[:30],
        "test": whole.task.test[:40],
    }
    return replace(whole, task=replace(whole.task, **parts))


TASKS: dict[str, Callable[..., Tagging]] = {
    POS: tweets,
    POS_VECTORS: tweets_with_vectors,
    POS_FEATURES: tweets_with_features,
    NER: posts,
    NER_VECTORS: posts_with_vectors,
    NER_FEATURES: posts_with_features,
    CONLL: newswire,
    CONLL_VECTORS: newswire_with_vectors,
    CONLL_FEATURES: newswire_with_features,
}
"""Sets of real sentences by their names."""
