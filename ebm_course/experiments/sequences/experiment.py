"""The whole of Yin (2023) on ten-digit addition: language models, energies, every figure, and what goes beyond.

The stages in order, and how the nets of one become what another is given. What is measured of an energy stands in
``evaluation``, what the numbers mean in ``findings``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.sequences import measurements, pretraining
from ebm_course.experiments.sequences.config import PRESETS, Config
from ebm_course.experiments.sequences.findings import findings
from ebm_course.experiments.sequences.nets import Nets
from ebm_course.experiments.stages import Results, Stage
from ebm_course.experiments.together import trained_together
from ebm_course.experiments.variants import Variant, trained, variant_stages
from ebm_course.recipes.sequences import adversarial
from ebm_course.recipes.sequences.parts import sequence_bytes, task_rows
from ebm_course.recipes.sequences.side_by_side import fit_side_by_side
from ebm_course.recipes.shared import check_memory
from ebm_course.runtime import Run

COMPARED = ("residual-long", "adversarial", "grown")
"""Variants whose energies meet other samplers at equal evaluations."""


def stages(config: Config, run: Run) -> list[Stage]:
    """Every stage; costs are minutes of the ``cpu`` preset on two cores.

    >>> from dataclasses import replace
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> smoke = PRESETS["smoke"]
    >>> asked = stages(replace(smoke, n_runs=1, variants=(smoke.variant("grown"),)), SINGLE_PROCESS)
    >>> [stage.name for stage in asked][:6]
    ['lm', 'energy', 'short', 'likelihood', 'run-0/grown', 'run-0/grown-measured']
    >>> [stage.name for stage in asked if stage.name.endswith("/grown")]
    ['run-0/grown', 'options/grown', 'equal/grown', 'memorised/grown']
    """
    sizes = ("n_samples", "n_proposals", "n_chains")
    check_memory(config, run, **{name: sequence_bytes(config, getattr(config, name)) for name in sizes})
    nets = Nets(config, run)
    measured = partial(measurements.measured, nets)
    found = [
        Stage("lm", pretraining.language_models(nets), 6.0),
        Stage("energy", pretraining.likelihood(nets, "energy"), 9.0),
        Stage("short", pretraining.likelihood(nets, "short"), 1.5),
        Stage("likelihood", measured(lambda results: nets.pretrained(results)), 1.0),
    ]
    repeated = [variant for variant in config.variants if not variant.once]
    found += variant_stages(repeated, config.n_runs, partial(_training, nets), partial(_measurement, nets))
    found += _beyond(nets)
    ideas = [variant for variant in config.variants if variant.once]
    found += variant_stages(ideas, 1, partial(_training, nets), partial(_measurement, nets))
    return [*found, Stage("short-likelihood", measured(lambda results: nets.pretrained(results, "short")), 0.5)]


def _training(nets: Nets, variant: Variant, k: int) -> Stage:
    together = nets.config.side_by_side and nets.run.n_processes == 1 and not variant.once
    if together and isinstance(variant.config, adversarial.Config):
        members, given = [(variant, j) for j in range(k, nets.config.n_runs)], partial(nets.given, variant)
        work = trained_together(members, nets.run, fit=fit_side_by_side, given=given)
    else:
        work = trained(variant, k, nets.run, given=partial(nets.given, variant))
    return Stage(variant.stage(k), work, 3.0, of=variant.identity)


def _measurement(nets: Nets, variant: Variant, k: int) -> Stage:
    work = measurements.of_variant(nets, variant, k)
    return Stage(f"{variant.stage(k)}-measured", work, 0.7, of=variant.identity)


def _beyond(nets: Nets) -> list[Stage]:
    """Options of the attack, other samplers and recited starts, an energy a stage, where its variant is asked for."""
    config, energies = nets.config, ("likelihood", *COMPARED)

    def of(names: tuple[str, ...], kind: str, cost: float, work: Callable[[str], Any]) -> list[Stage]:
        asked = [name for name in names if name == "likelihood" or config.has(name)]
        rows = {name: config.variant(name).identity if config.has(name) else None for name in asked}
        return [Stage(f"{kind}/{name}", work(name), cost, of=rows[name]) for name in asked]

    return [
        *of(("likelihood", "grown"), "options", 1.0, partial(measurements.options, nets)),
        *of(energies, "equal", 1.2, partial(measurements.equal_evaluations, nets)),
        *of(("likelihood", "grown"), "memorised", 0.5, partial(_memorised, nets)),
    ]


def _memorised(nets: Nets, name: str) -> Callable[[Path, Results], Any]:
    return measurements.measured(nets, lambda results: nets.energy(results, name), start="last")


EXPERIMENT = Experiment(
    name="sequences",
    title="Adversarial training of sequence energies on addition written as text (Yin, 2023).",
    presets=PRESETS,
    stages=stages,
    findings=findings,
    figures=(
        r"(?!short)[^/]+/literal/free",  # Figures 1a and 2
        r"(?!short)[^/]+/memory/answer",
        r"idea/[^/]+/literal/free",
        r"idea/[^/]+/memory/answer",
        r"resampling/.*",  # Figure 1b
        r"equal/likelihood/.*",
        r"equal/grown/.*",
        r"energy/.*",
        r"lm/.*",
    ),
    ships=lambda config: tuple(config.pretraining.values()),
    rows=task_rows,
    measured="All claims are differences of correctness, the share of right digits: after the paper's attack with "
    "every digit free, and for figure-1b of one sequence kept out of many. The experiment ablation asks all but "
    "figure-2/plain of runs that share no net, with controls: where the two differ, read that one.",
    shared="All runs share one language model, one pretrained net and the samples that attacks start from; "
    "rows, order and the head are drawn anew. How much other pretrained nets would change is not "
    "measured. figure-1b says that little changes: resampling with a constant energy satisfies it "
    "too.",
)
