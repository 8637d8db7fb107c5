"""Results of the stages as numbers and curves, and the claims as differences run by run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from ebm_course.experiments.collected import Collected
from ebm_course.experiments.images.combining import setting_of
from ebm_course.experiments.images.config import STEPS, Config
from ebm_course.experiments.images.declared import ROWS, SEARCHED
from ebm_course.experiments.images.evaluation import REAL
from ebm_course.experiments.images.searching import KINDS, in_words, smallest
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import Variant
from ebm_course.results.findings import Curve, Findings

QUALITY = {
    "distance": "Frechet classifier distance",
    "score": "classifier score",
    "precision": "precision, 3 neighbours",
    "recall": "recall, 3 neighbours",
    "nearest": "distance to the nearest of up to 10,000 training images over that of held-out images",
}
ANCHORS = {
    "train": "training images",
    "paler": "training images with 0.8 of their contrast",
    "gaussians": "one Gaussian a class, no energy",
    "means": "class means",
    "noise": "uniform noise",
}
WAYS = {
    "short": "{n_few} Langevin steps{long} from class Gaussians",
    "long": "{n_many} Langevin steps{long} from class Gaussians",
    "noise": "{n_many} Langevin steps{long} from uniform noise",
    "towards": "an attack of radius {radius:g} towards a class",
    "combined": "combined inference: that attack, contrast {contrast:g}, {n_many} Langevin steps{long} on E(x, y)",
    "buffer": "the first chains of the replay buffer",
}
TABLE_1 = {  # of the paper, on CIFAR-10: IS and FID, which a judge's score and distance are not
    "cifar10/jem/long": (7.54, 48.25),
    "cifar10/robust-classifier/towards": (7.05, 85.12),
    "cifar10/robust-jem/long": (8.71, 41.17),
    "cifar10/robust-jem/combined": (9.28, 47.92),
}
SCORES = {"logsumexp": "log p(x)", "max_probability": "largest probability", "approximate_mass": "approximate mass"}

DIED = "share of runs that diverged with no restart left; those that lived are no fair sample and are left out."


def findings(config: Config, results: Results) -> Findings:
    """Every number that the stages asked for allow.

    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from ebm_course.experiments.images.config import SMOKE
    >>> config, results = replace(SMOKE, n_runs=1, variants=()), Results(Path("folder"))
    >>> anchors = {name: {"distance": 2.0} for name in ANCHORS}
    >>> made = {"anchors": {"anchors": anchors, "judge": {"accuracy": 0.9}, "n_images": 40}, "judge": {}}
    >>> for name, result in made.items():
    ...     results.add(f"run-0/digits/{name}", {"result": result, "files": {}, "made_from": {}, "attempts": []})
    >>> found = {entry.name: entry.value for entry in findings(config, results).entries}
    >>> found["digits/judge/accuracy"], found["digits/anchors/paler/distance"]
    (0.9, 2.0)
    """
    found = _Collected(config, results)
    for data in config.data:
        found.anchors(data)
        for variant in config.arms(data):
            found.arm(data, variant)
        for variant in config.lives(data):
            found.life(data, variant)
        found.claims(data)
    return Findings(found.entries, found.curves)


def way_in_words(way: str, config: Config, data: str) -> str:
    """How samples are made on a data set, with the length of Langevin steps where it is a data set's own.

    >>> from ebm_course.experiments.images.config import CPU
    >>> way_in_words("long", CPU, "digits"), way_in_words("short", CPU, "mnist")
    ('50 Langevin steps from class Gaussians', '10 Langevin steps of 0.3 from class Gaussians')
    """
    long = "" if STEPS[data] == 1 else f" of {config.on(data).step_size:g}"
    return WAYS[way].format(**vars(config), long=long)


class _Collected(Collected):
    @property
    def values(self) -> dict[str, tuple[float, ...]]:
        return {entry.name: entry.values for entry in self.entries}

    def stages(self, data: str, name: str) -> list[Any]:
        """The results of a stage of every run."""
        return [self.results[f"run-{k}/{name}"] for k in range(self.config.runs_of(data))]

    def seconds(self, data: str, *names: str) -> float:
        return self.results.seconds(*(f"run-{k}/{n}" for n in names for k in range(self.config.runs_of(data))))

    def anchors(self, data: str) -> None:
        runs = self.stages(data, f"{data}/anchors")
        compared = f"{runs[0]['n_images']} against as many held-out images"
        for name, words in ANCHORS.items():
            self.quality(f"{data}/anchors/{name}", f"{words}, {compared}", [run["anchors"][name] for run in runs])
        right, seconds = [run["judge"]["accuracy"] for run in runs], self.seconds(data, f"{data}/judge")
        self.add(f"{data}/judge/accuracy", "The judge: accuracy on held-out images.", right, seconds=seconds)

    def quality(self, name: str, words: str, runs: Sequence[dict[str, float]], seconds: float = 0.0) -> None:
        published = dict(zip(("score", "distance"), TABLE_1.get(name, ()), strict=False))
        for figure in runs[0]:
            value = published.get(figure)
            kind = "IS" if figure == "score" else "FID"
            paper = None if value is None else f"{kind} {value:.2f}, with Inception at 32 x 32"
            what = f"{words}: {QUALITY[figure]}."
            self.add(f"{name}/{figure}", what, [run[figure] for run in runs], paper=paper, seconds=seconds)

    def arm(self, data: str, variant: Variant) -> None:
        """Everything of one arm: as a classifier, as an energy, and its samples; its deaths alone where a run died."""
        name, words, config = variant.name, variant.words, self.config
        died = [float(run.get("died", False)) for run in self.stages(data, name)]
        if any(died):
            self.add(f"{name}/died", f"{words}: {DIED}", died, seconds=self.seconds(data, name))
            return
        self.training(data, variant)
        if config.moves:
            return self.searched(data, variant)
        runs, seconds = self.stages(data, f"{name}-measured"), self.seconds(data, name)
        n = self.results[f"run-0/{data}/anchors"]["n_images"]
        figures = {"accuracy": "accuracy on held-out images", "calibration": "expected calibration error, 15 bins"}
        figures |= {
            f"pgd-{r:g}": f"accuracy under {config.n_attack_steps} PGD steps, radius {r:g}" for r in config.radii
        }
        for figure, what in figures.items():
            values = [run["classifier"][figure] for run in runs]
            self.add(f"{name}/{figure}", f"{words}: {what}.", values, seconds=seconds)
        lines = [[run["classifier"][f] for f in figures if f != "calibration"] for run in runs]
        self.curves.append(Curve(f"attacked/{name}", "radius", [0.0, *config.radii], "accuracy", lines))
        real = REAL[data][0] if data in REAL else ""
        for foreign in runs[0]["foreign"]:
            for score, meaning in SCORES.items():
                what = f"{words}: AUROC of held-out images against {foreign}, by {meaning}."
                values = [run["foreign"][foreign][score] for run in runs]
                self.add(f"{name}/foreign/{foreign}/{score}", what, values)
        for score, meaning in SCORES.items():
            made = [foreign for foreign in runs[0]["foreign"] if foreign != real]  # the same whatever the reader has
            what = f"{words}: mean AUROC over {', '.join(made)}, by {meaning}."
            means = [statistics.fmean(run["foreign"][foreign][score] for foreign in made) for run in runs]
            self.add(f"{name}/foreign/{score}", what, means)
        for gap, what in (("gap", way_in_words("short", config, data)), ("buffer_gap", WAYS["buffer"])):
            if gap in runs[0]:
                values = [run[gap] for run in runs]
                self.add(f"{name}/{gap}", f"{words}: energy gap, held-out images minus {what}.", values, unit="nats")
        for way in runs[0]["samples"]:
            how = f"{words}, {way_in_words(way, config, data)}, {n} against as many held-out images"
            self.quality(f"{name}/{way}", how, [run["samples"][way] for run in runs], seconds)
        if f"run-0/{name}-combined" in self.results:
            self.combined(data, variant, n)

    def searched(self, data: str, variant: Variant) -> None:
        """The best setting with an attack and the best without, and the smallest distance for each move and radius."""
        name, n = variant.name, self.results[f"run-0/{data}/anchors"]["n_images"]
        runs, seconds = self.stages(data, f"{name}-searched"), self.seconds(data, f"{name}-searched")
        for kind in KINDS:
            settings = "; ".join(dict.fromkeys(in_words(run["best"][kind]) for run in runs))
            how = f"{variant.words}, best setting {kind.replace('-', ' ')}, chosen on validation images ({settings}), "
            how += f"{n} against as many held-out images"
            self.quality(f"{name}/{kind}", how, [run["scored"][kind] for run in runs], seconds)
        for where, distances in smallest([run["rows"] for run in runs]).items():
            what = f"{variant.words}, {where} ({runs[0]['n']} against as many validation images): smallest distance."
            self.add(f"{name}/search/{where}", what, distances)

    def training(self, data: str, variant: Variant) -> None:
        """How training went: the energy gap against updates, and how often it went back."""
        logs = [run["rows"] for run in self.stages(data, variant.name)]
        logs = [[row for row in rows if "valid_energy_gap" in row] for rows in logs]
        if not logs[0]:
            return
        what = f"{variant.words}: times that training diverged and went back to its last good state."
        self.add(f"{variant.name}/restarts", what, [rows[-1]["valid_restarts"] for rows in logs])
        x = [float(row["step"]) for row in logs[0]]
        lines = [[row["valid_energy_gap"] for row in rows] for rows in logs]
        self.curves.append(Curve(f"gap/{variant.name}", "updates", x, "energy gap (nats)", lines))

    def combined(self, data: str, variant: Variant, n: int) -> None:
        """Every setting of combined inference on validation images, and the best one on held-out images."""
        name, words = variant.name, variant.words
        runs, seconds = self.stages(data, f"{name}-combined"), self.seconds(data, f"{name}-combined")
        for kind, what in (("combined", "best setting of combined inference"), ("alone", "best Langevin steps alone")):
            settings = ", ".join(dict.fromkeys(run["chosen"][kind] for run in runs))
            how = f"{words}, {what}, chosen on validation images ({settings}), {n} against as many held-out images"
            self.quality(f"{name}/best-{kind}", how, [run["scored"][kind] for run in runs], seconds)
        self.add(
            f"{name}/energy-of-data",
            f"{words}: mean E(x, y) of validation images.",
            [run["energy_of_data"] for run in runs],
            unit="nats",
        )
        figures = {"distance": QUALITY["distance"], "recall": QUALITY["recall"], "precision": QUALITY["precision"]}
        figures |= {
            "score": QUALITY["score"],
            "mean_energy": "mean E(x, y)",
            "moved": "root mean square distance of a pixel from the start",
            "outside": "share of pixels outside [-1, 1]",
        }
        for i, row in enumerate(runs[0]["grid"]):
            where = setting_of(row).name
            for figure, what in figures.items():
                values = [run["grid"][i][figure] for run in runs]
                say = f"{words}, {where} ({runs[0]['n']} against as many validation images): {what}."
                self.add(f"{name}/grid/{where}/{figure}", say, values)
        self.radii(name, runs)

    def radii(self, name: str, runs: Sequence[Any]) -> None:
        """The distance against the attack's radius, a line for each way to go on from class Gaussians."""
        lines: dict[str, list[int]] = {}
        for i, row in enumerate(runs[0]["grid"]):
            setting = setting_of(row)
            if setting.start == "gaussians":
                lines.setdefault(setting._replace(radius=0.0).name.partition("/radius-0/")[2], []).append(i)
        for line, picked in lines.items():
            x = [runs[0]["grid"][i]["radius"] for i in picked]
            y = [[run["grid"][i]["distance"] for i in picked] for run in runs]
            self.curves.append(Curve(f"radius/{name}/{line}", "radius of the attack", x, QUALITY["distance"], y))

    def life(self, data: str, variant: Variant) -> None:
        """How many updates an arm lives; one that reaches the last update is censored."""
        runs, limit = self.stages(data, variant.name), variant.config.n_steps
        done = sum(not run["died"] for run in runs)
        what = f"{variant.words}: updates until the energy gap passes {variant.config.gap_limit:g} nats"
        censored = f"; {done} of {len(runs)} runs lived to the last, {limit}, and count as that" if done else ""
        seconds = self.seconds(data, variant.name)
        self.add(f"{variant.name}/updates", f"{what}{censored}.", [run["updates"] for run in runs], seconds=seconds)
        x = [float(round(limit * i / 20)) for i in range(21)]
        lines = [[float(not run["died"] or run["updates"] > at) for at in x] for run in runs]
        self.curves.append(Curve(f"alive/{variant.name}", "updates", x, "share of runs alive", lines))

    def claims(self, data: str) -> None:
        """The differences that decide the declared claims, run by run."""
        values = self.values
        for name, _, words, _, _, _ in SEARCHED if self.config.moves else ROWS[data]:
            one, other = (term.rpartition(" ")[2] for term in words.split(" - "))
            one, other = f"{data}/{one}", f"{data}/{other}"
            if {one, other} <= values.keys():
                scale: Callable[[float], float] = math.log10 if words.startswith("log10") else float
                pairs = zip(values[one], values[other], strict=True)
                self.add(
                    f"claims/{data}/{name}", f"{data}: {words}, run by run.", [scale(a) - scale(b) for a, b in pairs]
                )
