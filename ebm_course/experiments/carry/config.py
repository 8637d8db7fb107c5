"""Five formats, each in a row, and what is expected of them as claims.

>>> from ebm_course.runtime import SINGLE_PROCESS
>>> small = Written(n_digits=2, n_rows=40, width=16, batch_size=10, n_epochs=1, layout="mirrored")
>>> train, valid = rows_of(small, SINGLE_PROCESS)
>>> len(train), fit(small, SINGLE_PROCESS, progress=False).rows[-1]["step"]
(40, 4)
>>> [row.name for row in variants(language_model.Config())]
['plain', 'mirrored', 'paired', 'columns-left', 'columns-right']
>>> [claim.name for claim in claims()[:2]], Config().claims == claims()
(['wasted/mirrored-plain', 'exact/mirrored-plain'], True)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ebm_course.core import Batch
from ebm_course.experiments.carry.formats import FORMATS, order_of
from ebm_course.experiments.configs import Settings
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.sequences import language_model
from ebm_course.recipes.sequences.parts import task_for
from ebm_course.recipes.shared import Fitted, check_ranges
from ebm_course.results.findings import Claim
from ebm_course.runtime import Run

NATS = 0.5
"""The smallest difference that matters in nats an equation: 4 % of the perplexity of 13 tokens."""
SHARE = 0.05
"""The smallest difference that matters in the share of answers that are right as a whole."""


@dataclass(frozen=True)
class Written(language_model.Config):
    """A language model of rows in one format."""

    layout: str = "plain"


def rows_of(config: Written, run: Run) -> tuple[Batch, Batch]:
    """Training rows of this run's seed and the validation rows, in the usual order."""
    task = task_for(config.n_digits)
    first = (run.seed * config.n_rows) % max(1, len(task.train) - config.n_rows)
    return task.train[first : first + config.n_rows], task.valid


def fit(config: Written, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train the language model on the rows of this run, written in the configuration's format."""
    order = order_of(config.layout, config.n_digits)
    train, valid = (Batch(rows.x[:, order]) for rows in rows_of(config, run))
    return language_model.fit(config, run, folder=folder, progress=progress, data=(train, valid))


def variants(config: language_model.Config) -> tuple[Variant, ...]:
    """Every format with one configuration of the recipe."""
    given: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(config)}
    return tuple(Variant(name, words, Written(**given, layout=name), fit) for name, (words, _) in FORMATS.items())


COMPARED = (
    ("mirrored", "plain", "writing each number from its last digit, the digits of a column still apart"),
    ("paired", "plain", "writing the two operand digits of a column side by side, the answer after them all"),
    ("columns-left", "plain", "writing columns from the left, each carry guessed"),
    ("columns-right", "columns-left", "writing columns from the right instead of from the left"),
    ("columns-left", "mirrored", "writing columns from the left instead of each number from its last digit"),
)
"""Two formats, and in words what the first does that the second does not."""


def claims() -> tuple[Claim, ...]:
    """Every pair twice: nats wasted on unseen equations, and samples whose whole answer is right."""
    found = []
    for name, other, words in COMPARED:
        pair, says = f"{name}-{other}", words[0].upper() + words[1:]
        wasted, exact = f"wasted/{pair}", f"exact/{pair}"
        found.append(Claim(wasted, f"{says}, saves nats.", f"claims/{wasted}", "lower", NATS, f"{other}/wasted"))
        says += ", makes more whole answers right."
        found.append(Claim(exact, says, f"claims/{exact}", "higher", SHARE, f"{name}/recited"))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """All formats of a run have the same rows, start, order of batches, updates and net."""

    n_runs: int = 3
    n_samples: int = 2_000
    claims: tuple[Claim, ...] = claims()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, counts="n_samples")


CPU = Config(
    variants=variants(language_model.Config(n_digits=3, width=128, n_epochs=130)),
    words="three digits, 1,000 rows, an LSTM",
)
SMOKE = Config(
    n_runs=2, n_samples=50,
    variants=variants(language_model.Config(n_digits=2, n_rows=40, width=16, batch_size=10, n_epochs=3)),
)  # fmt: skip
PRESETS = {"cpu": CPU, "smoke": SMOKE}
