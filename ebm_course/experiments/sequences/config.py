"""The whole of Yin (2023) on ten-digit addition: language models, energies, every figure, and what goes beyond.

Each run trains the methods of ``Config.methods`` on rows, noise and order of its own; the two pretrained nets are
shared by all. Ideas that change one thing at a time are trained once. Everything is a stage of its own, so that a run
killed at any point goes on where it was; runs may be added to a finished experiment. How stages become numbers with
the paper's claims beside them stands in ``sequence_findings``.
Source: Yin (2023), Table 1 and Sections 3.2 and 3.3. Departure: everything the paper leaves unsaid is a field of the
configurations used here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ebm_course.energies.sequence_energies import CorrectedEnergy, SurpriseEnergy
from ebm_course.experiments.nets import small_checkpoints as small_checkpoints  # for the command line
from ebm_course.experiments.sequences.experiment import Experiment
from ebm_course.experiments.sequences.findings import findings
from ebm_course.experiments.stages import Stages
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences import adversarial, language_model, residual_nce
from ebm_course.results.findings import Findings
from ebm_course.runtime import Run
from ebm_course.samplers.substitution_proposals import by_gain

Method = residual_nce.Config | adversarial.Config
_ADVERSARIAL = adversarial.PAPER
_SHORT = replace(language_model.PAPER_ENERGY, n_epochs=2)
_GROWN = replace(_ADVERSARIAL, objective=logistic, include_current=True, grow_every=60, grow_above=0.7)


def _changed(config: Any, changes: Mapping[str, Any], keep: tuple[str, ...] = ()) -> Any:
    """The configuration with those changes made that it has a field for, but for the fields to keep."""
    names = {f.name for f in dataclasses.fields(config)} - set(keep)
    return replace(config, **{name: value for name, value in changes.items() if name in names})


def methods(**changes: Any) -> dict[str, Method]:
    """What every run trains, from the paper's settings with ``changes`` made to all of them that have such a field.

    ``residual`` and ``residual-long``: the baseline at 5 epochs and at as many as Algorithm 1; ``no-attack``: Algorithm
    1 with S = 0, the ablation; ``adversarial``: Algorithm 1 as printed; ``grown``: with the logistic loss, the current
    token among the candidates and a budget that grows with the energy's strength.
    """
    return {
        "residual": _changed(residual_nce.PAPER, changes, keep=("n_epochs",)),
        "residual-long": _changed(residual_nce.PAPER_LONG, changes),
        "no-attack": _changed(replace(_ADVERSARIAL, n_attack_steps=0), changes, keep=("n_attack_steps",)),
        "adversarial": _changed(_ADVERSARIAL, changes),
        "grown": _changed(_GROWN, changes),
    }


def ideas(n_fresh: int = 55_000, **changes: Any) -> dict[str, Method]:
    """One change at a time, trained by the first run only; a name begins with the method that was changed.

    ``logistic`` and ``l2`` change ``adversarial``, and so does ``corrected`` by its head and all that the head needs.
    ``grown-fresh`` sees ``n_fresh`` rows and as many samples of P_LM once each, so that nothing can be memorised.
    ``grown-surprise-memory`` may take twelve steps whatever the others take, enough for every digit of the answer.
    """
    once: dict[str, Any] = {"n_epochs": 1, "n_rows": n_fresh, "n_noise": n_fresh}
    corrected = replace(_ADVERSARIAL, head=CorrectedEnergy, rate=2e-4, include_current=True)
    each: dict[str, Method] = {
        "logistic": replace(_ADVERSARIAL, objective=logistic),
        "l2": replace(_ADVERSARIAL, l2=0.01),
        "grown-memory": replace(_GROWN, position_memory=True),
        "grown-gain": replace(_GROWN, propose=by_gain),
        "grown-replay": replace(_GROWN, replay=0.5),
        "grown-ema": replace(_GROWN, ema=0.99),
        "grown-bidirectional": replace(_GROWN, bidirectional=True),
        "corrected": corrected,
        "corrected-memory": replace(corrected, position_memory=True, answer_only=True),
        "residual-surprise": replace(residual_nce.PAPER_LONG, head=SurpriseEnergy),
        "adversarial-surprise": replace(_ADVERSARIAL, head=SurpriseEnergy),
        "grown-surprise": replace(_GROWN, head=SurpriseEnergy),
    }
    found = {name: _changed(config, changes) for name, config in each.items()}
    near = replace(_GROWN, head=SurpriseEnergy, position_memory=True, answer_only=True, n_attack_steps=12)
    return found | {
        "grown-fresh": _changed(replace(_GROWN, **once), changes, keep=tuple(once)),
        "grown-surprise-memory": _changed(near, changes, keep=("n_attack_steps",)),
    }


@dataclass(frozen=True)
class Config:
    """The paper's experiment in full by default, one run after another."""

    lm: language_model.Config = language_model.PAPER
    energy: language_model.Config = language_model.PAPER_ENERGY
    short: language_model.Config = _SHORT  # a net that learned less
    methods: Mapping[str, Method] = field(default_factory=methods)
    ideas: Mapping[str, Method] = field(default_factory=ideas)
    n_runs: int = 10  # Section 3.2
    n_samples: int = 1_000  # sequences that attacks start from
    attack_steps: tuple[int, ...] = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 80, 100)
    group_sizes: tuple[int, ...] = (1, 5, 10, 20, 40, 80)
    n_proposals: int = 16_000  # for resampling: 200 groups of the largest size
    n_chains: int = 200  # of every sampler in the comparison at equal evaluations
    budgets: tuple[int, ...] = (0, 11, 22, 55, 110, 220, 550, 1100)  # energy evaluations a chain
    side_by_side: bool = False  # one process trains all runs of Algorithm 1 as one ensemble: pays on a GPU

    @property
    def n_digits(self) -> int:
        """Digits of an operand, the same in every part."""
        return self.energy.n_digits


PAPER = Config(side_by_side=True)
CPU = Config(
    energy=replace(
        language_model.PAPER_ENERGY,
        dropout=0.0,
        batch_size=128,
        rate=2e-3,
        n_epochs=12,
        warm_up=0.05,
        decay=True,
        n_cycles=2,
    ),
    short=replace(
        language_model.PAPER_ENERGY, dropout=0.0, batch_size=128, rate=2e-3, n_epochs=2, warm_up=0.05, decay=True
    ),
    methods=methods(n_attack_steps=5, n_epochs=20, batch_size=25),
    ideas=ideas(20_000, n_attack_steps=5, n_epochs=20, batch_size=25),
    n_runs=2,
    n_samples=128,
    n_proposals=8_000,
    n_chains=48,
    budgets=(0, 11, 22, 55, 110, 220, 550),
)
NOTEBOOK = Config(
    lm=language_model.NOTEBOOK,
    energy=language_model.NOTEBOOK_ENERGY,
    short=replace(language_model.NOTEBOOK_ENERGY, n_epochs=6),
    methods=methods(n_digits=3, n_attack_steps=5),
    ideas=ideas(50_000, n_digits=3, n_attack_steps=5),
    n_runs=3,
    n_samples=200,
    n_proposals=8_000,
    n_chains=48,
    budgets=(0, 11, 22, 55, 110, 220, 550),
)
_TINY: dict[str, Any] = {
    "n_digits": 1,
    "n_rows": 20,
    "n_noise": 20,
    "n_epochs": 1,
    "batch_size": 10,
    "n_attack_steps": 2,
}
SMOKE = Config(
    lm=replace(language_model.SMOKE, n_rows=200, n_epochs=10, rate=2e-2, width=32),  # learns the form
    energy=replace(language_model.SMOKE, width=8, n_heads=2),
    short=replace(language_model.SMOKE, width=8, n_heads=2, n_epochs=1),
    methods=methods(**_TINY),
    ideas=ideas(20, **_TINY),
    n_runs=2,
    n_samples=8,
    attack_steps=(0, 1, 2),
    group_sizes=(1, 2),
    n_proposals=8,
    n_chains=4,
    budgets=(0, 11, 22),
)


def reproduce(config: Config, run: Run, *, folder: Path, progress: bool = True) -> Findings:
    """Do all of it in ``folder`` and return what was found; what is done already is not done again.

    Args:
        config: a preset; ``n_runs`` may grow from one call to the next, everything else has to stay.
        run: device and first seed; run k has the seed ``run.seed + k``.
        folder: results, states and checkpoints of all stages.
        progress: show one bar over all stages, with the time left.

    Raises:
        ValueError: the folder holds another experiment.
    """
    asked = json.loads(json.dumps(dataclasses.asdict(config), default=_named)) | {"seed": run.seed}
    del asked["n_runs"]
    stages = Stages(folder, plan(config), config=asked, run=run, progress=progress)
    try:
        results = Experiment(config, run, stages, progress=progress).work()
    finally:
        stages.close()
    return findings(config, results, stages)


def plan(config: Config) -> dict[str, float]:
    """The stages in order, with their share of the work in minutes of the ``cpu`` preset on two cores."""
    stages = {"lm": 6.0, "energy": 9.0, "short": 1.5, "likelihood": 1.0}
    for k in range(config.n_runs):
        for name in config.methods:
            stages |= {f"run-{k}/{name}": 3.0, f"run-{k}/{name}-measured": 0.7}
    stages |= {"options": 2.0, "equal": 5.0, "memorised": 1.0}
    stages |= {f"idea/{name}": 3.5 for name in config.ideas} | {"short-likelihood": 0.5}
    return stages | ({"short-corrected": 3.5} if "corrected" in config.ideas else {})


def _named(value: Any) -> str:
    return getattr(value, "__qualname__", str(value))
