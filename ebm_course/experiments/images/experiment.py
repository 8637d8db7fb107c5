"""Robust JEM in small: what adversarial training does to a classifier that is an energy, and to its samples."""

from __future__ import annotations

from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.images.config import DATA, PRESETS, STEPS, Config
from ebm_course.experiments.images.evaluation import real_foreign
from ebm_course.experiments.images.findings import findings
from ebm_course.experiments.images.measurements import Bench
from ebm_course.experiments.images.search_presets import PRESETS as SEARCHES
from ebm_course.experiments.images.sheet import sheet
from ebm_course.experiments.stages import Stage
from ebm_course.experiments.variants import Variant
from ebm_course.runtime import Run

UPDATE = {"classifier": 1.0, "judge": 3.0, "robust-classifier": 6.0, "jem": 11.0, "jem-plus": 13.0}
"""Passes of an update, roughly; others take 17."""
IMAGE = {"digits": 1.0, "mnist": 2.5, "cifar10": 16.0}
"""What a pass costs, roughly."""
COMBINED = ("robust-classifier", "robust-jem")
"""Arms that are sampled by every setting of combined inference."""


def stages(config: Config, run: Run) -> list[Stage]:
    """Data set by data set and run by run: the judge and the anchors, then every arm, trained and measured.

    >>> from dataclasses import replace
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> smoke = PRESETS["smoke"]
    >>> config = replace(smoke, n_runs=1, variants=(smoke.variant("digits/robust-jem"),))
    >>> for stage in stages(config, SINGLE_PROCESS):
    ...     print(stage.name)
    run-0/digits/judge
    run-0/digits/anchors
    run-0/digits/robust-jem
    run-0/digits/robust-jem-measured
    run-0/digits/robust-jem-combined
    """
    bench, found = Bench(config, run), []
    for data in config.data:
        judge, held_out = config.judge(data), bench.held_out(data)
        steps = {} if STEPS[data] == 1 else {"steps": STEPS[data]}
        foreign = {"foreign": real_foreign(data)} if real_foreign(data) else {}
        for k in range(config.runs_of(data)):
            of = {"judge": judge.identity, "held out": held_out}
            work = bench.train_judge(data, k)
            own = (judge.stage(k),)
            found.append(Stage(judge.stage(k), work, _cost(judge), of=of, after=()))
            found.append(Stage(f"run-{k}/{data}/anchors", bench.anchors(data, k), IMAGE[data], of=of, after=own))
            for variant in config.arms(data):
                arm, cost = of | {"arm": variant.identity}, IMAGE[data] * config.n_images * config.n_many / 1e4
                found.append(Stage(variant.stage(k), bench.train(variant, k), _cost(variant), of=arm, after=()))
                if config.moves:
                    searched, work = f"{variant.stage(k)}-searched", bench.search(variant, k)
                    after = (judge.stage(k), variant.stage(k))
                    found.append(Stage(searched, work, 4 * cost, of=arm | steps, after=after))
                    continue
                measured, combined = f"{variant.stage(k)}-measured", f"{variant.stage(k)}-combined"
                read = (judge.stage(k), variant.stage(k))
                found.append(Stage(measured, bench.measure(variant, k), cost, of=arm | steps | foreign, after=read))
                if variant.name in {f"{data}/{name}" for name in COMBINED}:
                    found.append(Stage(combined, bench.combine(variant, k), 4 * cost, of=arm | steps, after=read))
            for variant in config.lives(data):
                arm = {"arm": variant.identity, "held out": held_out}
                found.append(Stage(variant.stage(k), bench.live(variant, k), _cost(variant) / 3, of=arm, after=()))
    return found


def _cost(variant: Variant) -> float:
    data, _, name = variant.name.partition("/")
    updates: int = variant.config.n_steps
    return IMAGE[data] * updates * UPDATE.get(name.rpartition("/")[2], 17.0) / 500


EXPERIMENT = Experiment(
    name="images",
    title="Classifiers as energies, robust or not: accuracy under attack, samples, stability (after Korst and "
    "Asadulaev, 2022).",
    presets={**PRESETS, **SEARCHES},
    stages=stages,
    findings=findings,
    data=DATA,
    samples=sheet,
    figures=tuple(f"{kind}/{data}/.*" for data in DATA for kind in ("attacked", "gap", "radius", "alive")),
    measured="Claims on a distance and on stability are differences of log10 (-0.05: about a tenth less; +0.05: an "
    "eighth more), all others plain differences. Controls are the numbers themselves.",
    shared="Runs share the held-out images, and most of those to train on: each draws seven eighths of the others or "
    "more. Judge, this split, order, start, chains, attacks and samples are drawn anew in each. Arms of one run share "
    "its judge, images and starts of samples. One learning rate, one number of updates and one sampler serve all arms: "
    "an arm tuned by itself may end elsewhere.",
)
