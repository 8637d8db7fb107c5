"""Does training a sequence energy against attacks add something? Arms treated alike, independent nets.

>>> from dataclasses import replace
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> smoke = PRESETS["smoke"]
>>> config = replace(smoke, n_runs=1, data=("masked",), variants=tuple(arms_of_kind(smoke, "masked")[:1]))
>>> for stage in stages(config, SINGLE_PROCESS):
...     print(stage.name)
run-0/lm
run-0/masked/pretraining
run-0/masked/contrast/pooled
run-0/masked/likelihood
run-0/masked/contrast/pooled-measured
>>> untrained_of("masked"), untrained_of("next-token")
(('likelihood',), ('likelihood', 'surprise-untrained'))
"""

from __future__ import annotations

from ebm_course.experiments.ablation import ten_digits
from ebm_course.experiments.ablation.config import KINDS, LONGER, PRESETS, PRETRAINED, Config, kind_of
from ebm_course.experiments.ablation.findings import findings
from ebm_course.experiments.ablation.measurements import Bench, Member
from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.stages import Stage
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.sequences.parts import task_rows
from ebm_course.runtime import Run

COSTS = {"corrected-memory": 120.0, "printed": 90.0, "grown": 45.0, "grown-memory": 60.0}
"""Seconds of a training on one core, roughly; others take 25."""


def untrained_of(kind: str) -> tuple[str, ...]:
    """Energies of a kind of pretraining with nothing trained."""
    return ("likelihood", "surprise-untrained") if kind == "next-token" else ("likelihood",)


def arms_of_kind(config: Config, kind: str) -> list[Variant]:
    """The arms asked for that start from a kind of pretraining."""
    return [variant for variant in config.variants if kind_of(variant) == kind]


def stages(config: Config, run: Run) -> list[Stage]:
    """P_LM and the pretrained nets of every run, then every energy with nothing trained and every arm, measured.

    Kinds in the order asked for: of several runs that share the work, nobody waits long for a net.
    """
    bench, found = Bench(config, run), []
    runs = {kind: range(config.runs_of(kind)) for kind in config.data}
    for k in range(max(map(len, runs.values()), default=0)):
        found.append(Stage(_lm(k), bench.language_model(k), 40.0, after=()))
    for kind, numbers in runs.items():
        found += [_pretraining(bench, kind, k) for k in numbers]
    for kind, numbers in runs.items():
        arms = sorted(arms_of_kind(config, kind), key=_cost, reverse=True)
        members = [member for variant in arms for member in config.members(variant)]
        found += [_training(bench, *member) for member in members]
        net = config.pretraining(kind)
        for k in numbers:
            for name in untrained_of(kind):
                work, nets = bench.untrained(kind, k, name), (_lm(k), net.stage(k))
                found.append(Stage(f"run-{k}/{kind}/{name}", work, 20.0, of=net.identity, after=nets))
        found += [_measurement(bench, *member) for member in members]
    return found


def _pretraining(bench: Bench, kind: str, k: int) -> Stage:
    net = bench.config.pretraining(kind)
    earlier = tuple(net.stage(j) for j in range(k) if bench.config.side_by_side)
    return Stage(net.stage(k), bench.pretrain(kind, k), 240.0, of=net.identity, after=earlier)


def _training(bench: Bench, variant: Variant, k: int) -> Stage:
    """Side by side the first run's stage trains all runs, and so comes after the nets of all and before the others."""
    after = (*_nets(bench, variant, k), *(arm.stage(j) for arm, j in _earlier(bench, variant, k)))
    return Stage(variant.stage(k), bench.train(variant, k), _cost(variant), of=variant.identity, after=after)


def _measurement(bench: Bench, variant: Variant, k: int) -> Stage:
    """The same with what it measures."""
    trained = [arm.stage(j) for arm, j in bench.together(variant, k)]
    earlier = [f"{arm.stage(j)}-measured" for arm, j in _earlier(bench, variant, k)]
    after, work = (*_nets(bench, variant, k), *trained, *earlier), bench.measure(variant, k)
    return Stage(f"{variant.stage(k)}-measured", work, 25.0, of=variant.identity, after=after)


def _earlier(bench: Bench, variant: Variant, k: int) -> list[Member]:
    """Side by side, what could train this one too."""
    every = bench.config.members(variant)
    return every[: every.index((variant, k))] if bench.config.side_by_side else []


def _nets(bench: Bench, variant: Variant, k: int) -> list[str]:
    """Language model and pretrained net of every run that the stage of run k works on."""
    net = bench.config.pretraining(kind_of(variant))
    numbers = dict.fromkeys(j for _, j in bench.together(variant, k))
    return [name for j in numbers for name in (_lm(j), net.stage(j))]


def _lm(k: int) -> str:
    return f"run-{k}/lm"


def _cost(variant: Variant) -> float:
    return COSTS.get(variant.name.split("/")[1], 25.0)


EXPERIMENT = Experiment(
    name="ablation",
    title="What adversarial training adds to a sequence energy: arms, controls and pretraining (after Yin, 2023).",
    presets={**PRESETS, **ten_digits.PRESETS},
    stages=stages,
    findings=findings,
    data=(*KINDS, *LONGER),
    figures=tuple(f"exact/{name}/.*" for name in PRETRAINED),
    rows=task_rows,
    measured="The claims attack and training are differences of correctness, the share of right digits, after 40 steps "
    "of the paper's attack with every digit free; resampling is that of one sequence kept out of 20 minus that of a "
    "sample. All others are differences of exact answers, at ten digits of right digits, operands held, each energy "
    "under its best search; ten/goal is what is above 0.9, ten/mask a difference of AUROC. Of the trainings, "
    "printed is Algorithm 1 as printed, no-attack the same with S = 0 and contrast noise contrast; grown, which "
    "stands for training against attacks where a claim asks what it adds, has the logistic loss, the current token "
    "among the candidates and a budget that grows; likelihood is the pretrained net with nothing trained.",
    shared="Runs share the task's rows to be held out and, but for the presets fresh and gpu-fresh, those that "
    "language model and net are pretrained on: initial weights, order, rows of fine-tuning, head and samples "
    "are drawn anew in each. Arms of one run share its language model, its pretrained net and its samples. "
    "Where a net is fine-tuned several times, rows, order, noise and head are drawn anew each time, and a "
    "run counts once, with the mean of its fine-tunings.",
)
