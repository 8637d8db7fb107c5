"""A method of an experiment in one row, and the stages that train it in every run. It knows no method itself.

>>> from tempfile import TemporaryDirectory
>>> from torch import nn
>>> from ebm_course.recipes.shared import Fitted
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> def fit(config, run, *, folder=None, progress=True):
...     return Fitted(nn.Linear(1, 1), rows=[{"rate": config, "seed": run.seed}])
>>> plain = Variant("plain", "as it is", 0.1, fit)
>>> work, second = trained(plain, 1, SINGLE_PROCESS), seeded(SINGLE_PROCESS, 1)
>>> with TemporaryDirectory() as root:
...     work(Path(root) / plain.stage(1), Results(Path(root)))["rows"] == fit(0.1, second).rows
True
>>> def stage(variant, k):
...     return Stage(variant.stage(k), work)
>>> def measured(variant, k):
...     return Stage(f"{variant.stage(k)}-measured", work)
>>> [own.name for own in variant_stages([plain], 2, stage, measured)]
['run-0/plain', 'run-0/plain-measured', 'run-1/plain', 'run-1/plain-measured']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebm_course.experiments.nets import save_net
from ebm_course.experiments.stages import Results, Stage
from ebm_course.origin import LATER, Origin, name_of, plain
from ebm_course.recipes.shared import Fit
from ebm_course.runtime import Run, setup

TUNINGS_APART = 50_000
"""How far apart the seeds of two trainings on one net are: further than any number of runs."""


@dataclass(frozen=True)
class Variant:
    """All there is to say of one method.

    Args:
        name: unique in the experiment; begins the names of its entries.
        words: what it is, for tables and figures.
        config: of its recipe.
        fit: the recipe's ``fit(config, run, *, folder, progress, **given) -> Fitted``.
        once: trained in the first run only.
        ships_as: name of the checkpoint that the first run's net becomes; empty for none.
        starts_from: the stage whose net it is given, in experiments that have several to choose from.
        tuning: which of several trainings on the same given net, each with a seed of its own; 0 is the first.
    """

    name: str
    words: str
    config: Any
    fit: Fit
    once: bool = False
    ships_as: str = ""
    starts_from: str = ""
    tuning: int = field(default=0, metadata=LATER)

    @property
    def identity(self) -> dict[str, Any]:
        """What its numbers depend on, as JSON: all but words and where its net goes."""
        tuning = {"tuning": self.tuning} if self.tuning else {}
        found = {"name": self.name, "fit": name_of(self.fit), "config": plain(self.config), "from": self.starts_from}
        return found | tuning

    def stage(self, k: int) -> str:
        """The name of the stage that trains it in run k."""
        return self.label if self.once else f"run-{k}/{self.label}"

    @property
    def label(self) -> str:
        """Its name, and which training on the net it is where it is not the first."""
        return f"{self.name}-tuning-{self.tuning}" if self.tuning else self.name

    def seeded(self, run: Run, k: int) -> Run:
        """The random streams of its training in run k, see ``seeded``."""
        return seeded(run, k + TUNINGS_APART * self.tuning)

    def origin(self, run: Run, k: int) -> Origin:
        """What makes its net in run k; what it was given stands in the training's own state."""
        return Origin(name_of(self.fit), plain(self.config), run.seed + k + TUNINGS_APART * self.tuning)


def seeded(run: Run, k: int) -> Run:
    """The random streams of run k; seeds initialisation and dropout too, so that stages draw apart from one another."""
    return setup(run.seed + k, device=str(run.device), quiet=True)


def trained(
    variant: Variant, k: int, run: Run, *, given: Callable[[Results], Mapping[str, Any]] | None = None
) -> Callable[[Path, Results], Any]:
    """The work of a stage that trains a variant in run k and keeps its net; the result holds the rows of the log.

    Args:
        given: results -> nets that the recipe is handed, by name; called before the run's streams are seeded, since to
            build a net draws weights.
    """

    def work(folder: Path, results: Results) -> dict[str, Any]:
        nets = {} if given is None else given(results)
        fitted = variant.fit(variant.config, variant.seeded(run, k), folder=folder, progress=results.progress, **nets)
        save_net(folder, fitted, variant.origin(run, k), run)
        return {"rows": fitted.rows}

    return work


def variant_stages(
    variants: Sequence[Variant],
    n_runs: int,
    train: Callable[[Variant, int], Stage],
    measure: Callable[[Variant, int], Stage],
) -> list[Stage]:
    """Training and measurement of every variant, run by run; what is trained once comes last."""
    runs = [(variant, k) for k in range(n_runs) for variant in variants if not variant.once]
    runs += [(variant, 0) for variant in variants if variant.once]
    return [stage for variant, k in runs for stage in (train(variant, k), measure(variant, k))]
