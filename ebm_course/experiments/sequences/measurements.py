"""Stages that measure energies: under the paper's attacks, under its options, and under other samplers.

>>> from types import SimpleNamespace
>>> from torch.nn.functional import one_hot
>>> from ebm_course.experiments.sequences.config import SMOKE
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> from ebm_course.tasks.arithmetic import Format
>>> target = one_hot(Format(1).encode(["1+2=03"]), 16)
>>> def energy(x):  # 10 nats for every other token
...     return 10.0 * ((one_hot(x, 16) if x.ndim == 2 else x) * (1 - target)).sum(dim=(1, 2))
>>> energy.n_values = 16
>>> nets = SimpleNamespace(config=SMOKE, run=SINGLE_PROCESS, noise=lambda results, kind="best": None)
>>> nets.samples = lambda noise, stream, n=4: Format(1).encode(["1+2=77"] * n)
>>> nets.trained = nets.energy = lambda *_: energy  # all as if trained
>>> sorted(measured(nets, nets.energy)(None, {})), sorted(of_variant(nets, SMOKE.variant("residual"), 0)(None, {}))
(['attack', 'told'], ['attack', 'resampling', 'told'])
>>> [row["correctness"] for row in options(nets, "grown")(None, {})["gain-improve/answer"]]
[0.0, 0.5, 1.0]
>>> equal_evaluations(nets, "grown")(None, {})["attack with memory"]
[0.0, 0.5, 1.0]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ebm_course.experiments.sequences.equal_evaluations import quality_against_evaluations
from ebm_course.experiments.sequences.evaluation import POSITIONS, measure, positions
from ebm_course.experiments.sequences.nets import Nets
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import Variant, seeded
from ebm_course.recipes.sequences import residual_nce
from ebm_course.recipes.sequences.curves import attack_curve, resampling_curve
from ebm_course.recipes.sequences.parts import task_for
from ebm_course.samplers.substitution_proposals import by_gain
from ebm_course.tasks.arithmetic_score import well_formed

Work = Callable[[Path, Results], Any]
OPTIONS: dict[str, dict[str, Any]] = {
    "current": {"include_current": True},
    "only-improve": {"only_improve": True},
    "gain": {"propose": by_gain},
    "gain-improve": {"propose": by_gain, "only_improve": True},
    "gain-10-improve": {"propose": partial(by_gain, n_candidates=10), "only_improve": True},
}
"""Named options of the attack beside the two that every energy is measured with, compared at as many steps."""
SPARE = 4  # samples drawn for each that has to be well formed


def measured(nets: Nets, energy: Callable[[Results], Any], *, start: str = "best") -> Work:
    """The four attacks on samples of P_LM with its ``best`` or ``last`` weights."""

    def work(_: Path, results: Results) -> dict[str, Any]:
        x = nets.samples(nets.noise(results, start), "test samples")
        valid = task_for(nets.config.n_digits).valid.x.to(nets.run.device)
        options: dict[str, Any] = {"n_digits": nets.config.n_digits, "at": nets.config.attack_steps, "run": nets.run}
        return measure(energy(results), x, valid, **options)

    return work


def of_variant(nets: Nets, variant: Variant, k: int) -> Work:
    """The four attacks on a variant's energy of run k, and resampling where it was trained for that."""

    def energy(results: Results) -> Any:
        return nets.trained(results, variant, k)

    def work(folder: Path, results: Results) -> dict[str, Any]:
        result = measured(nets, energy)(folder, results)
        if isinstance(variant.config, residual_nce.Config) and not variant.once:
            result["resampling"] = resampling_curve(
                energy(results),
                nets.samples(nets.noise(results), "proposals", nets.config.n_proposals),
                n_digits=nets.config.n_digits,
                sizes=nets.config.group_sizes,
                generator=seeded(nets.run, k).generator("resampling"),
            )
        return result

    return work


def options(nets: Nets, name: str) -> Work:
    """Curves of the attack under every option, from the same samples."""
    settings: dict[str, Any] = {"n_digits": nets.config.n_digits, "at": nets.config.attack_steps, "run": nets.run}

    def work(_: Path, results: Results) -> dict[str, Any]:
        x, energy, result = nets.samples(nets.noise(results), "test samples"), nets.energy(results, name), {}
        for option, chosen in OPTIONS.items():
            for where in POSITIONS:
                free = positions(where, nets.config.n_digits)
                result[f"{option}/{where}"] = attack_curve(energy, x, free=free, **settings, **chosen)
        return result

    return work


def equal_evaluations(nets: Nets, name: str) -> Work:
    """Correctness under several samplers at equal energy evaluations, from well-formed samples."""
    config = nets.config

    def work(_: Path, results: Results) -> dict[str, Any]:
        n, most = config.n_chains, max(config.group_sizes)
        x = nets.samples(nets.noise(results), "equal", SPARE * n * most)
        x = x[well_formed(x, config.n_digits)][: n * most]
        if len(x) < n * most:
            raise ValueError(
                f"{len(x)} of {SPARE * n * most} samples of the language model are well formed, expected {n * most}: "
                f"train it longer, or compare fewer chains."
            )
        starts = x.view(n, most, -1)
        asked: dict[str, Any] = {"n_digits": config.n_digits, "budgets": config.budgets, "run": nets.run}
        return quality_against_evaluations(nets.energy(results, name), starts, name=name, **asked)

    return work
