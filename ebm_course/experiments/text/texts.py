"""Texts of the experiment that the recipes do not name, each called with the run's seed."""

from __future__ import annotations

from functools import partial

from ebm_course.tasks.text import toy

few_opinions = partial(toy, n_train=40, n_valid=20, n_test=30)
"""A few texts of the embedded language, others for every seed."""
