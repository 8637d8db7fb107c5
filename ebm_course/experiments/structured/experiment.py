"""Joint inference networks for tags: Tables 1 to 4 row by row, and beside each network the best tags of its energy."""

from __future__ import annotations

from typing import Any

from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.stages import Stage
from ebm_course.experiments.structured.arms import is_measured
from ebm_course.experiments.structured.config import PRESETS, Config
from ebm_course.experiments.structured.declared import DATA
from ebm_course.experiments.structured.findings import findings
from ebm_course.experiments.structured.measurements import Bench
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.structured import inference_network
from ebm_course.runtime import Run

EPOCH = {"bilstm": 1.0, "crf": 1.3, "spen-gradient": 3.0, "tag-lm": 0.5, "ge-a": 3.0, "ge-b": 5.0, "ge-c": 10.0}
"""What an epoch costs, roughly, in epochs of the BiLSTM; others take 2."""
SENTENCES = {"toy": 0.1} | dict.fromkeys(("twitter-pos", "twitter-pos-vectors", "twitter-pos-features"), 1.0)
SENTENCES |= dict.fromkeys(("wnut17", "wnut17-vectors", "wnut17-features"), 3.0)


def stages(config: Config, run: Run) -> list[Stage]:
    """Set by set and run by run: every arm trained and measured, then the parametrisations timed.

    >>> from dataclasses import replace
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> smoke = PRESETS["smoke"]
    >>> config = replace(smoke, n_runs=1, variants=(smoke.variant("toy/network-of-chain"),))
    >>> for stage in stages(config, SINGLE_PROCESS):
    ...     print(stage.name, stage.after)
    run-0/toy/crf ()
    run-0/toy/crf-measured ('run-0/toy/crf',)
    run-0/toy/network-of-chain ('run-0/toy/crf',)
    run-0/toy/network-of-chain-measured ('run-0/toy/network-of-chain',)
    """
    bench, found = Bench(config, run), []
    for data in config.data:
        for k in range(config.runs_of(data)):
            of: dict[str, Any] = {"held out": bench.held_out(data, k)}
            for variant in config.arms(data):
                sources = {source.name: source.identity for source in config.given(variant)}
                arm = of | {"arm": variant.identity, "given": sources}
                cost, read = _cost(data, variant), tuple(source.stage(k) for source in config.given(variant))
                found.append(Stage(variant.stage(k), bench.train(variant, k), cost, of=arm, after=read))
                if is_measured(variant):
                    measure = bench.measure(variant, k)
                    own = (variant.stage(k),)
                    found.append(Stage(f"{variant.stage(k)}-measured", measure, cost / 10, of=arm, after=own))
            if config.timed(data):
                timed = of | {"timed": [variant.identity for variant in config.timed(data)]}
                cost = 2 * SENTENCES.get(data, 10.0)
                found.append(Stage(config.speed_stage(data, k), bench.time(data, k), cost, of=timed, after=()))
    return found


def _cost(data: str, variant: Variant) -> float:
    name, config = variant.name.partition("/")[2], variant.config
    n_epochs: int = config.n_epochs + (config.fine_tune_epochs if name.startswith("margin") else 0)
    n_inner: int = config.n_inference_steps if variant.fit is inference_network.fit else 1
    return SENTENCES.get(data, 10.0) * n_epochs * EPOCH.get(name, 1.0 + n_inner)


EXPERIMENT = Experiment(
    name="structured",
    title="Joint inference networks for tags, each beside the exact decoding of its energy (after Tu, Pang and Gimpel, "
    "2020).",
    presets=PRESETS,
    stages=stages,
    findings=findings,
    data=DATA,
    figures=tuple(f"{kind}/{data}/.*" for data in DATA for kind in ("answers", "energies", "gradients")),
    measured="Claims are differences of shares: of right tags, of right closers or, on posts, of F1; the paper's "
    "numbers are percent. Only stacked-speed is a difference of log10 of sentences a second (+0.02: a twentieth more).",
    shared="On published sets runs share all sentences, those to train on, to select by and to test on; order, start "
    "and dropout are drawn anew in each, so that a verdict says nothing about other sentences. Runs on the agreement "
    "language share nothing: their sentences are others too. Arms of one run share sentences, and networks that are "
    "fitted to a CRF's energy that CRF. One rate, one number of updates and one rule serve all arms: each keeps the "
    "weights of the lowest validation error of what it answers with, its network where it has one.",
)
