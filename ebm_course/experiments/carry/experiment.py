"""Is it the direction of the carry that a left-to-right language model cannot cope with? Five orders of one line.

>>> from dataclasses import replace
>>> from tempfile import TemporaryDirectory
>>> from ebm_course.experiments.stages import run_stages
>>> from ebm_course.origin import Origin
>>> from ebm_course.runtime import SINGLE_PROCESS as run
>>> [plain, *_], made = PRESETS["smoke"].variants, Origin("example", {}, seed=0)
>>> config = replace(PRESETS["smoke"], n_runs=1, n_samples=5, variants=(plain,))
>>> with TemporaryDirectory() as root:
...     results = run_stages(stages(config, run), Path(root), origin=made, run=run, progress=False)
...     again = measured(plain, 0, config, run)(Path(root), results)
>>> again == results["run-0/plain/measured"], [entry.name for entry in findings(config, results).entries][:2]
(True, ['plain/wasted', 'plain/perplexity'])
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from ebm_course.experiments.carry.config import COMPARED, PRESETS, Config, rows_of
from ebm_course.experiments.carry.formats import FORMATS, order_of
from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.nets import load_net
from ebm_course.experiments.stages import Results, Stage
from ebm_course.experiments.variants import Variant, seeded, trained, variant_stages
from ebm_course.recipes.sequences import language_model
from ebm_course.recipes.sequences.parts import sample_sequences
from ebm_course.results.findings import Curve, Entry, Findings
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic import ZERO, Format, perfect_perplexity
from ebm_course.tasks.arithmetic_score import score, true_answer, well_formed

MEASURED = {  # name -> words, unit
    "wasted": ("energy of unseen equations above the entropy of the data", "nats"),
    "perplexity": ("perplexity of unseen equations", ""),
    "correctness": ("share of right digits in the answers of samples", ""),
    "exact": ("share of samples whose whole answer is right", ""),
    "recited": ("share of samples that are training rows", ""),
    "valid": ("share of samples that are well formed", ""),
    "epoch": ("epoch of the best validation", ""),
}


def stages(config: Config, run: Run) -> list[Stage]:
    """A training and a measurement for each format and run."""

    def train(variant: Variant, k: int) -> Stage:
        return Stage(variant.stage(k), trained(variant, k, run), 25.0, of=variant.identity)

    def measure(variant: Variant, k: int) -> Stage:
        work = measured(variant, k, config, run)
        return Stage(f"{variant.stage(k)}/measured", work, of=[variant.identity, config.n_samples])

    return variant_stages(config.variants, config.n_runs, train, measure)


def measured(variant: Variant, k: int, config: Config, run: Run) -> Any:
    """The work of a stage that scores samples of a trained net, put back into the usual order."""

    def work(folder: Path, results: Results) -> dict[str, float]:
        d, nll = variant.config.n_digits, valid_nll(results[variant.stage(k)])
        net: Any = language_model.build(variant.config)
        load_net(results.folder(variant.stage(k)), net, variant.origin(run, k), run)
        own = seeded(run, k)
        x = sample_sequences(net, config.n_samples, n_digits=d, generator=own.generator("samples")).cpu()
        x, train = x[:, order_of(variant.name, d).argsort()], rows_of(variant.config, own)[0].x
        best = min(nll)
        figures = score(x, d, train=train) | columns(x, d)
        return figures | {"wasted": wasted(best, d), "perplexity": math.exp(best), "epoch": 1 + nll.index(best)}

    return work


def columns(x: torch.Tensor, n_digits: int) -> dict[str, float]:
    """Share of right digits by column, c1 the last, among the well-formed rows of x; empty where there are none.

    >>> columns(Format(1).encode(["1+2=03", "1+2=13"]), n_digits=1)
    {'c2': 0.5, 'c1': 1.0}
    """
    x = x[well_formed(x, n_digits)]
    right = (x[:, Format(n_digits).answer_positions()] - ZERO == true_answer(x, n_digits)).float()
    return {f"c{n_digits + 1 - j}": float(right[:, j].mean()) for j in range(n_digits + 1)} if len(x) else {}


def wasted(nll: float, n_digits: int) -> float:
    """Nats an equation above the perfect model, of nats a token.

    >>> round(wasted(math.log(perfect_perplexity(3)) + 0.1, n_digits=3), 6)  # 0.1 for each of 13 tokens
    1.3
    """
    return (nll - math.log(perfect_perplexity(n_digits))) * (Format(n_digits).length - 1)


def valid_nll(result: dict[str, Any]) -> list[float]:
    """Nats a token after each epoch.

    >>> valid_nll({"rows": [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.4, "valid_nll": 2.3}]})
    [2.3]
    """
    return [row["valid_nll"] for row in result["rows"] if "valid_nll" in row]


def findings(config: Config, results: Results) -> Findings:
    """Every figure of every format, differences run by run, and the course of training."""
    entries: list[Entry] = []
    curves: list[Curve] = []
    values: dict[str, list[float]] = {}
    for variant in config.variants:
        names = [variant.stage(k) for k in range(config.n_runs)]
        found, seconds = [results[f"{name}/measured"] for name in names], results.seconds(*names)
        digits = [f"c{i}" for i in range(variant.config.n_digits + 1, 0, -1)]
        asked = MEASURED | {c: (f"share of right {c} in well-formed samples", "") for c in digits}
        for name, (what, unit) in asked.items():
            own = [figures[name] for figures in found if name in figures]
            if len(own) == config.n_runs:  # an untrained net may write no well-formed row
                key = f"{variant.name}/{name}"
                values[key] = own
                entries.append(Entry.of(key, f"{variant.words}: {what}.", own, unit, seconds=seconds))
        lines = [[wasted(nll, variant.config.n_digits) for nll in valid_nll(results[name])] for name in names]
        epochs = [float(k + 1) for k in range(len(lines[0]))]
        curves.append(Curve(f"wasted/{variant.name}", "epochs", epochs, "nats an equation above the perfect", lines))
    for name, other, _ in COMPARED:
        for figure in ("wasted", "exact") if config.has(name, other) else ():
            pairs = zip(values[f"{name}/{figure}"], values[f"{other}/{figure}"], strict=True)
            what = f"{MEASURED[figure][0]}: {FORMATS[name][0]} minus {FORMATS[other][0]}.".capitalize()
            unit = MEASURED[figure][1]
            entries.append(Entry.of(f"claims/{figure}/{name}-{other}", what, [x - y for x, y in pairs], unit))
    return Findings(entries, curves)


EXPERIMENT = Experiment(
    name="carry",
    title="One addition in five orders: what keeps a language model from adding.",
    presets=PRESETS,
    stages=stages,
    findings=findings,
    figures=("wasted/.*",),
    shared="Runs share the 350 validation rows, which also choose the weights, and the size of net and training; rows, "
    "start, order of batches and samples are drawn anew in each. Formats of one run share its rows, its start and its "
    "order of batches. Five runs were planned and three were made, for lack of time.",
)
