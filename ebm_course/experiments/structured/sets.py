"""Sets of sentences of the experiment that the recipes do not name."""

from __future__ import annotations

from functools import partial

from ebm_course.recipes.structured.data import made
from ebm_course.tasks.agreement import agreement
from ebm_course.tasks.tagging import Tagging
from ebm_course.tasks.tagging_sets import wnut17

small_language = partial(agreement, n_train=80, n_valid=30, n_test=40)
"""A few sentences of the agreement language, others for every seed."""


def posts_with_vectors(*, seed: int) -> Tagging:
    """Entities in posts with every word that has a GloVe vector numbered; needs the extra ``vectors``."""
    return made(wnut17, shape=True, vectors=True)
