"""Results of the stages as numbers, the claims as differences run by run, and exact answers against pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ebm_course.experiments.ablation.arms import HEADS
from ebm_course.experiments.ablation.config import FEW, PRETRAINED, SHARES, Config
from ebm_course.experiments.collected import Collected
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import Variant
from ebm_course.results.findings import Curve, Findings

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
    """Every number that the stages asked for allow."""
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
        n, net = self.config.runs_of(kind), self.config.pretraining(kind)
        stages = [net.stage(k) for k in range(n)]
        last = [min(row["valid_nll"] for row in self.results[stage]["rows"] if "valid_nll" in row) for stage in stages]
        what = f"{kind}: held-out loss of pretraining, nats a predicted token."
        self.add(f"{kind}/nll", what, last, seconds=self.results.seconds(*stages))
        for name, words in UNTRAINED.items():
            if f"run-0/{kind}/{name}" in self.results:
                self.energy(f"{kind}/{name}", f"{kind}, {words}", [f"run-{k}/{kind}/{name}" for k in range(n)])
        for variant in self.arms(kind):
            measured = [f"{variant.stage(k)}-measured" for k in range(n)]
            trained = [variant.stage(k) for k in range(n)]
            self.energy(variant.name, f"{kind}, {variant.words}", measured, seconds=self.results.seconds(*trained))

    def arms(self, kind: str) -> list[Variant]:
        return [variant for variant in self.config.variants if variant.starts_from == f"{kind}/pretraining"]

    def energy(self, name: str, words: str, stages: Sequence[str], seconds: float = 0.0) -> None:
        """Everything measured of one energy over its runs."""
        runs = [self.results[stage] for stage in stages]
        for figure, what in SEARCHED.items():
            self.add(f"{name}/{figure}", f"{words}: {what}.", [run[figure] for run in runs], seconds=seconds)
        self.attack(name, words, [run["attack"] for run in runs])
        for weights, which in (("best", "of the best validation"), ("last", "of the last update")):
            if weights in runs[0]:
                what = f"{words}: {SEARCHED['exact']}, weights {which}."
                self.add(f"{name}/{weights}/exact", what, [run[weights]["exact"] for run in runs])
        if "resampled" in runs[0]:
            gains = [run["resampled"]["after"] - run["resampled"]["before"] for run in runs]
            what = f"{words}: correctness of one resampled out of {self.config.group_size} minus that of a sample."
            self.add(f"claims/{name}/resampling", what, gains)

    def attack(self, name: str, words: str, attacks: Sequence[Any]) -> None:
        """The paper's attack with every digit free, after its last step."""
        ends = [attack["rows"][-1] for attack in attacks]
        what = f"{words}: after the paper's attack, every digit free:"
        self.add(f"{name}/free", f"{what} correctness.", [end["correctness"] for end in ends])
        self.add(f"{name}/operands_moved", f"{what} operand digits moved.", [end["operands_moved"] for end in ends])
        for figure, negatives in (("auroc_lm", "samples of P_LM"), ("auroc_attacked", "its own attacked samples")):
            what = f"{words}: AUROC of held-out data against {negatives}."
            self.add(f"{name}/{figure}", what, [attack[figure] for attack in attacks])

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
