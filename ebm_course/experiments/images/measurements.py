"""Stages: judges and arms, each trained in every run; anchors; and what is measured of each arm and of its samples.

>>> from ebm_course.experiments.images.config import SMOKE
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> bench = Bench(SMOKE, SINGLE_PROCESS)
>>> rows: Rows = bench.rows("digits", k=0)
>>> len(rows.test), rows.gaussians.means.shape, bench.starts("digits", 0, "samples", n=5).noise.shape
(40, torch.Size([10, 1, 8, 8]), torch.Size([5, 1, 8, 8]))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ebm_course.core import Batch, Task
from ebm_course.energies.joint import Joint
from ebm_course.experiments.configs import MOST_RUNS
from ebm_course.experiments.images import combining, searching
from ebm_course.experiments.images.config import Config
from ebm_course.experiments.images.evaluation import (
    classified,
    foreign_images,
    gap,
    real_foreign_images,
    told_apart,
)
from ebm_course.experiments.images.quality import Reference, anchors
from ebm_course.experiments.images.sampling import Starts, first_of_class, in_bytes, starts, ways
from ebm_course.experiments.nets import load_net
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import Variant, seeded, trained
from ebm_course.recipes.images.gap_watch import DivergedError
from ebm_course.recipes.images.parts import evaluated, labels
from ebm_course.recipes.shared import rows_digest
from ebm_course.runtime import Run
from ebm_course.samplers.class_gaussians import ClassGaussians
from ebm_course.storage import read_tensors, write_tensors
from ebm_course.tasks.images import n_classes_of, shape_of
from ebm_course.training.resume import FILE_NAME as STATE
from ebm_course.training.state import unpack

Work = Callable[[Path, Results], Any]
BUFFER = "buffer.safetensors"  # the first chains of the buffer after the last update
SAMPLES = "samples.safetensors"  # a few samples of every way as bytes, by class, beside held-out images and starts


class Rows(NamedTuple):
    """What a run works with on one data set."""

    task: Task
    train: Batch
    valid: Batch
    test: Batch  # the first n_images of those held out
    gaussians: ClassGaussians


class Bench:
    """Data, judges and nets of every run, and the work of its stages.

    Args:
        config: the experiment's.
        run: device and first seed.
    """

    def __init__(self, config: Config, run: Run):
        self.config, self.run = config, run
        self._digests: dict[str, str] = {}
        self._rows: dict[tuple[str, int], Rows] = {}  # of the data set and run at work alone

    def held_out(self, data: str) -> str:
        """A digest of the held-out images: whoever has other files makes other stages."""
        if data not in self._digests:
            self._digests[data] = rows_digest(self.config.judge(data).config.task().test)
        return self._digests[data]

    def of_run(self, k: int) -> Run:
        """The streams of run k for measurements, apart from those of its trainings."""
        return Run(self.run.device, self.run.seed + k)

    def rows(self, data: str, k: int) -> Rows:
        """Images of run k, which are split by its seed, and a Gaussian for each class of those to train on."""
        if (data, k) not in self._rows:
            task = self.config.judge(data).config.task(seed=self.run.seed + k)
            train, valid, test = (part.to(self.run.device) for part in (task.train, task.valid, task.test))
            gaussians = ClassGaussians.fit(train.x, labels(train), n_classes_of(task))
            first = torch.arange(min(self.config.n_images, len(test)), device=test.x.device)
            self._rows = {(data, k): Rows(task, train, valid, test[first], gaussians)}
        return self._rows[data, k]

    def train_judge(self, data: str, k: int) -> Work:
        """Train the judge of run k, with a seed that no arm has."""
        return trained(self.config.judge(data), MOST_RUNS + k, self.run)

    def train(self, variant: Variant, k: int) -> Work:
        """Train an arm and keep the first chains of its buffer; note it where it diverges and has no restart left.

        What the other stages find does not depend on it, so they go on. The arm's own measurements are then None.
        """
        work = trained(variant, k, self.run)

        def train_and_keep(folder: Path, results: Results) -> dict[str, Any]:
            try:
                result: dict[str, Any] = work(folder, results)
            except DivergedError as error:
                return {"died": True, "updates": error.update, "why": str(error)}
            tensors, note = read_tensors(folder / STATE, sealed=True)
            kept = unpack(tensors, note["state"])["keep"]
            if "buffer" in kept and self.run.is_main:
                write_tensors(folder / BUFFER, {"x": kept["buffer"]["states"][: self.config.n_images].contiguous()}, {})
            self.run.wait()
            return result

        return train_and_keep

    def live(self, variant: Variant, k: int) -> Work:
        """Train an arm until it dies or all updates are done: how many it lived, and whether it died."""

        def work(folder: Path, results: Results) -> dict[str, Any]:
            try:
                variant.fit(variant.config, seeded(self.run, k), folder=None, progress=results.progress)
            except DivergedError as error:
                return {"updates": error.update, "died": True}
            return {"updates": variant.config.n_steps, "died": False}

        return work

    def anchors(self, data: str, k: int) -> Work:
        """Measure images that no energy made, and the judge itself."""

        def work(_: Path, results: Results) -> dict[str, Any]:
            rows, run, reference = self.rows(data, k), self.of_run(k), self.reference(results, data, k)
            found = anchors(rows.train, rows.gaussians, len(rows.test), run.generator("anchors"))
            measured: dict[str, Any] = {name: reference.quality(x) for name, x in found.items()}
            judge = rows.task.score(evaluated(reference.judge, rows.test.x), rows.test)
            return {"anchors": measured, "judge": judge, "n_images": len(rows.test)}

        return work

    def measure(self, variant: Variant, k: int) -> Work:
        """Measure an arm as a classifier, as an energy, and by its samples of every way and its buffer; keep a few."""
        data = variant.name.partition("/")[0]

        def work(folder: Path, results: Results) -> dict[str, Any] | None:
            if results[variant.stage(k)].get("died"):
                return None
            rows, run, joint, config = self.rows(data, k), self.of_run(k), self.joint(results, variant, k), self.config
            reference, begin = self.reference(results, data, k), self.starts(data, k, "samples", len(rows.test))
            found: dict[str, Any] = {"classifier": classified(joint, rows.test, config, run)}
            foreign = foreign_images(rows.test.x, begin.gaussians, run.generator("foreign"))
            foreign |= real_foreign_images(data, rows.test.x)
            found["foreign"] = told_apart(joint, rows.test.x, foreign)
            samples = dict(ways(joint, begin, config.on(data), run.generator("chains")))
            found["gap"] = gap(joint, rows.test.x, samples["short"])
            found["samples"] = {name: reference.quality(x) for name, x in samples.items()}
            pictures = {"data": rows.test.x, "start": begin.gaussians, **samples}
            file = results.folder(variant.stage(k)) / BUFFER
            if file.is_file():
                kept = read_tensors(file)[0]["x"].to(run.device)
                if len(kept) >= len(rows.test):
                    found["samples"]["buffer"] = reference.quality(kept[: len(rows.test)])
                found["buffer_gap"] = gap(joint, rows.test.x, kept)
            if run.is_main:
                shown = first_of_class(begin.classes, n_classes_of(rows.task))
                of_data = first_of_class(labels(rows.test), n_classes_of(rows.task))
                tiles = {name: in_bytes(x[of_data if name == "data" else shown]) for name, x in pictures.items()}
                write_tensors(folder / SAMPLES, tiles, {"arm": variant.name})
            return found

        return work

    def combine(self, variant: Variant, k: int) -> Work:
        """Sample an arm by every setting of combined inference; score the best one anew, and the best steps alone."""
        data = variant.name.partition("/")[0]

        def work(_: Path, results: Results) -> dict[str, Any] | None:
            if results[variant.stage(k)].get("died"):
                return None
            rows, run, joint = self.rows(data, k), self.of_run(k), self.joint(results, variant, k)
            config = self.config.on(data)
            n = min(config.n_samples_of_grid, len(rows.valid))
            valid = Reference(self.judge(results, data, k), rows.valid.x[:n], rows.train.x)
            first = self.starts(data, k, "choice", n)
            found = combining.grid(joint, valid, first, config, run.generator("grid"))
            held_out, begin = self.reference(results, data, k), self.starts(data, k, "scoring", len(rows.test))
            best = {kind: combining.chosen(found, kind) for kind in ("combined", "alone")}
            scores = {
                kind: combining.scored(
                    joint, setting, held_out, begin, config, run.generator(f"scoring {kind}"), chosen_on=first
                )
                for kind, setting in best.items()
            }
            of_data = combining.mean_energy(joint, rows.valid.x[:n], labels(rows.valid)[:n])
            names = {kind: setting.name for kind, setting in best.items()}
            return {"grid": found, "n": n, "chosen": names, "scored": scores, "energy_of_data": of_data}

        return work

    def search(self, variant: Variant, k: int) -> Work:
        """Sample an arm with Langevin steps of every move, with an attack before them and without; score the best."""
        data = variant.name.partition("/")[0]

        def work(_: Path, results: Results) -> dict[str, Any] | None:
            if results[variant.stage(k)].get("died"):
                return None
            rows, run, joint, config = self.rows(data, k), self.of_run(k), self.joint(results, variant, k), self.config
            n = min(config.n_samples_of_grid, len(rows.valid))
            valid = Reference(self.judge(results, data, k), rows.valid.x[:n], rows.train.x)
            first = self.starts(data, k, "choice", n)
            found = searching.search(joint, valid, first, config, run.generator("search"))
            held_out, begin = self.reference(results, data, k), self.starts(data, k, "scoring", len(rows.test))
            best = {kind: searching.best(found, attacked=attacked) for kind, attacked in searching.KINDS.items()}
            scores = {
                kind: searching.score_best(
                    joint, row, held_out, begin, config, run.generator(f"scoring {kind}"), chosen_on=first
                )
                for kind, row in best.items()
            }
            return {"rows": found, "n": n, "best": best, "scored": scores}

        return work

    def starts(self, data: str, k: int, purpose: str, n: int) -> Starts:
        """Where the chains of run k begin, the same for every arm; others for another purpose."""
        return starts(self.rows(data, k).gaussians, n, self.of_run(k).generator(f"starts for {purpose}"))

    def judge(self, results: Results, data: str, k: int) -> Any:
        """The judge of run k."""
        variant, rows = self.config.judge(data), self.rows(data, k)
        net = variant.config.net(shape_of(rows.task), n_classes_of(rows.task))
        return load_net(results.folder(variant.stage(k)), net, variant.origin(self.run, MOST_RUNS + k), self.run)

    def reference(self, results: Results, data: str, k: int) -> Reference:
        """The judge of run k and the held-out images."""
        rows = self.rows(data, k)
        return Reference(self.judge(results, data, k), rows.test.x, rows.train.x)

    def joint(self, results: Results, variant: Variant, k: int) -> Joint:
        """The net of an arm in run k as an energy."""
        task = self.rows(variant.name.partition("/")[0], k).task
        net = variant.config.net(shape_of(task), n_classes_of(task))
        return Joint(load_net(results.folder(variant.stage(k)), net, variant.origin(self.run, k), self.run))
