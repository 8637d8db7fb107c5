"""The texts of the recipes: tasks by a function's name, each called with the run's seed and read once.

It knows tasks; no net and no loss.
"""

from __future__ import annotations

from ebm_course.tasks.text import Text, toy


def opinions(*, seed: int) -> Text:
    """1,000 opinions of the embedded language, others for every seed; no download."""
    return toy(seed=seed)
