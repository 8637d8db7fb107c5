"""What is pretrained, trained, measured and claimed, declared before the run.

Each run has a language model and pretrained nets of its own, fine-tuned on rows of its own. A net may be fine-tuned
several times, from other seeds: a run then counts once, with the mean (see ``nested``). Kinds of pretraining:
``next-token`` (Eq. 7 of Yin, 2023), ``masked`` (as the baseline's notebook), and both for 1/2 to 1/16 of the updates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ebm_course.experiments.ablation.arms import ARMS, HEADS, arms_of
from ebm_course.experiments.configs import GROWS, Settings, changed
from ebm_course.experiments.variants import Variant
from ebm_course.origin import LATER
from ebm_course.recipes.sequences import language_model, masked_language_model
from ebm_course.recipes.shared import check_ranges
from ebm_course.results.findings import Claim

SHARES = (1, 2, 4, 8, 16)
"""One part in so many of the updates of pretraining."""
NEXT_TOKEN = replace(language_model.NOTEBOOK_ENERGY, batch_size=128, n_epochs=16, rate=2e-3)  # as masked.NOTEBOOK
PRETRAINED = {"next-token": language_model, "masked": masked_language_model}
KINDS = tuple(name if share == 1 else f"{name}-{share}" for name in PRETRAINED for share in SHARES)
FEW = ("contrast", "printed", "grown", "grown-memory")
"""Arms that are trained after pretraining for a part of the updates, with the local head."""
LONGER = ("masked-x2",)
"""Pretraining for twice the updates."""
N_RUNS, FEWER_RUNS = 8, 5  # independent runs of the two kinds, and of their parts
MATTERS = 0.05
"""The smallest difference of correctness or of exact answers that matters."""
MARGINAL = 0.15
CHOSEN_BY = ("exact", "correctness")
"""Figures that a search can be chosen by; where next to no answer is exact, shares of exact ones tell none apart."""
GOAL = 0.9
"""The share of right digits at ten digits that was set as the goal, operands untouched."""


def _claims() -> tuple[Claim, ...]:
    """The paper's three for its own net, head and attack, and what training against attacks adds, for both kinds."""
    paper = "next-token/printed/pooled"
    found = [
        Claim(
            "attack",
            "The paper's attack on the adversarially trained energy improves samples of P_LM.",
            f"claims/{paper}/lifts",
            "higher",
            MATTERS,
            control="next-token/likelihood/free",
        ),
        Claim(
            "training",
            "Attacks during training make a substantial difference against S = 0.",
            f"claims/{paper}/no-attack",
            "higher",
            MATTERS,
            control="next-token/no-attack/pooled/free",
        ),
        Claim(
            "resampling",
            "Resampling with residual noise contrast only marginally improves samples.",
            "claims/next-token/contrast/pooled/resampling",
            "same",
            MARGINAL,
            control="lm/correctness",
        ),
    ]
    for kind, head in (("next-token", "local"), ("masked", "local"), ("masked", "pooled")):
        words, adds = f"{kind} pretraining, {HEADS[head][0]}, best search:", f"claims/{kind}/grown/{head}"
        baselines = {
            "contrast": ("training against attacks adds to noise contrast.", f"{kind}/contrast/{head}/exact"),
            "untrained": ("it adds to the net with nothing trained.", f"{kind}/likelihood/exact"),
        }
        for name, (what, control) in baselines.items():
            claim = f"{kind}/{head}/{name}", f"{words} {what}", f"{adds}/{name}"
            found.append(Claim(*claim, "higher", MATTERS, control=control))
    found.append(
        Claim(
            "surprise",
            "The head that is handed the likelihood needs no training: w = 1 finds as many right answers as after it.",
            "claims/next-token/grown/surprise/untrained",
            "same",
            MATTERS,
            control="next-token/surprise-untrained/exact",
        )
    )
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Three digits, eight runs of the two kinds of pretraining in full, five of its parts.

    >>> CPU.runs_of("masked"), CPU.runs_of("masked-4"), CPU.pretraining("masked").config.n_epochs
    (8, 5, 16)
    >>> CPU.pretraining("masked-4").config.n_epochs, CPU.pretraining("masked-x2").config.n_epochs
    (4, 32)
    """

    n_runs: int = N_RUNS
    n_tunings: int = field(default=1, metadata=GROWS)  # fine-tunings of a pretrained net
    n_tuned_again: int | None = field(default=None, metadata=GROWS)  # runs whose nets have more than one, None: all
    data: tuple[str, ...] = KINDS
    claims: tuple[Claim, ...] = _claims()
    lm: language_model.Config = language_model.NOTEBOOK
    next_token: language_model.Config = NEXT_TOKEN
    masked: masked_language_model.Config = masked_language_model.NOTEBOOK
    n_chosen_on: int = 48  # samples that a search is chosen on
    n_samples: int = 150  # samples that are scored
    budget: int = 220  # energy evaluations a chain, 20 steps of the paper's attack
    chosen_by: str = field(default="exact", metadata=LATER)  # what a search is to have most of, or "correctness"
    group_size: int = 20  # proposals a resampled sequence
    side_by_side: bool = False  # one process trains all runs of an arm as one ensemble: pays on a GPU

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = "n_chosen_on n_samples group_size n_tunings"
        if self.chosen_by not in CHOSEN_BY:
            raise ValueError(f"chosen_by: expected one of {', '.join(CHOSEN_BY)}, got {self.chosen_by!r}.")
        check_ranges(self, counts=counts, counts_or_none="n_tuned_again", whole="budget")

    @property
    def n_digits(self) -> int:
        """Digits of an operand, the same in every part."""
        return self.lm.n_digits

    def runs_of(self, kind: str) -> int:
        """Runs of a kind of pretraining: parts of it have fewer."""
        return self.n_runs if kind in PRETRAINED else min(self.n_runs, FEWER_RUNS)

    def members(self, variant: Variant) -> list[tuple[Variant, int]]:
        """Every training of an arm: which fine-tuning of its net, and of which run; the first of all runs come first.

        Each is an arm of its own to the stages, equal to the others but for the seed.
        """
        n_runs = self.runs_of(kind_of(variant))
        again = n_runs if self.n_tuned_again is None else min(n_runs, self.n_tuned_again)
        numbers = {j: range(again if j else n_runs) for j in range(self.n_tunings)}
        return [(replace(variant, tuning=j), k) for j, runs in numbers.items() for k in runs]

    def pretraining(self, kind: str) -> Variant:
        """The pretraining of a kind: shorter ones have as many rows and epochs less, longer ones more."""
        name = next(name for name in PRETRAINED if kind.startswith(name))
        whole, part = {"next-token": self.next_token, "masked": self.masked}[name], kind[len(name) + 1 :]
        longer = part.startswith("x")
        n_epochs = whole.n_epochs * int(part[1:]) if longer else max(1, whole.n_epochs // int(part or 1))
        config = replace(whole, n_epochs=n_epochs)
        return Variant(f"{kind}/pretraining", f"{kind}: pretraining", config, PRETRAINED[name].fit)

    @property
    def language_model(self) -> Variant:
        """P_LM, whose samples are the negatives' starts."""
        return Variant("lm", "P_LM", self.lm, language_model.fit)


def kind_of(variant: Variant) -> str:
    """The kind of pretraining that an arm starts from.

    >>> kind_of(CPU.variant("masked-2/grown/local"))
    'masked-2'
    """
    return variant.starts_from.rpartition("/")[0]


def all_arms(**changes: Any) -> tuple[Variant, ...]:
    """Every arm of every kind, with changes made to all of them.

    >>> rows = all_arms(n_digits=3)  # 17 after next-token pretraining, 10 after masked, 4 after each of eight parts
    >>> len(rows), {row.config.n_digits for row in rows}
    (59, {3})
    """
    rows = arms_of("next-token", heads=tuple(HEADS), arms=tuple(ARMS), corrections=True)
    rows += arms_of("masked", heads=("pooled", "local"), arms=tuple(ARMS), corrections=False)
    for kind in KINDS:
        if kind not in PRETRAINED:
            rows += arms_of(kind, heads=("local",), arms=FEW, corrections=False)
    return tuple(replace(row, config=changed(row.config, changes)) for row in rows)


CPU = Config(words="three digits", variants=all_arms(n_digits=3))
_TINY: dict[str, Any] = {"n_digits": 1, "n_rows": 20, "n_noise": 20, "n_epochs": 1, "batch_size": 10}
SMOKE = Config(
    n_runs=2,
    data=("next-token", "masked", "masked-2"),
    variants=all_arms(**_TINY, n_attack_steps=2),
    lm=replace(language_model.SMOKE, n_rows=40, n_epochs=50, rate=2e-2, width=32),  # learns the form
    next_token=replace(language_model.SMOKE, width=8, n_heads=2),
    masked=replace(masked_language_model.SMOKE, width=8, n_heads=2),
    n_chosen_on=4,
    n_samples=8,
    budget=22,
    group_size=2,
)
GPU = replace(CPU, side_by_side=True, words="three digits, runs of an arm trained side by side")
TUNINGS = replace(  # in the folder of the preset above it finds nets and first fine-tunings done
    GPU,
    words="three digits, three fine-tunings of the nets of two runs",
    data=tuple(PRETRAINED),
    n_tunings=3,
    n_tuned_again=2,
)
JUDGED = (
    *("next-token/contrast/pooled", "next-token/no-attack/pooled", "next-token/printed/pooled"),
    *("next-token/contrast/local", "next-token/grown/local", "next-token/grown/surprise"),
    *("masked/contrast/pooled", "masked/grown/pooled", "masked/contrast/local", "masked/grown/local"),
)
"""The arms that claims read."""
FRESH = replace(  # with another --seed: the claims on a new sample of rows, nets and fine-tunings
    CPU,
    words="three digits, the arms that claims read, language models and nets on rows drawn anew for each run",
    data=tuple(PRETRAINED),
    variants=tuple(CPU.variant(name) for name in JUDGED),
    lm=replace(CPU.lm, draw_rows=True),
    next_token=replace(CPU.next_token, draw_rows=True),
    masked=replace(CPU.masked, draw_rows=True),
)
GPU_FRESH = replace(FRESH, side_by_side=True, words=f"{FRESH.words}, side by side")
PRESETS = {"cpu": CPU, "gpu": GPU, "gpu-tunings": TUNINGS, "fresh": FRESH, "gpu-fresh": GPU_FRESH, "smoke": SMOKE}
