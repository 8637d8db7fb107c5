"""Results of the sequence experiment's stages as numbers with the paper's claims beside them.

A claim of the paper that names no number is put as a comparison that can fail: a difference counts where it is above
twice its standard error over runs, and a rise by resampling is marginal below
:data:`MARGINAL`. Knows the names and the form of the stages' results, no net and no file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ebm_course.experiments.stages import Stages
from ebm_course.results.findings import CurveFinding, Finding, Findings
from ebm_course.tasks.arithmetic import perfect_perplexity

if TYPE_CHECKING:
    from ebm_course.experiments.sequences.config import Config

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
    "residual": "residual noise contrast, 5 epochs",
    "residual-long": "residual noise contrast, as many epochs as Algorithm 1",
    "no-attack": "Algorithm 1 without attack (S = 0)",
    "adversarial": "Algorithm 1 as printed",
    "grown": "Algorithm 1, logistic loss, budget grown with the energy's strength",
    "idea/logistic": "as printed, but with the logistic loss",
    "idea/l2": "as printed, with an L2 on energies",
    "idea/grown-memory": "grown, trained against position memory",
    "idea/grown-gain": "grown, proposals by gain",
    "idea/grown-replay": "grown, half of the chains go on from earlier negatives",
    "idea/grown-ema": "grown, averaged weights",
    "idea/grown-bidirectional": "grown, without the causal mask",
    "idea/grown-fresh": "grown, every row seen once",
    "idea/corrected": "likelihood plus a trained correction",
    "idea/corrected-memory": "likelihood plus a correction trained against position memory on the answer",
    "idea/residual-surprise": "long residual noise contrast, a head that sees surprises",
    "idea/adversarial-surprise": "as printed, a head that sees surprises",
    "idea/grown-surprise": "grown, a head that sees surprises",
    "idea/grown-surprise-memory": "grown to 12 steps of position memory on the answer, a head that sees surprises",
    "short-likelihood": "the likelihood of a net pretrained for less",
    "short-corrected": "likelihood of a net pretrained for less, plus a trained correction",
    "memorised/likelihood": "the pretrained likelihood, from samples of the reciting P_LM",
    "memorised/grown": "grown, from samples of the reciting P_LM",
}
MARGINAL = 0.15  # correctness; the published curve of the baseline's notebook rises by 0.14
PLACES = {"free": "every digit free", "answer": "digits of the answer only"}
WAYS = {"literal": "the paper's attack", "memory": "attack with position memory"}


def findings(config: Config, results: Mapping[str, Any], stages: Stages) -> Findings:
    """Every number and curve; ``results`` maps a stage's name to its result."""
    found = _Collected(config, results, stages)
    found.language_models()
    found.energies()
    found.claims()
    found.resampling()
    found.beyond()
    return Findings(found.entries, found.curves, stages.seconds())


class _Collected:
    def __init__(self, config: Config, results: Mapping[str, Any], stages: Stages):
        self.config, self.results, self.stages = config, results, stages
        self.entries: list[Finding] = []
        self.curves: list[CurveFinding] = []

    def add(self, name: str, what: str, values: Sequence[float], **rest: Any) -> None:
        self.entries.append(Finding(name, what, tuple(float(v) for v in values), **rest))

    def language_models(self) -> None:
        lm, energy = self.results["lm"], self.results["energy"]
        seconds = self.stages.seconds("lm")
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
            result, seconds = self.results[stage], self.stages.seconds(stage)
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
        for name in self.config.methods:
            self.attacked(name, self.runs(f"{name}-measured"), seconds=self.seconds(name))
            self.trained(name, self.runs(name))
        for name in self.config.ideas:
            result = self.results[f"idea/{name}"]
            self.attacked(f"idea/{name}", [result], seconds=self.stages.seconds(f"idea/{name}"))
            self.trained(f"idea/{name}", [result])
        for name in ("short-likelihood", "short-corrected"):
            if name in self.results:
                self.attacked(name, [self.results[name]])
        for name, result in self.results["memorised"].items():
            self.attacked(f"memorised/{name}", [result])

    def trained(self, name: str, results: Sequence[Mapping[str, Any]]) -> None:
        """How training ended."""
        self.add(f"{name}/loss", f"{WORDS[name]}: loss of the last epoch", [r["rows"][-1]["loss"] for r in results])

    def attacked(self, name: str, results: Sequence[Mapping[str, Any]], seconds: float = 0.0) -> None:
        """The four attacks on one energy, a value and a line a run."""
        for attack, rows in ((key, [r["attack"][key] for r in results]) for key in results[0]["attack"]):
            way, place = attack.split("/")
            words = f"{WORDS[name]}: {WAYS[way]}, {PLACES[place]}"
            for figure, meaning in ATTACKED.items():
                what = f"{words}: {meaning} after {rows[0][-1]['steps']} steps"
                self.add(f"{name}/{attack}/{figure}", what, [run[-1][figure] for run in rows], seconds=seconds)
            for figure in ("frozen", "toggling"):
                self.add(f"{name}/{attack}/{figure}", f"{words}: share {figure}", [run[-1][figure] for run in rows])
            steps, lines = self.config.attack_steps, [[row["correctness"] for row in run] for run in rows]
            self.curve(f"{name}/{attack}", "attack steps", steps, "correctness", lines)
        for figure in ("auroc_lm", "auroc_attacked", "fooled"):
            self.add(f"{name}/{figure}", f"{WORDS[name]}: {figure}", [r["told"][figure] for r in results])

    def claims(self) -> None:
        """The paper's three sentences as differences over runs."""
        start = self.runs("adversarial-measured")[0]["attack"]["literal/free"][0]["correctness"]  # the same for all
        after = {name: self.values(f"{name}/literal/free/correctness") for name in self.config.methods}
        trained, plain = after["adversarial"], after["no-attack"]
        claims = {
            "figure-1a": ("Algorithm 1 minus P_LM", [x - start for x in trained], "significantly improves", True),
            "figure-2": ("Algorithm 1 minus the same without attack", _minus(trained, plain), "substantial", True),
            "figure-2/plain": ("Algorithm 1 without attack minus P_LM", [x - start for x in plain], "marginal", False),
            "grown": ("grown budget minus no attack", _minus(after["grown"], plain), None, True),
            "grown/long": (
                "grown budget minus the long noise contrast",
                _minus(after["grown"], after["residual-long"]),
                None,
                True,
            ),
        }
        for name, (words, differences, paper, large) in claims.items():
            what = f"correctness under the paper's attack: {words}"
            above = _clearly_positive(differences)
            holds = None if paper is None or above is None else above == large
            self.add(f"claims/{name}", what, differences, paper=paper, holds=holds)

    def resampling(self) -> None:
        sizes = self.config.group_sizes
        for name in ("residual", "residual-long"):
            runs = [r["resampling"] for r in self.runs(f"{name}-measured")]
            lines = [[row["correctness"] for row in run] for run in runs]
            claim = "only marginally improve"
            self.curve(f"resampling/{name}", "resampled out of n", sizes, "correctness", lines, paper=claim)
            self.curve(
                f"resampling/{name}/oracle",
                "resampled out of n",
                sizes,
                "correctness",
                [[r["oracle"] for r in run] for run in runs],
            )
            rise = [line[-1] - line[0] for line in lines]
            what = f"{WORDS[name]}: correctness resampled out of {sizes[-1]} minus out of {sizes[0]}"
            self.add(f"claims/figure-1b/{name}", what, rise, paper=claim, holds=max(rise) < MARGINAL)

    def beyond(self) -> None:
        for key, rows in self.results["options"].items():
            energy, option, place = key.split("/")
            words = f"{WORDS[energy]}: option {option}, {PLACES[place]}"
            self.add(
                f"options/{key}", f"{words}: correctness after {rows[-1]['steps']} steps", [rows[-1]["correctness"]]
            )
            self.add(f"options/{key}/exact", f"{words}: share exact", [rows[-1]["exact"]])
            line = [row["correctness"] for row in rows]
            self.curve(f"options/{key}", "attack steps", self.config.attack_steps, "correctness", [line])
        for energy, curves in self.results["equal"].items():
            for sampler, line in curves.items():
                name, budgets = f"equal/{energy}/{sampler}", self.config.budgets
                self.curve(name, "energy evaluations a chain", budgets, "correctness", [line])
                what = f"{WORDS[energy]} under {sampler}: correctness at {budgets[-1]} evaluations a chain"
                self.add(name, what, [line[-1]])

    def curve(
        self, name: str, x_name: str, x: Sequence[float], y_name: str, runs: list[list[float]], paper: str | None = None
    ) -> None:
        self.curves.append(CurveFinding(name, x_name, [float(v) for v in x], y_name, runs, paper))

    def runs(self, stage: str) -> list[Any]:
        return [self.results[f"run-{k}/{stage}"] for k in range(self.config.n_runs)]

    def seconds(self, method: str) -> float:
        stages = (f"run-{k}/{method}{end}" for k in range(self.config.n_runs) for end in ("", "-measured"))
        return self.stages.seconds(*stages)

    def values(self, name: str) -> list[float]:
        return next(list(entry.values) for entry in self.entries if entry.name == name)


def _minus(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def _clearly_positive(differences: Sequence[float]) -> bool | None:
    """Whether the mean is above twice its standard error over runs; None for a single run."""
    n = len(differences)
    if n < 2:
        return None
    mean = sum(differences) / n
    error = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    return mean > 2 * error
