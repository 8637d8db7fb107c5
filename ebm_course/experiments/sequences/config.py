"""What the reproduction of Yin (2023) trains and measures, at four sizes.

Each run trains the repeated variants on rows, noise and order of its own; the pretrained nets are shared by all. Ideas
that change one thing at a time are trained once.
Source: Yin (2023), Table 1 and Sections 3.2 and 3.3. Departure: everything the paper leaves unsaid is a field of the
configurations used here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ebm_course.experiments.configs import Settings
from ebm_course.experiments.sequences.methods import ideas, methods
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.sequences import language_model
from ebm_course.recipes.shared import check_ranges
from ebm_course.results.findings import Claim

_SHORT = replace(language_model.PAPER_ENERGY, n_epochs=2)
MATTERS = 0.05
"""The smallest difference of correctness that matters: half a digit of the ten-digit answer."""
MARGINAL = 0.15
"""What "only marginally" may be at most, in correctness; the published curve of the baseline's notebook rises 0.14."""

CLAIMS = (
    Claim(
        "figure-1a",
        "Attacking samples of P_LM with the trained energy significantly improves them.",
        "claims/figure-1a",
        "higher",
        MATTERS,
        control="likelihood/literal/free/correctness",
    ),
    Claim(
        "figure-2",
        "The attack during training makes a substantial difference against S = 0.",
        "claims/figure-2",
        "higher",
        MATTERS,
        control="no-attack/literal/free/correctness",
    ),
    Claim(
        "figure-2/plain",
        "Without the attack (S = 0) the improvement over P_LM is marginal.",
        "claims/figure-2/plain",
        "same",
        MARGINAL,
        control="lm/best/correctness",
    ),
    Claim(
        "figure-1b",
        "Resampling with residual noise contrast only marginally improves samples.",
        "claims/figure-1b/residual-long",
        "same",
        MARGINAL,
        control="lm/best/correctness",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """The paper's experiment in full by default, one run after another.

    >>> CPU.n_digits, CPU.pretraining["energy"].ships_as, CPU.variant("grown").ships_as
    (10, 'arithmetic-10-energy', 'arithmetic-10-grown-0')
    >>> replace(CPU, budgets=(11, 0))
    Traceback (most recent call last):
        ...
    ValueError: budgets rises from 0 or more, one value at least: got (11, 0).
    """

    n_runs: int = 10  # Section 3.2
    variants: tuple[Variant, ...] = field(default_factory=lambda: methods() + ideas())
    claims: tuple[Claim, ...] = CLAIMS
    lm: language_model.Config = language_model.PAPER
    energy: language_model.Config = language_model.PAPER_ENERGY
    short: language_model.Config = _SHORT  # a net that learned less
    n_samples: int = 1_000  # sequences that attacks start from
    attack_steps: tuple[int, ...] = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 80, 100)
    group_sizes: tuple[int, ...] = (1, 5, 10, 20, 40, 80)
    n_proposals: int = 16_000  # for resampling: 200 groups of the largest size
    n_chains: int = 200  # of every sampler in the comparison at equal evaluations
    budgets: tuple[int, ...] = (0, 11, 22, 55, 110, 220, 550, 1100)  # energy evaluations a chain
    side_by_side: bool = False  # one process trains all runs of Algorithm 1 as one ensemble: pays on a GPU

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, counts="n_samples n_proposals n_chains")
        for name in ("attack_steps", "group_sizes", "budgets"):
            values, least = getattr(self, name), 1 if name == "group_sizes" else 0
            if not values or list(values) != sorted(set(values)) or values[0] < least:
                raise ValueError(f"{name} rises from {least} or more, one value at least: got {values}.")

    @property
    def n_digits(self) -> int:
        """Digits of an operand, the same in every part."""
        return self.energy.n_digits

    @property
    def pretraining(self) -> dict[str, Variant]:
        """The nets that every variant starts from, each trained once, by stage."""
        ships = f"arithmetic-{self.n_digits}"
        fit = language_model.fit
        return {
            "lm": Variant("lm", "P_LM", self.lm, fit, once=True, ships_as=f"{ships}-lm"),
            "energy": Variant("energy", "E", self.energy, fit, once=True, ships_as=f"{ships}-energy"),
            "short": Variant("short", "E pretrained for less", self.short, fit, once=True),
        }


PAPER = Config(side_by_side=True, words="ten digits, the paper's size")
_CPU_ENERGY = replace(
    language_model.PAPER_ENERGY,
    dropout=0.0,
    batch_size=128,
    rate=2e-3,
    n_epochs=12,
    warm_up=0.05,
    decay=True,
    n_cycles=2,
)
_CPU_CHANGES: dict[str, Any] = {"n_attack_steps": 5, "n_epochs": 20, "batch_size": 25}
_SMALL: dict[str, Any] = {"n_proposals": 8_000, "n_chains": 48, "budgets": (0, 11, 22, 55, 110, 220, 550)}
CPU = Config(
    words="ten digits, for two CPU cores",
    energy=_CPU_ENERGY,
    short=replace(_CPU_ENERGY, n_epochs=2, n_cycles=1),
    variants=methods(**_CPU_CHANGES) + ideas(20_000, **_CPU_CHANGES),
    n_runs=2,
    n_samples=128,
    **_SMALL,
)
NOTEBOOK = Config(
    words="three digits",
    lm=language_model.NOTEBOOK,
    energy=language_model.NOTEBOOK_ENERGY,
    short=replace(language_model.NOTEBOOK_ENERGY, n_epochs=6),
    variants=methods(3, n_attack_steps=5) + ideas(50_000, 3, n_attack_steps=5),
    n_runs=3,
    n_samples=200,
    **_SMALL,
)
_TINY: dict[str, Any] = {"n_rows": 20, "n_noise": 20, "n_epochs": 1, "batch_size": 10, "n_attack_steps": 2}
SMOKE = Config(
    lm=replace(language_model.SMOKE, n_rows=40, n_epochs=10, rate=2e-2, width=32),  # learns the form
    energy=replace(language_model.SMOKE, width=8, n_heads=2),
    short=replace(language_model.SMOKE, width=8, n_heads=2, n_epochs=1),
    variants=methods(1, **_TINY) + ideas(20, 1, **_TINY),
    n_runs=2,
    n_samples=8,
    attack_steps=(0, 1, 2),
    group_sizes=(1, 2),
    n_proposals=8,
    n_chains=4,
    budgets=(0, 11, 22),
)
PRESETS = {"paper": PAPER, "cpu": CPU, "notebook": NOTEBOOK, "smoke": SMOKE}
