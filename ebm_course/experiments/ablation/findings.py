"""Results of the stages as numbers, the claims as differences run by run, and exact answers against pretraining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from ebm_course.experiments import nested
from ebm_course.experiments.ablation.arms import HEADS
from ebm_course.experiments.ablation.config import FEW, GOAL, PRETRAINED, SHARES, Config, kind_of
from ebm_course.experiments.collected import Collected
from ebm_course.experiments.stages import Results
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences.distance import NEAR
from ebm_course.results.findings import Curve, Findings

Runs = Sequence[Sequence[Any]]
"""For each run what is known of each fine-tuning of its net."""
SPLIT = ("exact", "correctness")
"""Figures whose spread is told apart within and between pretrained nets."""
SEARCHED = {
    "exact": "share of right answers, operands held, best search",
    "correctness": "share of right digits, operands held, best search",
    "fooled": "share of wrong ends that the energy prefers to the right answer",
    "nats_to_go": "how far ends lie above the right answer, nats",
}
UNTRAINED = {
    "likelihood": "the pretrained net, nothing trained",
    "surprise-untrained": "the head that is handed the likelihood, w = 1, nothing trained",
}


def findings(config: Config, results: Results) -> Findings:
    """Every number that the stages asked for allow.

    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from ebm_course.experiments.ablation.config import SMOKE
    >>> config, results = replace(SMOKE, n_runs=1, data=("masked",), variants=()), Results(Path("folder"))
    >>> lm, net = {"plain": {"correctness": 0.2}, "scored_on": {"exact": 0.1}}, {"rows": [{"valid_nll": 0.5}]}
    >>> for name, result in (("run-0/lm", lm), ("run-0/masked/pretraining", net)):
    ...     results.add(name, {"result": result, "files": {}, "made_from": {}, "attempts": []})
    >>> [(entry.name, entry.value) for entry in findings(config, results).entries]
    [('lm/correctness', 0.2), ('lm/exact', 0.1), ('masked/nll', 0.5)]
    """
    found = _Collected(config, results)
    found.language_models()
    for kind in config.data:
        found.kind(kind)
    found.claims()
    found.against_pretraining()
    return Findings(found.entries, found.curves)


class _Collected(Collected):
    @property
    def values(self) -> dict[str, tuple[float, ...]]:
        return {entry.name: entry.values for entry in self.entries}

    def language_models(self) -> None:
        n = max(map(self.config.runs_of, self.config.data))
        stages = [f"run-{k}/lm" for k in range(n)]
        runs, seconds = [self.results[stage] for stage in stages], self.results.seconds(*stages)
        plain = [run["plain"]["correctness"] for run in runs]
        self.add("lm/correctness", "P_LM: correctness of samples.", plain, seconds=seconds)
        exact = [run["scored_on"]["exact"] for run in runs]
        self.add("lm/exact", "P_LM: well-formed samples with a right answer.", exact)

    def kind(self, kind: str) -> None:
        numbers, net = range(self.config.runs_of(kind)), self.config.pretraining(kind)
        stages = [net.stage(k) for k in numbers]
        last = [min(row["valid_nll"] for row in self.results[stage]["rows"] if "valid_nll" in row) for stage in stages]
        what = f"{kind}: held-out loss of pretraining, nats a predicted token."
        self.add(f"{kind}/nll", what, last, seconds=self.results.seconds(*stages))
        for name, words in UNTRAINED.items():
            if f"run-0/{kind}/{name}" in self.results:
                stages = [[f"run-{k}/{kind}/{name}"] for k in numbers]
                self.energy(f"{kind}/{name}", f"{kind}, {words}", self.read(stages))
        for variant in (row for row in self.config.variants if kind_of(row) == kind):
            members = [[own for own in self.config.members(variant) if own[1] == k] for k in numbers]
            trained = [[arm.stage(k) for arm, k in own] for own in members]
            measured = self.read([[f"{stage}-measured" for stage in own] for own in trained])
            seconds = self.results.seconds(*(stage for own in trained for stage in own))
            words = f"{kind}, {variant.words}"
            self.energy(variant.name, words, measured, seconds=seconds)
            self.training(variant.name, words, self.read(trained))
            if variant.config.objective is logistic and "accuracy_lm" in measured[0][0]["attack"]:
                what = f"{words}: accuracy of held-out data against samples of P_LM at E = 0."
                self.over(f"{variant.name}/accuracy_lm", what, measured, lambda run: run["attack"]["accuracy_lm"])

    def read(self, stages: Sequence[Sequence[str]]) -> Runs:
        return [[self.results[stage] for stage in own] for own in stages]

    def over(self, name: str, what: str, runs: Runs, figure: Callable[[Any], float], **rest: Any) -> None:
        """A figure over runs, the mean over the fine-tunings of each; that of each fine-tuning where there are several.

        Where runs have several, the standard deviations within and between them stand beside it.
        """
        values = [[figure(one) for one in run] for run in runs]
        self.add(name, what, nested.means(values), **rest)
        found = nested.spread(values) if name.rpartition("/")[2] in SPLIT else None
        if found is None:
            return
        for j in range(max(map(len, values))):
            of_each = [run[j] for run in values if len(run) > j]
            self.add(f"{name}/tuning-{j}", f"{what.rstrip('.')}, fine-tuning {j} of each net that has it.", of_each)
        within = f"{what.rstrip('.')}: standard deviation between fine-tunings of one net."
        self.add(f"{name}/within", within, [found.within])
        between = f"{what.rstrip('.')}: standard deviation between pretrained nets, beyond that of fine-tunings."
        self.add(f"{name}/between", between, [found.between])

    def energy(self, name: str, words: str, runs: Runs, seconds: float = 0.0) -> None:
        """Everything measured of one energy over its runs."""
        for figure, what in SEARCHED.items():
            self.over(f"{name}/{figure}", f"{words}: {what}.", runs, itemgetter(figure), seconds=seconds)
        for way in sorted({one["search"] for run in runs for one in run}):
            chosen = [[float(one["search"] == way) for one in run] for run in runs]
            what = f"{words}: share of its nets for which the search {way} was chosen, on other samples."
            self.add(f"{name}/search/{way}", what, nested.means(chosen))
        self.attack(name, words, [[one["attack"] for one in run] for run in runs])
        for weights, which in (("best", "of the best validation"), ("last", "of the last update")):
            if weights in runs[0][0]:
                what = f"{words}: {SEARCHED['exact']}, weights {which}."
                self.add(f"{name}/{weights}/exact", what, _means(runs, weights, "exact"))
        if "resampled" in runs[0][0]:
            pairs = zip(_means(runs, "resampled", "after"), _means(runs, "resampled", "before"), strict=True)
            what = f"{words}: correctness of one resampled out of {self.config.group_size} minus that of a sample."
            self.add(f"claims/{name}/resampling", what, [after - before for after, before in pairs])

    def attack(self, name: str, words: str, runs: Runs) -> None:
        """The paper's attack with every digit free, after its last step."""
        ends = [[attack["rows"][-1] for attack in run] for run in runs]
        what = f"{words}: after the paper's attack, every digit free:"
        self.add(f"{name}/free", f"{what} correctness.", _means(ends, "correctness"))
        self.add(f"{name}/operands_moved", f"{what} operand digits moved.", _means(ends, "operands_moved"))
        for figure, negatives in (("auroc_lm", "samples of P_LM"), ("auroc_attacked", "its own attacked samples")):
            what = f"{words}: AUROC of held-out data against {negatives}."
            self.add(f"{name}/{figure}", what, _means(runs, figure))

    def training(self, name: str, words: str, runs: Runs) -> None:
        """Where negatives were in the last epoch of training, in runs that logged it."""
        last = [[one["rows"][-1] for one in run] for run in runs]
        if all(found.keys() >= {"near", "gap"} for run in last for found in run):
            what = f"{words}: in the last epoch of training,"
            most = f"{what} share of negatives at most {NEAR:.1f} nats above the mean of the data."
            self.add(f"{name}/near", most, _means(last, "near"))
            self.add(f"{name}/distance", f"{what} nats from data up to negatives, means.", _means(last, "gap"))
            self.add(f"{name}/attack_steps", f"{what} steps of the attack.", _means(last, "attack_steps"))

    def claims(self) -> None:
        """The differences that decide the declared claims, run by run."""
        paper = "next-token/printed/pooled"
        self.difference(f"claims/{paper}/lifts", f"{paper}/free", "lm/correctness")
        self.difference(f"claims/{paper}/no-attack", f"{paper}/free", "next-token/no-attack/pooled/free")
        for kind in PRETRAINED:
            for head in HEADS:
                name = f"{kind}/grown/{head}"
                self.difference(f"claims/{name}/contrast", f"{name}/exact", f"{kind}/contrast/{head}/exact")
                base = "surprise-untrained" if head == "surprise" else "likelihood"
                self.difference(f"claims/{name}/untrained", f"{name}/exact", f"{kind}/{base}/exact")

        declared = {claim.endpoint for claim in self.config.claims}
        for base, other in (("contrast", "masked/contrast/pooled"), ("untrained", "masked/likelihood")):
            if (name := f"claims/masked/grown/pooled/{base}/correctness") in declared:
                self.difference(name, "masked/grown/pooled/correctness", f"{other}/correctness")
        if "claims/masked/printed/pooled/goal" in declared and "masked/printed/pooled/correctness" in self.values:
            found, what = self.values["masked/printed/pooled/correctness"], f"masked/printed/pooled minus {GOAL}."
            self.add("claims/masked/printed/pooled/goal", what, [value - GOAL for value in found])
        if "claims/baseline/mask" in declared:
            arm = "contrast/pooled/auroc_lm"
            self.difference("claims/baseline/mask", f"masked/{arm}", f"next-token/{arm}")

    def difference(self, name: str, one: str, other: str) -> None:
        values = self.values
        if {one, other} <= values.keys():
            pairs = zip(values[one], values[other], strict=True)
            self.add(name, f"{one} minus {other}, run by run.", [x - y for x, y in pairs])

    def against_pretraining(self) -> None:
        """Exact answers against the share of pretraining, a line an arm, where several shares were asked for."""
        values = self.values
        for name in PRETRAINED:
            kinds = [(share, name if share == 1 else f"{name}-{share}") for share in reversed(SHARES)]
            kinds = [(share, kind) for share, kind in kinds if kind in self.config.data]
            if len(kinds) < 2:
                continue
            n = min(self.config.runs_of(kind) for _, kind in kinds)
            for arm in ("likelihood", *(f"{arm}/local" for arm in FEW)):
                found = [values.get(f"{kind}/{arm}/exact", ()) for _, kind in kinds]
                if all(found):
                    runs = [[line[k] for line in found] for k in range(n)]
                    shares = [1 / share for share, _ in kinds]
                    curve = f"exact/{name}/{arm}", "share of pretraining", shares, "exact answers"
                    self.curves.append(Curve(*curve, runs))


def _means(runs: Runs, *keys: str) -> list[float]:
    """Of each run the mean over its fine-tunings of what lies under these keys."""

    def at(one: Any) -> float:
        for key in keys:
            one = one[key]
        return float(one)

    return nested.means([[at(one) for one in run] for run in runs])
