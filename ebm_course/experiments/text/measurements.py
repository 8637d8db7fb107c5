"""Stages: arms, each trained in every run and measured next, and the reconstructions of those that can name words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.energies.text_energy import TextEnergy
from ebm_course.experiments.nets import LAST, NET, load_net
from ebm_course.experiments.stages import Results
from ebm_course.experiments.text import reconstruction
from ebm_course.experiments.text.config import Config
from ebm_course.experiments.text.evaluation import (
    Attack,
    attacked,
    classified,
    embedding_norms,
    ordered,
    pair_cosines,
    represented,
    summary,
)
from ebm_course.experiments.variants import Variant, trained
from ebm_course.recipes.shared import rows_digest
from ebm_course.recipes.text import rar
from ebm_course.recipes.text.parts import Data, classifier_for, classifier_of, data_of, labels
from ebm_course.runtime import Run
from ebm_course.tasks.subwords import NAMES

Work = Callable[[Path, Results], Any]


class Bench:
    """Texts and nets of every run, and the work of its stages.

    Args:
        config: the experiment's.
        run: device and first seed.

    >>> from ebm_course.experiments.text.config import SMOKE
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> bench = Bench(SMOKE, SINGLE_PROCESS)
    >>> lengths = bench.test("toy", k=0).lengths
    >>> bool((lengths.diff() >= 0).all()), len(lengths), len(bench.first("toy", k=0))
    (True, 30, 20)
    """

    def __init__(self, config: Config, run: Run):
        self.config, self.run = config, run
        self.attack = Attack(config.n_attack_steps, config.relative_step)
        self._data: dict[tuple[str, int], Data] = {}  # of the set and run at work alone
        self._digests: dict[tuple[str, int], str] = {}

    def of_run(self, k: int) -> Run:
        """The streams of run k for measurements, apart from those of its trainings."""
        return Run(self.run.device, self.run.seed + k)

    def data(self, name: str, k: int) -> Data:
        """Texts of run k; its seed draws those of the embedded language, published sets are the same in every run."""
        if (name, k) not in self._data:
            self._data = {(name, k): data_of(self.config.texts(name), self.of_run(k))}
        return self._data[name, k]

    def test(self, name: str, k: int) -> Batch:
        """Test texts by their lengths."""
        return ordered(self.data(name, k).task.test).to(self.run.device)

    def first(self, name: str, k: int) -> Batch:
        """The first test texts, which are attacked, by their lengths."""
        return ordered(self.data(name, k).task.test[: self.config.n_attacked]).to(self.run.device)

    def held_out(self, name: str, k: int) -> str:
        """A digest of the test texts of run k: whoever has other files makes other stages."""
        if (name, k) not in self._digests:
            self._digests[name, k] = rows_digest(self.data(name, k).task.test)
        return self._digests[name, k]

    def train(self, variant: Variant, k: int) -> Work:
        """Train an arm of run k."""
        return trained(variant, k, self.run)

    def measure(self, variant: Variant, k: int) -> Work:
        """Measure an arm on test texts, as they are and under attack."""
        name = variant.name.partition("/")[0]

        def work(_: Path, results: Results) -> dict[str, Any]:
            net, rows, few, run = self.net(results, variant, k), self.test(name, k), self.first(name, k), self.of_run(k)
            sentences, logits = represented(net, rows)
            norms = embedding_norms(net, rows)
            found: dict[str, Any] = classified(logits, rows) | pair_cosines(sentences, labels(rows)) | norms

            def against(radius: float) -> dict[str, float]:
                return summary(attacked(net, few, radius, self.attack, run.generator(f"attack {radius:g}")))

            found["attacked"] = [against(radius) for radius in self.config.radii_of(name)]
            found["relative"] = [against(share * norms["text-norm"]) for share in self.config.relative_radii]
            net = self.net(results, variant, k, name=LAST)
            sentences, logits = represented(net, rows)
            found["last"] = classified(logits, rows) | pair_cosines(sentences, labels(rows))
            found["last"] |= against(max(self.config.radii_of(name)))
            data = self.data(name, k)
            found["texts"] = {"train": len(data.train), "valid": len(data.valid), "test": len(data.task.test)}
            return found

        return work

    def reconstruct(self, variant: Variant, plain: Variant, k: int) -> Work:
        """Put attacked texts back into words, and ask plain training and the judge of their meaning."""
        name = variant.name.partition("/")[0]

        def work(_: Path, results: Results) -> list[dict[str, float]]:
            module, rows, run = self.module(results, variant, k), self.first(name, k), self.of_run(k)
            fooled, judge, words = self.net(results, plain, k), self.judge(results, name, k), self.is_word(name, k)

            def meaning(part: Batch) -> Tensor:
                return represented(judge, part)[0]

            return [
                reconstruction.judged(
                    module,
                    fooled,
                    meaning,
                    rows,
                    radius,
                    self.attack,
                    run.generator(f"reconstruction {radius:g}"),
                    is_word=words,
                )
                for radius in self.config.reconstruction_radii
            ]

        return work

    def is_word(self, name: str, k: int) -> Tensor:
        """Which ids are words, (V,) bool: not pads, ends, masks or unknown words."""
        tokenizer = self.data(name, k).task.tokenizer
        ids = torch.arange(len(tokenizer))[:, None].expand(-1, 3)  # between a start and an end
        said = tokenizer.decode(ids, torch.ones_like(ids, dtype=torch.bool))
        special = {name for names in NAMES.values() for name in names}
        return torch.tensor([text not in special for text in said], device=self.run.device)

    def module(self, results: Results, variant: Variant, k: int, *, name: str = NET) -> Any:
        """What an arm trained in run k."""
        data, run = self.data(variant.name.partition("/")[0], k), self.run
        is_rar = variant.fit is rar.fit
        fresh = rar.with_head(variant.config, data, run) if is_rar else classifier_for(variant.config, data, run)
        return load_net(results.folder(variant.stage(k)), fresh, variant.origin(run, k), run, name=name)

    def net(self, results: Results, variant: Variant, k: int, *, name: str = NET) -> TextEnergy:
        """The classifier that an arm trained in run k: that of its best validation, or the last one."""
        return classifier_of(self.module(results, variant, k, name=name))

    def judge(self, results: Results, name: str, k: int) -> TextEnergy:
        """Who says what texts mean: the judge of run k, or a pretrained encoder as it came."""
        judge = self.config.judge(name)
        if judge is None:
            return classifier_for(self.config.texts(name), self.data(name, k), self.run).eval()
        net = classifier_for(judge.config, self.data(name, k), self.run)
        return load_net(results.folder(judge.stage(k)), net, judge.origin(self.run, k), self.run)
