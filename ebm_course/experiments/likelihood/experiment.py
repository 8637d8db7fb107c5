"""Exact gradient, CD-1, PCD-1 and NCE where the likelihood is known: KL against updates and energy evaluations.

>>> from dataclasses import replace
>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from ebm_course.experiments.stages import run_stages
>>> from ebm_course.origin import Origin
>>> from ebm_course.runtime import SINGLE_PROCESS as run
>>> config, made = replace(PRESETS["smoke"], n_runs=1, data=("words",)), Origin("example", {}, seed=0)
>>> [variant.name for variant in asked(config)]
['words/exact', 'words/cd-1', 'words/pcd-1', 'words/nce']
>>> with TemporaryDirectory() as root:
...     results = run_stages(stages(config, run), Path(root), origin=made, run=run, progress=False)
>>> [entry.name for entry in findings(config, results).entries if entry.name.startswith("claims/")]
['claims/words/cd-1-exact', 'claims/words/pcd-1-cd-1', 'claims/words/nce-exact']
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.likelihood.config import COMPARED, DATA, PRESETS, WAYS, WORDS, Config
from ebm_course.experiments.stages import Results, Stage
from ebm_course.experiments.variants import Variant, trained
from ebm_course.results.findings import Curve, Entry, Findings
from ebm_course.runtime import Run

COSTS = {"exact": 8.0, "cd-1": 5.0, "pcd-1": 5.0, "cd-10": 12.0, "pcd-10": 12.0, "nce": 3.0}
"""Seconds on two cores, roughly."""


def asked(config: Config) -> list[Variant]:
    """The variants on the data that were asked for."""
    return [variant for variant in config.variants if variant.name.partition("/")[0] in config.data]


def stages(config: Config, run: Run) -> list[Stage]:
    """One training a variant and run; the rows of its log hold all that is measured."""
    return [
        Stage(
            variant.stage(k),
            trained(variant, k, run),
            COSTS.get(variant.name.partition("/")[2], 5.0),
            of=variant.identity,
        )
        for k in range(config.n_runs)
        for variant in asked(config)
    ]


def findings(config: Config, results: Results) -> Findings:
    """The KL after the last update, its curves, and its differences between ways, run by run."""
    entries: list[Entry] = []
    curves: list[Curve] = []
    kl: dict[str, list[float]] = {}
    for variant in asked(config):
        names = [variant.stage(k) for k in range(config.n_runs)]
        runs = [[row for row in results[name]["rows"] if "valid_kl" in row] for name in names]
        kl[variant.name], seconds = [rows[-1]["valid_kl"] for rows in runs], results.seconds(*names)
        what, last = f"{variant.words}: KL from the data's law", runs[0][-1]["step"]
        entries.append(
            Entry.of(
                f"{variant.name}/kl", f"{what} after {last:.0f} updates.", kl[variant.name], "nats", seconds=seconds
            )
        )
        lines = [[row["valid_kl"] for row in rows] for rows in runs]
        for name, x_name in (("step", "updates"), ("valid_evaluations", "energy evaluations")):
            curves.append(Curve(f"{x_name}/{variant.name}", x_name, _of(runs[0], name), "KL (nats)", lines))
    for data in config.data:
        for way, other, _, _ in COMPARED:
            if {f"{data}/{way}", f"{data}/{other}"} <= kl.keys():
                pairs = zip(kl[f"{data}/{way}"], kl[f"{data}/{other}"], strict=True)
                what = f"{WORDS[data]}: log10 KL of {WAYS[way][0]} minus that of {WAYS[other][0]}."
                differences = [math.log10(x / y) for x, y in pairs]
                entries.append(Entry.of(f"claims/{data}/{way}-{other}", what, differences))
    return Findings(entries, curves)


def _of(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(row[name]) for row in rows]


EXPERIMENT = Experiment(
    name="likelihood",
    title="Four ways to a likelihood gradient, where the likelihood is known.",
    presets=PRESETS,
    stages=stages,
    findings=findings,
    data=DATA,
    figures=(
        *(f"updates/{data}/.*" for data in DATA),
        *(f"energy evaluations/{data}/.*" for data in DATA),
    ),
    measured="All claims are differences of log10 of the KL from the data's law after the last update (+0.1: a quarter "
    "more; -0.1: a fifth less). Controls are the KL itself, in nats.",
    shared="Runs share the law of the data alone: data, start, order and chains are drawn anew in each. "
    "Ways of one run share its data. One learning rate and one step serve all ways: a way tuned by "
    "itself may end elsewhere.",
)
