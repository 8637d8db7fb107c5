"""What is trained, attacked, measured and claimed, declared before the run, at four sizes.

Source: Section 4 and Tables 1 to 6 and 8 of the paper. Departures: a small transformer trained from scratch, or a
distilled encoder, in the place of ALBERT but in ``paper``; smaller published sets; the fields below for what the paper
does not say.

>>> arms, judge = part("toy", ("plain", "rar"), TOY_BASE)
>>> config = together([(arms, judge)], data=("toy",), n_runs=2)
>>> [arm.name for arm in config.arms("toy")], config.judge("toy").name
(['toy/plain', 'toy/rar'], 'toy/judge')
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.experiments.configs import Settings
from ebm_course.experiments.text.arms import ALL, JUDGED, ROWS, TABLE, Base, arms_of, base_of, is_search, search_of
from ebm_course.experiments.text.declared import claims
from ebm_course.experiments.text.sets import (
    AG_NEWS,
    ALBERT,
    MINILM,
    PRETRAINED,
    RECORDED,
    SST2,
    TOY,
    YAHOO,
    YELP,
    encoder_of,
)
from ebm_course.experiments.text.texts import (
    TASKS,
    few,
    few_opinions,
    news_for_albert,
    questions,
    questions_for_albert,
    reviews,
    reviews_for_albert,
    short_news,
    some_news_for_minilm,
)
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.shared import check_ranges
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.results.findings import Claim

N_RUNS = 5


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Five runs a set, and how classifiers are attacked and measured.

    >>> CPU.radii_of("sst2"), CPU.radii_of("sst2-minilm")  # a small encoder and a pretrained one
    ((0.03, 0.1, 0.2), (0.02, 0.075, 0.1))
    >>> replace(CPU, radii=(0.1, 0.02))
    Traceback (most recent call last):
        ...
    ValueError: radii: expected rising finite numbers above 0, got (0.1, 0.02).
    """

    n_runs: int = N_RUNS
    data: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = claims()
    judges: tuple[Variant, ...] = ()  # a plain classifier for each set of the small encoder: who says what texts mean
    n_attacked: int = 1_000  # the first test texts, in an order that the seed of no run changes
    n_attack_steps: int = 5  # unsaid in the paper
    relative_step: float = 0.5  # of the radius, a step of the attack; unsaid
    radii: tuple[float, ...] = (0.02, 0.075, 0.1)  # of the attack on pretrained encoders, Table 5
    small_radii: tuple[float, ...] = (0.03, 0.1, 0.2)  # of that on small ones, whose embeddings have other norms
    relative_radii: tuple[float, ...] = (0.02, 0.1)  # shares of the net's own mean norm of a text
    reconstruction_radii: tuple[float, ...] = (0.0, 0.1, 0.5, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, counts="n_attacked n_attack_steps", positive_finite="relative_step")
        for name in ("radii", "small_radii", "relative_radii"):
            values = getattr(self, name)
            if not values or not 0 < min(values) <= max(values) < inf or list(values) != sorted(set(values)):
                raise ValueError(f"{name}: expected rising finite numbers above 0, got {values}.")
        if 0.0 not in self.reconstruction_radii:
            raise ValueError(f"reconstruction_radii: expected the control, 0, among {self.reconstruction_radii}.")
        there = dict.fromkeys(variant.name.partition("/")[0] for variant in self.variants)
        lacking = [name for name in self.data if name not in there]
        if lacking and self.variants:
            hint = next((f" Preset {name} has them." for name, one in PRESETS.items() if has(one, lacking[0])), "")
            raise ValueError(
                f"data: this preset has no arms for {lacking[0]}, expected one of {', '.join(there)}.{hint}"
            )

    def arms(self, data: str) -> tuple[Variant, ...]:
        """The arms on a set that are trained in every run."""
        return tuple(v for v in self.variants if v.name.startswith(f"{data}/") and not is_search(v))

    def searched(self, data: str) -> tuple[Variant, ...]:
        """The settings of FreeLB that are tried on a set."""
        return tuple(v for v in self.variants if v.name.startswith(f"{data}/") and is_search(v))

    def texts(self, data: str) -> Any:
        """The configuration of any arm on a set, which all have its texts and its encoder."""
        return next(v.config for v in self.variants if v.name.startswith(f"{data}/"))

    def judge(self, data: str) -> Variant | None:
        """Who says what texts of a set mean; None where the encoder as it came does."""
        return next((judge for judge in self.judges if judge.name == f"{data}/judge"), None)

    def radii_of(self, data: str) -> tuple[float, ...]:
        """Radii of the attack on a set."""
        return self.radii if encoder_of(data) in PRETRAINED else self.small_radii


def has(config: Config, data: str) -> bool:
    """Whether there are arms on a set, asked for or not.

    >>> has(PAPER, "yelp-albert-base-v2"), has(CPU, "yelp-albert-base-v2")
    (True, False)
    """
    return any(variant.name.startswith(f"{data}/") for variant in config.variants)


JUDGE_WIDTH = 96
"""Other than that of any arm, so that judge and arms share texts and nothing else."""
Part = tuple[tuple[Variant, ...], Variant | None]


def part(data: str, rows: Iterable[str], base: Base, *, search: bool = False) -> Part:
    """The arms on a set, the settings searched there, and its judge of meaning where the encoder is a small one."""
    arms = arms_of(data, rows, base)
    if search:
        arms += search_of(data, base, step_sizes=SEARCHED_STEPS, noise_sizes=SEARCHED_NOISES)
    reader = replace(base["finetune"], net=partial(TextClassifier, width=JUDGE_WIDTH))
    judge = Variant(f"{data}/judge", f"{data}: who says what texts mean", reader, finetune.fit)
    return arms, None if encoder_of(data) in PRETRAINED else judge


def together(parts: Iterable[Part], **rest: Any) -> Config:
    """The configuration of these sets."""
    found = list(parts)
    variants = sum((arms for arms, _ in found), ())
    return Config(variants=variants, judges=tuple(judge for _, judge in found if judge is not None), **rest)


SEARCHED_STEPS, SEARCHED_NOISES = (0.03, 0.1, 0.3), (0.0, 0.6)
"""Of the search: Table 8 bounds the step by 0.01 and 0.2, the noise by 0 and 0.8."""
LENGTH: dict[str, Any] = {"n_steps": 648, "warm_up": 65, "validate_every": 108, "contrast_after": 324}
"""Updates: three epochs of SST-2, contrast in the second half; more only overfit the small encoder."""
SMALL: dict[str, Any] = finetune.REVIEWS | LENGTH | {"whole_vocabulary": False}
DISTILLED: dict[str, Any] = finetune.MINILM | LENGTH | {"whole_vocabulary": False}
NEWS: dict[str, Any] = {"noise_size": 0.0}
"""Table 1: no random start on AG News, so that the first pass is clean."""
SHORT: dict[str, Any] = {"task": some_news_for_minilm, "contrast_after": 108} | {
    "n_steps": 216,
    "warm_up": 22,
    "validate_every": 36,
}
"""A third of the rows and of the updates, so as many epochs."""
PAPER_SETS: dict[str, dict[str, Any]] = {
    SST2: {},
    YAHOO: {"task": questions_for_albert, "step_size": 0.01, "noise_size": 0.0, "n_passes": 3, "contrast_after": 7_200}
    | {"n_steps": 9_375, "warm_up": 562, "validate_every": 1_875},
    YELP: {"task": reviews_for_albert, "step_size": 0.05, "noise_size": 0.5, "n_passes": 3, "contrast_after": 5_625}
    | {"n_steps": 9_375, "warm_up": 562, "validate_every": 1_875, "n_negatives": 20_000},
    AG_NEWS: {"task": news_for_albert, "step_size": 0.01, "noise_size": 0.0, "n_passes": 3, "contrast_after": 7_750}
    | {"n_steps": 18_750, "warm_up": 1_125, "validate_every": 3_750, "batch_size": 16},
}
"""Tables 1 and 3 and Section 4.3; five epochs but on SST-2, whose number is FreeLB's: the paper says none."""
TOY_BASE = base_of(**finetune.SMALL | freelb.SMALL | carl.SMALL | rar.SMALL)
TINY: dict[str, Any] = finetune.TINY | freelb.SMALL | carl.TINY | rar.SMALL
ON_TOY = part(TOY, ALL, TOY_BASE)

CPU = together(
    (
        ON_TOY,
        part(SST2, ALL, base_of(**SMALL), search=True),
        part(AG_NEWS, JUDGED, base_of(**SMALL | NEWS | {"task": short_news})),
        part(YELP, TABLE, base_of(**SMALL | {"task": reviews})),
        part(YAHOO, TABLE, base_of(**SMALL | NEWS | {"task": questions})),
        part(f"{SST2}-{MINILM}", ROWS, base_of(**DISTILLED)),
        part(f"{AG_NEWS}-{MINILM}", JUDGED, base_of(**DISTILLED | NEWS | SHORT)),
    ),
    data=RECORDED,
    words="a small encoder from scratch and three layers of MiniLM, for two CPU cores",
)
NOTEBOOK = together((ON_TOY,), data=(TOY,), n_runs=1, words="the embedded language, one run")
SMOKE = together(
    (
        part(TOY, ALL, base_of(**TINY | {"task": few_opinions}), search=True),
        *(part(data, TABLE, base_of(**TINY | {"task": partial(few, task)})) for data, task in TASKS.items()),
    ),
    data=(TOY,),
    n_runs=2,
    n_attacked=20,
    n_attack_steps=2,
    words="every part on a few texts",
)
PAPER = together(
    (
        part(f"{texts}-{ALBERT}", ROWS, base_of(**{"precision": "bfloat16"} | changes))
        for texts, changes in PAPER_SETS.items()
    ),
    data=tuple(f"{texts}-{ALBERT}" for texts in PAPER_SETS),
    n_runs=3,
    words="ALBERT-base-v2, the paper's sizes",
)
PRESETS = {"paper": PAPER, "cpu": CPU, "notebook": NOTEBOOK, "smoke": SMOKE}
