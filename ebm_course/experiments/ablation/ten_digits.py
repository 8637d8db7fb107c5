"""The paper's size: arms, controls and the baseline at ten digits, and what is claimed of them before the run.

Three pretrainings of each kind, two fine-tunings of each; a run counts once, with the mean of its fine-tunings. With
three runs an interval is wide, so the claims are few and on one head: the pooled one after masked pretraining, where
three digits showed an effect. They are on the share of right digits: of eleven-digit answers next to none may be exact.
The presets ``ten``, ``gibbs``, ``baseline`` and ``adders`` share language models, pretrained nets and claims, so one
folder serves all. Gibbs with gradients stands apart: its arm takes longer than any other. So do the adders: of nets
pretrained twice as long some have learned to add, and ``adders`` asks what training against attacks does to those. It
was added when ``baseline`` had shown that they do, and judges no claim.

>>> [row.name for row in arms() if row.name.startswith("masked/g")]
['masked/grown/pooled', 'masked/grown/local', 'masked/grown-distance/pooled']
>>> [row.name for row in suppliers()]
['masked/grown/pooled', 'masked/gibbs/pooled']
>>> [row.name for row in adders()][:3]
['masked-x2/contrast/pooled', 'masked-x2/printed/pooled', 'masked-x2/grown/pooled']
>>> [row.name for row in baselines()][:3]
['masked/contrast/pooled', 'masked/baseline-rows/pooled', 'masked/baseline-epochs/pooled']
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ebm_course.experiments.ablation.arms import BASELINES, arms_of
from ebm_course.experiments.ablation.config import CPU, GPU, LONGER, MATTERS, NEXT_TOKEN, SMOKE, Config
from ebm_course.experiments.variants import Variant
from ebm_course.results.findings import Claim

ARMS = ("contrast", "no-attack", "printed", "grown")
HEADS = {"masked": ("pooled", "local"), "next-token": ("pooled", "surprise")}
"""The heads that matter: after masked pretraining those that see what came; else the paper's and the likelihood's."""
ABOVE = 0.01
"""How far above the goal counts."""
_GROWN, _PRINTED = "claims/masked/grown/pooled", "claims/masked/printed/pooled"
CLAIMS = (
    Claim(
        "ten/contrast",
        "At ten digits training against attacks adds to noise contrast (masked pretraining, pooled head).",
        f"{_GROWN}/contrast/correctness",
        "higher",
        MATTERS,
        control="masked/contrast/pooled/correctness",
    ),
    Claim(
        "ten/untrained",
        "At ten digits it adds to the net with nothing trained.",
        f"{_GROWN}/untrained/correctness",
        "higher",
        MATTERS,
        control="masked/likelihood/correctness",
    ),
    Claim(
        "ten/goal",
        "Algorithm 1 with that net reaches above 0.9 of the digits at ten digits, the operands untouched.",
        f"{_PRINTED}/goal",
        "higher",
        ABOVE,
        control="masked/likelihood/correctness",
    ),
    Claim(
        "ten/mask",
        "The baseline's discriminator works for its masked pretraining, at equal rows and updates (AUROC).",
        "claims/baseline/mask",
        "higher",
        MATTERS,
        control="next-token/contrast/pooled/auroc_lm",
    ),
)


def arms() -> tuple[Variant, ...]:
    """The arms with the heads that matter, and a budget that grows by distance where the claims are."""
    rows = [arms_of(kind, heads=heads, arms=ARMS, corrections=False) for kind, heads in HEADS.items()]
    return (*rows[0], *_masked("grown-distance"), *rows[1])


def suppliers() -> tuple[Variant, ...]:
    """Who supplies the negatives of the grown arm, where the claims are: the attack, or Gibbs with gradients."""
    return _masked("grown", "gibbs")


def adders() -> tuple[Variant, ...]:
    """Without attack, Algorithm 1 as printed and the grown arm after pretraining for twice the updates."""
    options: dict[str, Any] = {"heads": HEADS["masked"], "arms": ("contrast", "printed", "grown"), "corrections": False}
    return tuple(row for kind in LONGER for row in arms_of(kind, **options))


def _masked(*names: str) -> tuple[Variant, ...]:
    return arms_of("masked", heads=("pooled",), arms=names, corrections=False)


def baselines() -> tuple[Variant, ...]:
    """The pooled head by noise contrast, from the course's pretraining to the notebook's, one change at a time."""
    options: dict[str, Any] = {"heads": ("pooled",), "arms": tuple(BASELINES), "corrections": False}
    return tuple(row for kind in (*HEADS, *LONGER) for row in arms_of(kind, **options))


_TEN: dict[str, Any] = {"n_digits": 10, "n_rows": 100_000, "width": 128, "n_epochs": 12, "warm_up": 0.05, "n_cycles": 2}
TEN = replace(  # the schedule that the shipped ten-digit energy was pretrained with, for both kinds
    GPU,
    words="ten digits, two fine-tunings of each net, trained side by side",
    n_runs=3,
    n_tunings=2,
    data=tuple(HEADS),
    variants=arms(),
    claims=CLAIMS,
    lm=replace(CPU.lm, n_digits=10, width=256),
    next_token=replace(NEXT_TOKEN, **_TEN),
    masked=replace(CPU.masked, **_TEN),
    budget=330,
    chosen_by="correctness",
)
GIBBS = replace(
    TEN,
    words="ten digits, the attack or Gibbs with gradients as the supplier of negatives",
    data=("masked",),
    variants=suppliers(),
)
BASELINE = replace(
    TEN,
    words="ten digits, the baseline by one change at a time",
    n_tunings=1,
    data=(*HEADS, *LONGER),
    variants=baselines(),
)
ADDERS = replace(BASELINE, words="ten digits, attacks on nets that have learned to add", data=LONGER, variants=adders())


def _tiny(rows: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """Arms of one digit, few rows and two updates; those without attack stay so, and budgets look every update."""
    size = {"n_digits": 1, "n_rows": 20, "n_noise": 20, "n_epochs": 1, "batch_size": 10}
    small = []
    for row in rows:
        most, every = min(2, row.config.n_attack_steps), min(1, row.config.grow_every)
        small.append(replace(row, config=replace(row.config, **size, n_attack_steps=most, grow_every=every)))
    return tuple(small)


TEN_SMOKE = replace(
    SMOKE,
    words="ten digits' arms at one digit, to see that all of it runs",
    side_by_side=True,
    n_tunings=2,
    chosen_by="correctness",
    data=tuple(HEADS),
    variants=_tiny(arms()),
    claims=CLAIMS,
)
GIBBS_SMOKE = replace(TEN_SMOKE, words="the suppliers'", data=("masked",), variants=_tiny(suppliers()))
BASELINE_SMOKE: Config = replace(
    TEN_SMOKE, words="the baseline's", n_tunings=1, data=(*HEADS, *LONGER), variants=_tiny(baselines())
)
ADDERS_SMOKE = replace(BASELINE_SMOKE, words="the adders'", data=LONGER, variants=_tiny(adders()))
PRESETS = {
    "ten": TEN,
    "gibbs": GIBBS,
    "baseline": BASELINE,
    "adders": ADDERS,
    "ten-smoke": TEN_SMOKE,
    "gibbs-smoke": GIBBS_SMOKE,
    "baseline-smoke": BASELINE_SMOKE,
    "adders-smoke": ADDERS_SMOKE,
}
