"""Results of the stages as numbers and curves, and the claims as differences run by run."""

from __future__ import annotations

import math
from typing import Any

from ebm_course.experiments.collected import Collected
from ebm_course.experiments.stages import Results
from ebm_course.experiments.text import published
from ebm_course.experiments.text.config import Config
from ebm_course.experiments.text.declared import ROWS
from ebm_course.experiments.text.sets import RECORDED
from ebm_course.experiments.variants import Variant
from ebm_course.results.findings import Curve, Findings

PLAIN_FIGURES = {
    "accuracy": "accuracy on test texts",
    "confidence": "mean probability of the label it decides for, on test texts",
    "same-label": "mean cosine of the sentence vectors of two test texts of one label",
    "other-label": "mean cosine of the sentence vectors of two test texts of different labels",
    "word-norm": "mean L2 norm of a word's embedding",
    "text-norm": "mean L2 norm of a text's embeddings",
}
UNDER_ATTACK = {
    "pgd": "accuracy",
    "cosine": "mean cosine of a sentence vector with its own before the attack",
    "euclidean": "mean distance of a sentence vector from its own before the attack",
}
LAST_FIGURES = {
    "accuracy": "accuracy on test texts",
    "same-label": "mean cosine of the sentence vectors of two test texts of one label",
    "other-label": "mean cosine of the sentence vectors of two test texts of different labels",
    "pgd": "accuracy under PGD on embeddings, radius {top:g}",
    "cosine": "mean cosine of a sentence vector with its own before that attack",
    "euclidean": "mean distance of a sentence vector from its own before that attack",
}
"""Of what contrast and reconstruction made of a net; the best validation may lie before the contrast begins."""
OF_TEXTS = {
    "recovered": "share of words that reconstruction gives back",
    "changed": "share of texts whose reconstruction differs from them",
    "fooled": "share of texts that plain training classifies rightly and whose reconstruction it does not",
    "meaning": "mean cosine of a text and its reconstruction, by an encoder that was not attacked",
    "meaning-others": "that cosine of a text and the reconstruction of another one",
}
"""Table 6 as numbers."""
OF_A_SET = {"train": "to train on", "valid": "to select weights by", "test": "to test on"}
"""Parts of a set: a folder may hold fewer texts than were published."""
LOGGED = {
    "valid_accuracy": ("valid", "validation accuracy"),
    "valid_other_label": ("other-label", "cosine of texts of two labels"),
}


def findings(config: Config, results: Results) -> Findings:
    """Every number that the stages asked for allow.

    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from ebm_course.experiments.stages import run_stages
    >>> from ebm_course.experiments.text.experiment import PRESETS, stages
    >>> from ebm_course.origin import Origin
    >>> from ebm_course.runtime import SINGLE_PROCESS as run
    >>> smoke, made = PRESETS["smoke"], Origin("example", {}, seed=0)
    >>> config = replace(smoke, n_runs=1, variants=(smoke.variant("toy/plain"),))
    >>> with TemporaryDirectory() as root:
    ...     results = run_stages(stages(config, run), Path(root), origin=made, run=run, progress=False)
    >>> found = findings(config, results)
    >>> [entry.name for entry in found.entries][::3][:2], [curve.name for curve in found.curves][:1]
    (['toy/texts/train', 'toy/plain/accuracy'], ['attacked/toy/plain'])
    """
    found = _Collected(config, results)
    for data in config.data:
        found.texts(data)
        for variant in config.arms(data):
            found.arm(data, variant)
        for variant in config.searched(data):
            found.setting(variant)
        if data in RECORDED:
            found.claims(data)
    return Findings(found.entries, found.curves)


class _Collected(Collected):
    def texts(self, data: str) -> None:
        """How many texts of a set were there; no more than work of earlier versions, which did not count them, says."""
        first, numbers = self.config.arms(data)[:1], range(self.config.n_runs)
        runs = [self.results[f"run-{k}/{arm.name}-measured"] for arm in first for k in numbers]
        for part, what in OF_A_SET.items() if runs and all("texts" in run for run in runs) else ():
            paper = published.texts(data) if part == "train" else None
            values = [float(run["texts"][part]) for run in runs]
            self.add(f"{data}/texts/{part}", f"texts of {data} {what}.", values, paper=paper)

    def arm(self, data: str, variant: Variant) -> None:
        """Everything of one arm: as a classifier, under attack, its representations, its reconstructions."""
        names = [f"run-{k}/{variant.name}" for k in range(self.config.n_runs)]
        logs = [self.results[name]["rows"] for name in names]
        runs = [self.results[f"{name}-measured"] for name in names]
        arm, seconds = variant.name.partition("/")[2], self.results.seconds(*names)
        for figure, what in PLAIN_FIGURES.items():
            paper = published.accuracy(data, arm) if figure == "accuracy" else None
            values = [run[figure] for run in runs]
            self.add(f"{variant.name}/{figure}", f"{variant.words}: {what}.", values, paper=paper, seconds=seconds)
        for i, radius in enumerate(self.config.radii_of(data)):
            for figure, what in UNDER_ATTACK.items():
                paper = published.attacked(data, arm, figure, radius)
                steps, size = self.config.n_attack_steps, self.config.relative_step
                how = f"{what} under {steps} steps of PGD on embeddings, {size:g} radius each, radius {radius:g}"
                values = [run["attacked"][i][figure] for run in runs]
                self.add(f"{variant.name}/{figure}-{radius:g}", f"{variant.words}: {how}.", values, paper=paper)
        top = max(self.config.radii_of(data))
        for figure, what in LAST_FIGURES.items():
            values, how = [run["last"][figure] for run in runs], what.format(top=top)
            self.add(f"{variant.name}/last/{figure}", f"{variant.words}, weights after the last update: {how}.", values)
        for i, share in enumerate(self.config.relative_radii):
            how = f"accuracy under the same attack, radius {share:g} of the net's own mean norm of a text's embeddings"
            values = [run["relative"][i]["pgd"] for run in runs]
            self.add(f"{variant.name}/pgd-relative-{share:g}", f"{variant.words}: {how}.", values)
        radii = [0.0, *self.config.radii_of(data)]
        lines = [[run["accuracy"], *(one["pgd"] for one in run["attacked"])] for run in runs]
        self.curves.append(Curve(f"attacked/{variant.name}", "radius", radii, "accuracy", lines))
        self.training(variant, logs)
        if f"run-0/{variant.name}-reconstructed" in self.results:
            self.reconstructions(variant)

    def training(self, variant: Variant, logs: list[Any]) -> None:
        """How training went, where the log says it."""
        for logged, (kind, words) in LOGGED.items():
            rows = [[row for row in log if logged in row] for log in logs]
            if all(rows):
                x = [float(row["step"]) for row in rows[0]]
                lines = [[row[logged] for row in run] for run in rows]
                self.curves.append(Curve(f"{kind}/{variant.name}", "updates", x, words, lines))

    def reconstructions(self, variant: Variant) -> None:
        """Table 6: what becomes of attacked texts in words, beside radius 0, where nothing was attacked."""
        runs = [self.results[f"run-{k}/{variant.name}-reconstructed"] for k in range(self.config.n_runs)]
        for i, radius in enumerate(self.config.reconstruction_radii):
            for figure, what in OF_TEXTS.items():
                name = f"{variant.name}/reconstructed-{radius:g}/{figure}"
                values = [run[i][figure] for run in runs]
                self.add(name, f"{variant.words}, attacked with radius {radius:g}: {what}.", values)

    def setting(self, variant: Variant) -> None:
        """Table 8: one setting of FreeLB, its accuracy on validation texts and its cost."""
        best = max(row["valid_accuracy"] for row in self.results[variant.stage(0)]["rows"] if "valid_accuracy" in row)
        what = f"{variant.words}: best accuracy on validation texts, one run."
        self.add(f"{variant.name}/valid-accuracy", what, [best], seconds=self.results.seconds(variant.stage(0)))

    def claims(self, data: str) -> None:
        """The differences that decide the declared claims, run by run."""
        values = {entry.name: entry.values for entry in self.entries}
        for name, _, words, _, _, _ in ROWS:
            terms = [term.rpartition(" ")[2] for term in words.split(" - ")]
            one, other = (values.get(f"{data}/{term}") for term in terms)
            if one is None or other is None:
                continue
            scale = math.log10 if words.startswith("log10") else float
            differences = [scale(a) - scale(b) for a, b in zip(one, other, strict=True)]
            self.add(f"claims/{data}/{name}", f"{data}: {words}.", differences)
