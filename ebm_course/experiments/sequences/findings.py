"""Results of the sequence experiment's stages as numbers and curves, the paper's sentences as differences over runs.

A claim's difference is judged by the engine. It knows the names and the form of the stages' results, no net and no
file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ebm_course.experiments.collected import Collected
from ebm_course.experiments.sequences.config import Config
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import Variant
from ebm_course.results.findings import Curve, Findings
from ebm_course.tasks.arithmetic import perfect_perplexity

ATTACKED = {
    "correctness": "mean correctness",
    "exact": "share with the whole answer right",
    "valid": "share well formed",
    "unique": "distinct sequences over all",
    "tokens_moved": "tokens that differ from the start",
    "operands_moved": "operand digits that differ from the start",
}
WORDS = {
    "likelihood": "the pretrained likelihood, no fine-tuning",
    "short-likelihood": "the likelihood of a net pretrained for less",
}
RECITING = "from samples of the reciting P_LM"
PLACES = {"free": "every digit free", "answer": "digits of the answer only"}
WAYS = {"literal": "the paper's attack", "memory": "attack with position memory"}


def findings(config: Config, results: Results) -> Findings:
    """Every number and curve that the stages asked for allow.

    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from ebm_course.experiments.sequences.config import SMOKE
    >>> config, results = replace(SMOKE, n_runs=1, variants=()), Results(Path("folder"))
    >>> row = dict.fromkeys(("nll", "correctness", "exact", "valid", "recited", "distance"), 0.0)
    >>> net = {"nll": 0.0, "columns": [0.1, 2.3], "presentations": 100}
    >>> lm = {"best": row, "last": row, "valid_nll": [0.0]}
    >>> energy = {"attack": {}, "told": dict.fromkeys(("auroc_lm", "auroc_attacked", "fooled"), 0.5)}
    >>> found = {"lm": lm, "energy": net, "short": net, "likelihood": energy, "short-likelihood": energy}
    >>> for name, result in found.items():
    ...     results.add(name, {"result": result, "files": {}, "made_from": {}, "attempts": []})
    >>> {entry.name: entry.value for entry in findings(config, results).entries}["energy/columns"]  # those learned
    1.0
    """
    found = _Collected(config, results)
    found.language_models()
    found.energies()
    found.claims()
    found.resampling()
    found.beyond()
    return Findings(found.entries, found.curves)


class _Collected(Collected):
    def __init__(self, config: Config, results: Results):
        super().__init__(config, results)
        self.words = WORDS | {variant.name: variant.words for variant in config.variants}

    def language_models(self) -> None:
        lm, energy = self.results["lm"], self.results["energy"]
        seconds = self.results.seconds("lm")
        for kind, words in (("best", "weights of the best validation loss"), ("last", "weights of the last epoch")):
            row = lm[kind]
            self.add(
                f"lm/{kind}/perplexity",
                f"P_LM, validation perplexity, {words}",
                [math.exp(row["nll"])],
                seconds=seconds,
            )
            for name in ("correctness", "exact", "valid", "recited", "distance"):
                self.add(f"lm/{kind}/{name}", f"samples of P_LM, {name}, {words}", [row[name]], seconds=seconds)
        perfect = f"perfect: {perfect_perplexity(self.config.n_digits):.3f}"
        for stage, words in (("energy", "E"), ("short", "E pretrained for less")):
            result, seconds = self.results[stage], self.results.seconds(stage)
            what = f"{words}, validation perplexity after pretraining ({perfect})"
            self.add(f"{stage}/perplexity", what, [math.exp(result["nll"])], seconds=seconds)
            learned = sum(column < 0.5 for column in result["columns"])
            self.add(f"{stage}/columns", f"{words}, columns of the answer below 0.5 nats", [learned], seconds=seconds)
            self.add(f"{stage}/presentations", f"{words}, sequences shown in pretraining", [result["presentations"]])
        self.curve(
            "energy/columns", "column of the answer", list(range(len(energy["columns"]))), "nats", [energy["columns"]]
        )
        self.curve("lm/valid", "epoch", range(1, len(lm["valid_nll"]) + 1), "nats a token", [lm["valid_nll"]])

    def energies(self) -> None:
        self.attacked("likelihood", [self.results["likelihood"]])
        for variant in self.config.variants:
            measured = self.runs(variant, "-measured")
            self.attacked(variant.name, measured, seconds=self.seconds(variant))
            self.trained(variant.name, self.runs(variant))
        self.attacked("short-likelihood", [self.results["short-likelihood"]])
        for name in ("likelihood", "grown"):
            if f"memorised/{name}" in self.results:
                words = f"{self.words[name]}, {RECITING}"
                self.attacked(f"memorised/{name}", [self.results[f"memorised/{name}"]], words=words)

    def trained(self, name: str, results: Sequence[Any]) -> None:
        """How training ended."""
        losses = [result["rows"][-1]["loss"] for result in results]
        self.add(f"{name}/loss", f"{self.words[name]}: loss of the last epoch", losses)

    def attacked(self, name: str, results: Sequence[Any], seconds: float = 0.0, words: str | None = None) -> None:
        """The four attacks on one energy, a value and a line a run."""
        words = words or self.words[name]
        for attack in results[0]["attack"]:
            rows, (way, place) = [r["attack"][attack] for r in results], attack.split("/")
            here = f"{words}: {WAYS[way]}, {PLACES[place]}"
            for figure, meaning in ATTACKED.items():
                what = f"{here}: {meaning} after {rows[0][-1]['steps']} steps"
                self.add(f"{name}/{attack}/{figure}", what, [run[-1][figure] for run in rows], seconds=seconds)
            for figure in ("frozen", "toggling"):
                self.add(f"{name}/{attack}/{figure}", f"{here}: share {figure}", [run[-1][figure] for run in rows])
            steps, lines = self.config.attack_steps, [[row["correctness"] for row in run] for run in rows]
            self.curve(f"{name}/{attack}", "attack steps", steps, "correctness", lines)
        for figure in ("auroc_lm", "auroc_attacked", "fooled"):
            self.add(f"{name}/{figure}", f"{words}: {figure}", [r["told"][figure] for r in results])

    def claims(self) -> None:
        """The paper's sentences, and two of the course's own, as differences over runs."""
        for name, words, more, less in (
            ("figure-1a", "Algorithm 1 minus P_LM", "adversarial", None),
            ("figure-2", "Algorithm 1 minus the same without attack", "adversarial", "no-attack"),
            ("figure-2/plain", "Algorithm 1 without attack minus P_LM", "no-attack", None),
            ("grown", "grown budget minus no attack", "grown", "no-attack"),
            ("grown/long", "grown budget minus the long noise contrast", "grown", "residual-long"),
        ):
            if not self.config.has(more) or (less is not None and not self.config.has(less)):
                continue
            after, start = self.last(more), self.results["likelihood"]["attack"]["literal/free"][0]["correctness"]
            before = [start] * len(after) if less is None else self.last(less)  # the start is the same for all
            differences = [x - y for x, y in zip(after, before, strict=True)]
            self.add(f"claims/{name}", f"correctness under the paper's attack: {words}", differences)

    def resampling(self) -> None:
        sizes = self.config.group_sizes
        for name in ("residual", "residual-long"):
            if not self.config.has(name):
                continue
            runs = [r["resampling"] for r in self.runs(self.config.variant(name), "-measured")]
            for end, figure in (("", "correctness"), ("/oracle", "oracle")):
                lines = [[row[figure] for row in run] for run in runs]
                self.curve(f"resampling/{name}{end}", "resampled out of n", sizes, "correctness", lines)
            rise = [run[-1]["correctness"] - run[0]["correctness"] for run in runs]
            what = f"{self.words[name]}: correctness resampled out of {sizes[-1]} minus out of {sizes[0]}"
            self.add(f"claims/figure-1b/{name}", what, rise)

    def beyond(self) -> None:
        for stage in [name for name in self.results if name.startswith("options/")]:
            for key, rows in self.results[stage].items():
                option, place = key.split("/")
                words = f"{self.words[stage.partition('/')[2]]}: option {option}, {PLACES[place]}"
                what = f"{words}: correctness after {rows[-1]['steps']} steps"
                self.add(f"{stage}/{key}", what, [rows[-1]["correctness"]])
                self.add(f"{stage}/{key}/exact", f"{words}: share exact", [rows[-1]["exact"]])
                line = [row["correctness"] for row in rows]
                self.curve(f"{stage}/{key}", "attack steps", self.config.attack_steps, "correctness", [line])
        for stage in [name for name in self.results if name.startswith("equal/")]:
            words, budgets = self.words[stage.partition("/")[2]], self.config.budgets
            for sampler, line in self.results[stage].items():
                self.curve(f"{stage}/{sampler}", "energy evaluations a chain", budgets, "correctness", [line])
                what = f"{words} under {sampler}: correctness at {budgets[-1]} evaluations a chain"
                self.add(f"{stage}/{sampler}", what, [line[-1]])

    def curve(self, name: str, x_name: str, x: Sequence[float], y_name: str, runs: list[list[float]]) -> None:
        self.curves.append(Curve(name, x_name, [float(v) for v in x], y_name, runs))

    def stages(self, variant: Variant, end: str = "") -> list[str]:
        """The names of a variant's stages, a run each."""
        return [f"{variant.stage(k)}{end}" for k in range(1 if variant.once else self.config.n_runs)]

    def runs(self, variant: Variant, end: str = "") -> list[Any]:
        return [self.results[stage] for stage in self.stages(variant, end)]

    def seconds(self, variant: Variant) -> float:
        return self.results.seconds(*self.stages(variant), *self.stages(variant, "-measured"))

    def last(self, name: str) -> list[float]:
        """Correctness under the paper's own attack, one value a run."""
        runs = self.runs(self.config.variant(name), "-measured")
        return [run["attack"]["literal/free"][-1]["correctness"] for run in runs]
