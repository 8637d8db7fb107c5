"""Does training a sequence energy against attacks add something? Arms treated alike, independent nets."""

from __future__ import annotations

from ebm_course.experiments.ablation.config import KINDS, PRESETS, PRETRAINED, Config
from ebm_course.experiments.ablation.findings import findings
from ebm_course.experiments.ablation.measurements import Bench
from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.stages import Stage
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.sequences.parts import task_rows
from ebm_course.runtime import Run

COSTS = {"printed": 90.0, "grown": 45.0, "grown-memory": 60.0}
"""Seconds of a training on one core, roughly; others take 25."""


def untrained_of(kind: str) -> tuple[str, ...]:
    """Energies of a kind of pretraining with nothing trained."""
    return ("likelihood", "surprise-untrained") if kind == "next-token" else ("likelihood",)


def arms_of_kind(config: Config, kind: str) -> list[Variant]:
    """The arms asked for that start from a kind of pretraining."""
    return [variant for variant in config.variants if variant.starts_from == f"{kind}/pretraining"]


def stages(config: Config, run: Run) -> list[Stage]:
    """Run by run: P_LM, then of every kind asked for the pretrained net and its arms, each trained and measured."""
    bench, found = Bench(config, run), []
    for k in range(config.n_runs):
        kinds = [kind for kind in config.data if k < config.runs_of(kind)]
        if kinds:
            found.append(Stage(f"run-{k}/lm", bench.language_model(k), 40.0))
        for kind in kinds:
            net = config.pretraining(kind)
            found.append(Stage(net.stage(k), bench.pretrain(net, k), 240.0, of=net.identity))
            for name in untrained_of(kind):
                work = bench.untrained(kind, k, name)
                found.append(Stage(f"run-{k}/{kind}/{name}", work, 20.0, of=net.identity))
            for variant in arms_of_kind(config, kind):
                cost = COSTS.get(variant.name.split("/")[1], 25.0)
                found.append(Stage(variant.stage(k), bench.train(variant, k), cost, of=variant.identity))
                work = bench.measure(variant, k)
                found.append(Stage(f"{variant.stage(k)}-measured", work, 25.0, of=variant.identity))
    return found


EXPERIMENT = Experiment(
    name="ablation",
    title="What adversarial training adds to a sequence energy: arms, controls and pretraining (after Yin, 2023).",
    presets=PRESETS,
    stages=stages,
    findings=findings,
    data=KINDS,
    figures=tuple(f"exact/{name}/.*" for name in PRETRAINED),
    rows=task_rows,
    shared="Runs share the task's rows to be held out, nothing else: language model, pretrained net, rows, order, head "
    "and samples are drawn anew in each. Arms of one run share its language model, its pretrained net and its samples.",
)
