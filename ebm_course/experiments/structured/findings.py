"""Results of the stages as numbers and curves, and the claims as differences run by run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ebm_course.experiments.collected import Collected
from ebm_course.experiments.stages import Results
from ebm_course.experiments.structured import published
from ebm_course.experiments.structured.arms import is_measured
from ebm_course.experiments.structured.config import Config
from ebm_course.experiments.structured.declared import ROWS, TOY, head
from ebm_course.experiments.variants import Variant
from ebm_course.results.findings import Curve, Findings
from ebm_course.tasks.agreement_ceilings import ceilings

WAYS = {
    "network": "its network A on test sentences",
    "cost_augmented": "its network F on test sentences, of which a stacked one sees the right tags",
    "exact": "the best tags of its energy on test sentences, decoded exactly",
    "beam": "the best tags of its energy that a beam search finds on the first {n_searched} test sentences",
    "searched": "its network A on the first {n_searched} test sentences, beside the beam search",
    "descent": "what {n_descent_steps} steps of descent on its energy find on test sentences",
}
FIGURES = {
    "accuracy": "accuracy",
    "fillers": "share of fillers right",
    "closers": "share of closers right",
    "f1": "F1 of entities",
    "precision": "precision of entities",
    "recall": "recall of entities",
}
SIZES = {
    "trained": "parameters trained, tables of words among them",
    "trained_layers": "parameters trained, without tables of words (the paper's words have fixed vectors)",
    "inference": "parameters needed to tag, tables of words among them",
    "inference_layers": "parameters needed to tag, without tables of words",
}
LOGGED = {
    "valid_network": ("answers", "validation {head} of A"),
    "valid_exact": ("energies", "validation {head} of the energy's best tags"),
    "energy_gradient_norm": ("gradients", "norm of the energy's gradient"),
    "inference_gradient_norm": ("network-gradients", "norm of the networks' gradient"),
    "margin_loss": ("margin-loss", "margin loss, l0"),
    "augmented": ("augmented-loss", "cost minus E(F), l1"),
    "entropy_a": ("entropy-a", "entropy of A (nats a token)"),
    "entropy_f": ("entropy-f", "entropy of F (nats a token)"),
}
"""What is drawn of a log: kind of curve, and what it shows."""
N_CONFUSIONS = 9
"""Pairs of tags that the paper's Table 3 shows."""


def findings(config: Config, results: Results) -> Findings:
    """Every number that the stages asked for allow.

    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from ebm_course.experiments.structured.config import CPU
    >>> arm, results = CPU.variant("twitter-pos/bilstm"), Results(Path("folder"))
    >>> config = replace(CPU, n_runs=1, data=("twitter-pos",), variants=(arm,))
    >>> measured = {"test": {"network": {"accuracy": 0.9}}, "size": dict.fromkeys(SIZES, 1000)}
    >>> for name, result in {arm.stage(0): {"rows": []}, f"{arm.stage(0)}-measured": measured}.items():
    ...     results.add(name, {"result": result, "files": {}, "made_from": {}, "attempts": []})
    >>> first = findings(config, results).entries[0]
    >>> first.name, first.value, first.paper
    ('twitter-pos/bilstm/network/accuracy', 0.9, '88.8 %')
    """
    found = _Collected(config, results)
    for data in config.data:
        if data == TOY:
            found.ceilings()
        for variant in config.arms(data):
            if is_measured(variant):
                found.arm(data, variant)
            else:
                found.language_model(data, variant)
        found.speed(data)
        found.claims(data)
    return Findings(found.entries, found.curves)


class _Collected(Collected):
    def stages(self, data: str, name: str) -> list[Any]:
        """The results of a stage of every run."""
        return [self.results[f"run-{k}/{name}"] for k in range(self.config.runs_of(data))]

    def seconds(self, data: str, name: str) -> float:
        return self.results.seconds(*(f"run-{k}/{name}" for k in range(self.config.runs_of(data))))

    def ceilings(self) -> None:
        """What the language's bigram chain and the language itself reach, counted: the same in every run."""
        n_runs = self.config.runs_of(TOY)
        for kind, words in (("chain", "The language's bigram chain"), ("global", "The language itself")):
            for figure, value in vars(ceilings(kind)).items():
                what = f"{words}, the likeliest tag at each position: {FIGURES[figure]}."
                self.add(f"{TOY}/ceilings/{kind}/{figure}", what, [value] * n_runs)

    def arm(self, data: str, variant: Variant) -> None:
        """Everything of one arm: its answers by every way, its size, its two networks, its training."""
        name, words = variant.name, variant.words
        runs, seconds = self.stages(data, f"{name}-measured"), self.seconds(data, name)
        for way, scores in runs[0]["test"].items():
            if way == "gap":
                what = f"{words}: mean E of A's tags minus that of the best tags found."
                self.add(f"{name}/gap", what, [run["test"][way]["energy"] for run in runs], unit="nats")
                continue
            how = self.way(data, way, runs)
            for figure in scores:
                main = way == "network" and figure == head(data)
                paper = published.answer(data, name.partition("/")[2]) if main else None
                values, what = [run["test"][way][figure] for run in runs], f"{words}: {FIGURES[figure]} of {how}."
                self.add(f"{name}/{way}/{figure}", what, values, paper=paper, seconds=seconds if main else 0.0)
        for way in ("network", "exact"):
            if way in runs[0].get("last", {}):
                values = [run["last"][way][head(data)] for run in runs]
                what = f"{words}, weights after the last update: {FIGURES[head(data)]} of {self.way(data, way, runs)}."
                self.add(f"{name}/last/{way}/{head(data)}", what, values)
        self.sizes(data, variant, runs)
        if "a_minus_f" in runs[0]:
            self.difference(data, variant, runs)
        self.training(data, variant)

    def way(self, data: str, way: str, runs: list[Any]) -> str:
        """A way to tags, in words."""
        is_searched = "searched" in runs[0]["test"]
        return WAYS["beam" if way == "exact" and is_searched else way].format(
            n_searched=self.config.searched(data), n_descent_steps=self.config.n_descent_steps
        )

    def sizes(self, data: str, variant: Variant, runs: list[Any]) -> None:
        """How many parameters the arm has, beside the paper's."""
        arm = variant.name.partition("/")[2]
        paper = {
            "trained_layers": published.trained(data, arm),
            "inference_layers": published.inference(data, arm),
        }
        for size, words in SIZES.items():
            values = [run["size"][size] for run in runs]
            what = f"{variant.words}: {words}; LSTMs without peepholes, with two vectors of biases."
            self.add(f"{variant.name}/parameters/{size}", what, values, paper=paper.get(size))

    def difference(self, data: str, variant: Variant, runs: list[Any]) -> None:
        """Table 3: what A has right more than F, with the cross-entropies named on which it hangs."""
        on = cross_entropy_on(variant.config)
        what = (
            f"{variant.words}: {FIGURES[head(data)]} of A minus that of F on validation sentences, cross-entropy {on}."
        )
        paper = published.difference(data, variant.name.partition("/")[2])
        self.add(f"{variant.name}/a-minus-f", what, [run["a_minus_f"] for run in runs], paper=paper)
        if not variant.name.endswith(("/stacked", "/stacked-ce-a")):
            return
        counts = [{(one, other): n for one, other, n in run["confusions"]} for run in runs]
        total = {pair: sum(of.get(pair, 0) for of in counts) for of in counts for pair in of}
        for one, other in sorted(total, key=lambda pair: (-total[pair], pair))[:N_CONFUSIONS]:
            what = f"{variant.words}: validation tokens that A rightly tags {one} and F {other}, cross-entropy {on}."
            values = [of.get((one, other), 0) for of in counts]
            self.add(f"{variant.name}/confusions/{one} {other}", what, values, unit="tokens")

    def training(self, data: str, variant: Variant) -> None:
        """The log as curves over updates."""
        logs = [run["rows"] for run in self.stages(data, variant.name)]
        for column, (kind, shows) in LOGGED.items():
            name = f"{column}_{head(data)}" if column.startswith("valid_") else column
            kept = [[row for row in rows if name in row] for rows in logs]
            if kept[0]:
                x = [float(row["step"]) for row in kept[0]]
                lines = [[float(row[name]) for row in rows] for rows in kept]
                self.curves.append(Curve(f"{kind}/{variant.name}", "updates", x, shows.format(head=head(data)), lines))

    def language_model(self, data: str, variant: Variant) -> None:
        """How well tags are foretold."""
        logs = [run["rows"] for run in self.stages(data, variant.name)]
        values = [min(row["valid_cross_entropy"] for row in rows) for rows in logs]
        what = f"{variant.words}: cross-entropy of validation tags, ends included."
        self.add(f"{variant.name}/cross-entropy", what, values, unit="nats", seconds=self.seconds(data, variant.name))

    def speed(self, data: str) -> None:
        """Table 2: sentences a second in training."""
        timed = self.config.timed(data)
        runs = [self.results[self.config.speed_stage(data, k)] for k in range(self.config.runs_of(data)) if timed]
        for variant in timed:
            what = f"{variant.words}: sentences a second in training, without validation."
            paper = published.speed(data, variant.name.partition("/")[2])
            values = [run[variant.name] for run in runs]
            self.add(f"{variant.name}/speed", what, values, unit="sentences/s", paper=paper)

    def claims(self, data: str) -> None:
        """The differences that decide the declared claims, run by run."""
        values = {entry.name: entry.values for entry in self.entries}
        for name, _, words, _, _, _ in ROWS[data]:
            words = words.replace("HEAD", head(data))
            one, other = (f"{data}/{term.rpartition(' ')[2]}" for term in words.split(" - "))
            if {one, other} <= values.keys():
                scale: Callable[[float], float] = math.log10 if words.startswith("log10") else float
                pairs = zip(values[one], values[other], strict=True)
                what = f"{data}: {words}, run by run."
                self.add(f"claims/{data}/{name}", what, [scale(a) - scale(b) for a, b in pairs])


def cross_entropy_on(config: Any) -> str:
    """Which networks of a game have a local cross-entropy.

    >>> from types import SimpleNamespace
    >>> cross_entropy_on(SimpleNamespace(cross_entropy_a=1.0, cross_entropy_f=0.0))
    'on A alone'
    """
    on = [net for net in ("A", "F") if getattr(config, f"cross_entropy_{net.lower()}")]
    return {2: "on A and F", 1: f"on {on[0]} alone" if on else "", 0: "on neither"}[len(on)]
