"""Measured seconds and bytes as named numbers and curves, one value or line a run, with the exponents of growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebm_course.experiments.clock import MIB, exponent
from ebm_course.experiments.speed.config import SWEEPS, Config, sizes
from ebm_course.experiments.stages import Results
from ebm_course.results.findings import Curve, Entry, Findings

N_LARGE = 3
"""So many of the largest sizes show the law that holds where the fixed cost of a step no longer counts."""

SIZES = {
    "length": "tokens of a sequence",
    "batch": "chains",
    "vocabulary-all": "values, all of them candidates",
    "vocabulary-short": "values, a short list of them candidates",
    "max-rows": "sequences scored at once",
}
MODES = {
    "plain": "a plain loop in float32",
    "float32": "the recipe's step in float32",
    "bfloat16": "the recipe's step in bfloat16",
    "compiled": "the recipe's step compiled, in float32",
    "bfloat16-compiled": "the recipe's step compiled, in bfloat16",
}
KINDS = {"freezes": "where chains freeze", "toggles": "where chains toggle"}
OPTIONS = {
    "neither": "saving nothing",
    "dropping": "chains at their end leave the batch",
    "prefix": "prefixes are not repeated",
    "both": "both savings",
}
Runs = Sequence[Mapping[str, Any]]


def findings(config: Config, results: Results) -> Findings:
    """All numbers and curves, one value or line a run.

    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from ebm_course.experiments.speed.config import SMOKE
    >>> config, results = replace(SMOKE, n_runs=1), Results(Path("folder"))
    >>> made = {"machine": {"float32": 2e11}, "pretraining": {}, "processes": {}, "attack": {}}
    >>> found = {f"run-0/{name}": value for name, value in made.items()}
    >>> for sweep, x in sizes(config).items():  # seconds as size, bytes as its square
    ...     found |= {f"run-0/seconds/{sweep}": list(x), f"bytes/{sweep}": [n**2 for n in x]}
    >>> for name, result in found.items():
    ...     results.add(name, {"result": result, "files": {}, "made_from": {}, "attempts": []})
    >>> value = {entry.name: round(entry.value, 6) for entry in findings(config, results).entries}
    >>> value["machine/float32"], value["exponent/length/seconds"], value["exponent/length/bytes"]
    (200.0, 1.0, 2.0)
    """
    runs = [_of_run(k, results) for k in range(config.n_runs)]
    bytes_ = {sweep: results[f"bytes/{sweep}"] for sweep in SWEEPS}
    return collected(runs, bytes_, sizes(config))


def collected(runs: Runs, bytes_: Mapping[str, list[int]], sizes: Mapping[str, Sequence[int]]) -> Findings:
    """The same from what was measured.

    Args:
        runs: what each run measured: ``machine``, ``seconds/<sweep>``, ``attack``, ``pretraining``, ``processes``.
        bytes_: sweep -> the most bytes of one attack step at each size, the same in all runs.
        sizes: sweep -> its sizes.

    >>> run = {"machine": {}, "seconds/length": [1.0, 4.0], "pretraining": {}, "processes": {"1": 3.0, "2": 2.0}}
    >>> run["attack"] = {"freezes/neither": 6.0, "freezes/both": 2.0}
    >>> found = collected([run], {"length": [MIB, 2 * MIB]}, {"length": [10, 20]})
    >>> {entry.name: entry.value for entry in found.entries if "ratio" in entry.name}
    {'processes-ratio/2': 1.5, 'attack-ratio/freezes/both': 3.0}
    """
    entries = _machine(runs) + _growth(runs, bytes_, sizes) + _pretraining(runs) + _processes(runs) + _attack(runs)
    curves = []
    for sweep, x in sizes.items():
        lines = [list(map(float, run[f"seconds/{sweep}"])) for run in runs]
        curves.append(_curve(f"seconds/{sweep}", sweep, x, "seconds of one attack step", lines))
        mib = [n / MIB for n in bytes_[sweep]]
        curves.append(_curve(f"MiB/{sweep}", sweep, x, "MiB of one attack step", [mib]))
    return Findings(entries, curves)


def _of_run(k: int, results: Results) -> dict[str, Any]:
    first = f"run-{k}/"
    return {name.removeprefix(first): value for name, value in results.items() if name.startswith(first)}


def _machine(runs: Runs) -> list[Entry]:
    return [
        Entry.of(
            f"machine/{name}",
            f"Rate of the product of two large matrices in {name}.",
            tuple(run["machine"][name] / 1e9 for run in runs),
            "GFLOP/s",
        )
        for name in runs[0]["machine"]
    ]


def _growth(runs: Runs, bytes_: Mapping[str, list[int]], sizes: Mapping[str, Sequence[int]]) -> list[Entry]:
    found = []
    for sweep, x in sizes.items():
        of, largest = SIZES[sweep], f"at {x[-1]:,} {SIZES[sweep]}"
        for quantity, lines in {
            "seconds": [run[f"seconds/{sweep}"] for run in runs],
            "bytes": [bytes_[sweep]],
        }.items():
            if (sweep, quantity) == ("max-rows", "seconds"):
                continue  # the work is the same at every size
            all_, large = (tuple(exponent(x, line, last=last) for line in lines) for last in (None, N_LARGE))
            law = f"Exponent of the {quantity} of an attack step against {of}"
            found.append(Entry.of(f"exponent/{sweep}/{quantity}", f"{law}.", all_))
            only = f"{law}; the {N_LARGE} largest sizes only."
            found.append(Entry.of(f"exponent-large/{sweep}/{quantity}", only, large))
        taken = tuple(float(run[f"seconds/{sweep}"][-1]) for run in runs)
        found.append(Entry.of(f"largest/{sweep}/seconds", f"Seconds of an attack step {largest}.", taken, "s"))
        peak = (bytes_[sweep][-1] / MIB,)
        found.append(Entry.of(f"largest/{sweep}/bytes", f"Memory of an attack step {largest}.", peak, "MiB"))
    return found


def _pretraining(runs: Runs) -> list[Entry]:
    found = []
    for name in runs[0]["pretraining"]:
        rates = tuple(run["pretraining"][name] for run in runs)
        found.append(Entry.of(f"pretraining/{name}", f"Pretraining, {MODES[name]}.", rates, "tokens/s"))
    for name in runs[0]["pretraining"]:
        if name != "plain":
            ratios = tuple(run["pretraining"][name] / run["pretraining"]["plain"] for run in runs)
            what = f"Pretraining, {MODES[name]}: times as fast as the plain loop."
            found.append(Entry.of(f"pretraining-ratio/{name}", what, ratios))
    return found


def _processes(runs: Runs) -> list[Entry]:
    found = []
    for n in runs[0]["processes"]:
        taken = tuple(run["processes"][n] for run in runs)
        found.append(Entry.of(f"processes/{n}", f"Algorithm 1 in processes of one thread: {n}.", taken, "s"))
    for n in runs[0]["processes"]:
        if n != "1":
            ratios = tuple(run["processes"]["1"] / run["processes"][n] for run in runs)
            found.append(Entry.of(f"processes-ratio/{n}", f"Times as fast in {n} processes as in one.", ratios))
    return found


def _attack(runs: Runs) -> list[Entry]:
    found = []
    for name in runs[0]["attack"]:
        kind, options = name.split("/")
        what = f"A whole attack {KINDS[kind]}, {OPTIONS[options]}"
        found.append(Entry.of(f"attack/{name}", f"{what}.", tuple(run["attack"][name] for run in runs), "s"))
        if options != "neither":
            ratios = tuple(run["attack"][f"{kind}/neither"] / run["attack"][name] for run in runs)
            found.append(Entry.of(f"attack-ratio/{name}", f"{what}: times as fast as saving nothing.", ratios))
    return found


def _curve(name: str, sweep: str, x: Sequence[int], y_name: str, lines: list[list[float]]) -> Curve:
    return Curve(name, SIZES[sweep], list(map(float, x)), y_name, lines)
