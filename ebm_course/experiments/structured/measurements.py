"""Stages: arms, each trained in every run and measured next, and how fast the parametrisations train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ebm_course.core import Batch
from ebm_course.experiments.nets import LAST, NET, load_net
from ebm_course.experiments.stages import Results
from ebm_course.experiments.structured.config import Config
from ebm_course.experiments.structured.evaluation import Rows, answers, confusions, difference
from ebm_course.experiments.structured.modules import fresh, given_energy, size_of
from ebm_course.experiments.structured.speed import sentences_a_second
from ebm_course.experiments.variants import Variant, trained
from ebm_course.recipes.shared import rows_digest
from ebm_course.recipes.structured.data import data_of
from ebm_course.recipes.structured.game import Game
from ebm_course.runtime import Run
from ebm_course.tasks.tagging import Tagging

Work = Callable[[Path, Results], Any]


class Bench:
    """Sentences and nets of every run, and the work of its stages.

    Args:
        config: the experiment's.
        run: device and first seed.

    >>> from ebm_course.experiments.structured.config import SMOKE
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> bench = Bench(SMOKE, SINGLE_PROCESS)
    >>> rows = bench.rows("toy", k=0)
    >>> len(rows.valid), len(rows.test), bench.held_out("toy", 0) == bench.held_out("toy", 1)
    (30, 40, False)
    """

    def __init__(self, config: Config, run: Run):
        self.config, self.run = config, run
        self._tagging: tuple[tuple[str, int] | None, Tagging | None] = (None, None)  # of the set and run at work
        self._digests: dict[tuple[str, int], str] = {}

    def of_run(self, k: int) -> Run:
        """The streams of run k."""
        return Run(self.run.device, self.run.seed + k)

    def tagging(self, data: str, k: int) -> Tagging:
        """The set as run k has it: drawn by its seed where sentences are generated, else the same in every run."""
        if self._tagging[0] != (data, k) or self._tagging[1] is None:
            self._tagging = (data, k), self.config.task(data)(seed=self.run.seed + k)
        return self._tagging[1]  # type: ignore[return-value]

    def rows(self, data: str, k: int) -> Rows:
        """The sentences that choose weights and those that judge them, in run k."""
        made = self.tagging(data, k)
        parts: list[Batch] = [part.to(self.run.device) for part in (made.task.valid, made.task.test)]
        return Rows(parts[0], parts[1], made.task.score, made.vocabulary.tags)

    def held_out(self, data: str, k: int) -> str:
        """A digest of the test sentences of run k: whoever has other files makes other stages."""
        if (data, k) not in self._digests:
            self._digests[data, k] = rows_digest(self.tagging(data, k).task.test)
        return self._digests[data, k]

    def train(self, variant: Variant, k: int) -> Work:
        """Train an arm of run k, given the nets of its run that it starts from."""
        sources = self.config.given(variant)

        def given(results: Results) -> Mapping[str, Any]:
            return {"energy": given_energy([self.net(results, source, k) for source in sources])} if sources else {}

        return trained(variant, k, self.run, given=given)

    def measure(self, variant: Variant, k: int) -> Work:
        """Measure the weights that an arm kept, and of a game also its last ones."""
        data = variant.name.partition("/")[0]

        def work(_: Path, results: Results) -> dict[str, Any]:
            rows, module = self.rows(data, k), self.net(results, variant, k)
            size = size_of(module, given=bool(variant.starts_from))
            search = {"n_searched": self.config.searched(data), "beam_width": vars(variant.config).get("beam_width", 1)}
            found: dict[str, Any] = {"test": answers(module, rows, self.config, **search), "size": size._asdict()}
            if isinstance(module, Game):
                if module.has_both:
                    found |= {"a_minus_f": difference(module, rows), "confusions": confusions(module, rows)}
                last = self.net(results, variant, k, name=LAST)
                found["last"] = answers(last, rows, self.config, n_searched=0)
            return found

        return work

    def time(self, data: str, k: int) -> Work:
        """Sentences a second of the parametrisations."""
        return lambda _folder, _results: sentences_a_second(self.config.timed(data), k, self.run, self.config)

    def net(self, results: Results, variant: Variant, k: int, *, name: str = NET) -> nn.Module:
        """The module that an arm trained in run k."""
        module = fresh(variant, data_of(variant.config, self.of_run(k)))
        return load_net(results.folder(variant.stage(k)), module, variant.origin(self.run, k), self.run, name=name)
