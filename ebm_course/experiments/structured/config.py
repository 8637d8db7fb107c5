"""What is trained, measured and claimed, declared before the run, at four sizes.

Source: Tu, Pang and Gimpel (2020), Section 6. Departures: features of Brown clusters (and of shapes, for entities) in
the place of their tweet embeddings, or beside GloVe vectors of 50 numbers; one lambda for all games; a fixed number of
epochs for all arms. ``cpu`` also has Adam for all and minibatches of 32.

>>> config: Config = together([part("toy", ("bilstm", "network-of-chain"), "smoke", {})], data=("toy",))
>>> [arm.name for arm in config.arms("toy")]  # a network is given a CRF's energy
['toy/crf', 'toy/bilstm', 'toy/network-of-chain']
>>> CPU.runs_of("twitter-pos"), CPU.runs_of("wnut17")
(5, 3)
>>> [arms[0].name for _, arms, _ in more_features("cpu", CPU_TWEETS, CPU_POSTS)][:2]
['twitter-pos-features/bilstm', 'wnut17-features/bilstm']
>>> smoke_part(POS, tweets)[1][0].name
'twitter-pos/bilstm'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ebm_course.experiments.configs import Settings
from ebm_course.experiments.structured.arms import (
    GLOBAL,
    JOINT,
    LIGHT,
    LONGER,
    OURS,
    REFERENCES,
    TABLE_1,
    Part,
    is_measured,
    part,
)
from ebm_course.experiments.structured.declared import (
    CONLL,
    CONLL_FEATURES,
    CONLL_VECTORS,
    ENTITIES,
    NER,
    NER_FEATURES,
    NER_VECTORS,
    POS,
    POS_FEATURES,
    POS_VECTORS,
    TOY,
    claims,
)
from ebm_course.experiments.structured.sets import (
    TASKS,
    few,
    newswire_with_features,
    newswire_with_vectors,
    posts_with_features,
    posts_with_vectors,
    small_language,
    tweets_with_features,
)
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.shared import check_ranges
from ebm_course.recipes.structured.data import glove_vectors, newswire, posts, tweets, tweets_with_vectors
from ebm_course.recipes.structured.parts import adam
from ebm_course.results.findings import Claim
from ebm_course.tasks.tagging import Tagging

SHARES = dict.fromkeys((TOY, POS, POS_VECTORS, POS_FEATURES), 1.0) | dict.fromkeys(ENTITIES, 0.6)
"""Of the runs of the whole experiment: with five on tweets come three on entities."""

TABLES = (*REFERENCES, *TABLE_1, *JOINT, *OURS)
TOY_ROWS = (*TABLES, "k-20", *GLOBAL, "tag-lm", "network-of-global")
NER_ROWS = (*REFERENCES, *TABLE_1, *JOINT, "margin-entropy", "stacked-ce-a", *GLOBAL)
VECTOR_ROWS = ("bilstm", "crf", "margin", "stacked")
NER_PLUS_ROWS = ("bilstm", "crf", *TABLE_1, *JOINT, *GLOBAL)


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Five runs on the language and on tweets, three on entities, and how taggers are measured."""

    n_runs: int = 5
    data: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = claims()
    sources: tuple[Variant, ...] = ()  # arms whose nets others are given, trained wherever one of those is asked for
    n_searched: int = (
        200  # the first test sentences, on which an energy with global terms is searched; a chain is on all
    )
    n_searched_entities: int = 20  # of sets of entities, where a sentence takes seconds
    n_descent_steps: int = 30  # of descent on a trained energy
    descent_step_size: float = 1.0
    n_speed_batches: int = 20  # that a timed pass goes through
    n_speed_repeats: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self,
            counts="n_searched n_searched_entities n_descent_steps n_speed_batches n_speed_repeats",
            positive_finite="descent_step_size",
        )
        there = dict.fromkeys(arm.name.partition("/")[0] for arm in (*self.sources, *self.variants))
        lacking = [name for name in self.data if name not in there]
        if lacking:
            raise ValueError(
                f"data: this preset has no arms for {lacking[0]}, expected one of {', '.join(there) or '(none)'}."
            )

    def runs_of(self, data: str) -> int:
        """Runs on a set of sentences."""
        return max(1, round(self.n_runs * SHARES[data]))

    def arms(self, data: str) -> tuple[Variant, ...]:
        """What is trained on a set: the rows asked for, after the arms whose nets they are given."""
        asked = tuple(variant for variant in self.variants if variant.name.startswith(f"{data}/"))
        wanted = {name for variant in asked for name in variant.starts_from.split()}
        given = tuple(source for source in self.sources if source.name in wanted)
        names = {source.name for source in given}
        return given + tuple(variant for variant in asked if variant.name not in names)

    def measured(self, data: str) -> tuple[Variant, ...]:
        """Those of them that tag sentences."""
        return tuple(variant for variant in self.arms(data) if is_measured(variant))

    def searched(self, data: str) -> int:
        """How many test sentences energies with global terms are searched on."""
        return self.n_searched_entities if data in ENTITIES else self.n_searched

    def timed(self, data: str) -> tuple[Variant, ...]:
        """The parametrisations among them, whose training is timed."""
        return tuple(variant for variant in self.arms(data) if variant.name in {f"{data}/{name}" for name in JOINT})

    def speed_stage(self, data: str, k: int) -> str:
        """The name of the stage that times them in run k; it names them, since they are timed in turn."""
        return f"run-{k}/{data}/speed-{'+'.join(arm.name.partition('/')[2] for arm in self.timed(data))}"

    def given(self, variant: Variant) -> tuple[Variant, ...]:
        """The arms whose nets this one is given."""
        return tuple(source for source in self.sources if source.name in variant.starts_from.split())

    def task(self, data: str) -> Callable[..., Tagging]:
        """The set of sentences by its name."""
        arms = (*self.sources, *self.variants)
        task: Callable[..., Tagging] = next(arm for arm in arms if arm.name.startswith(f"{data}/")).config.task
        return task


def together(parts: Iterable[Part], **rest: Any) -> Config:
    """The configuration of these rows of these sets."""
    asked, sources = list[Variant](), list[Variant]()
    for rows, arms, n_given in parts:
        sources += arms[:n_given]
        asked += [arm for arm in arms if arm.name.partition("/")[2] in rows]
    return Config(variants=tuple(asked), sources=tuple(sources), **rest)


ALIKE: dict[str, Any] = {"patience": None, "keep_best": True}
"""No arm ends early: all have the same updates."""
LANGUAGE: dict[str, Any] = ALIKE | {"n_searched": 10}
CPU_TWEETS: dict[str, Any] = ALIKE | {"n_epochs": 40, "validate_every": 2}
CPU_POSTS: dict[str, Any] = ALIKE | {"batch_size": 32, "n_epochs": 14, "rate": 2e-3, "energy_rate": 1e-3}
WITH_GLOVE: dict[str, Any] = {"vectors": glove_vectors}


def more_features(
    preset: str, on_tweets: Mapping[str, Any], on_entities: Mapping[str, Any], **rest: Any
) -> tuple[Part, ...]:
    """All features on tweets, NER++ on posts, NER+ and NER++ on newswire: rows alone, none of which is given a net."""
    tasks = {
        NER_FEATURES: posts_with_features,
        CONLL_VECTORS: newswire_with_vectors,
        CONLL_FEATURES: newswire_with_features,
    }
    tweets_part = part(
        POS_FEATURES, VECTOR_ROWS, preset, {**on_tweets, **WITH_GLOVE, "task": tweets_with_features}, (), **rest
    )
    how = {data: {**on_entities, **WITH_GLOVE, "task": task} for data, task in tasks.items()}
    rows = {data: NER_PLUS_ROWS if data == CONLL_VECTORS else (*VECTOR_ROWS, *GLOBAL) for data in tasks}
    return tweets_part, *(part(data, rows[data], "ner", changes, ()) for data, changes in how.items())


TOY_PART = part(TOY, TOY_ROWS, "notebook", LANGUAGE)

CPU = together(
    (
        TOY_PART,
        part(TOY, LONGER, "notebook", LANGUAGE, ()),
        part(POS, (*TABLES, "k-20"), "cpu", CPU_TWEETS),
        part(POS_VECTORS, VECTOR_ROWS, "cpu", CPU_TWEETS | WITH_GLOVE | {"task": tweets_with_vectors}),
        part(NER, NER_ROWS, "ner", CPU_POSTS | {"task": posts}),
        part(NER_VECTORS, NER_PLUS_ROWS, "ner", CPU_POSTS | WITH_GLOVE | {"task": posts_with_vectors}),
        part(CONLL, NER_ROWS, "ner", CPU_POSTS | {"task": newswire}),
        *more_features("cpu", CPU_TWEETS, CPU_POSTS),
    ),
    data=(TOY, POS),
    words="minibatches of 32 and 40 epochs on tweets, for two CPU cores",
)
NOTEBOOK = together((TOY_PART,), data=(TOY,), n_runs=1, words="the agreement language, one run")
SMOKE_CHANGES: dict[str, Any] = ALIKE | {"task": small_language, "n_epochs": 2, "n_searched": 4, "tag_hidden": 8}
SMOKE_ROWS = ("bilstm", "crf", "stacked", "ge-c")


def smoke_part(data: str, task: Callable[..., Tagging]) -> Part:
    """A few rows on a few sentences of a set; tag language models on entities alone, as in the tables."""
    how = SMOKE_CHANGES | ({} if data in (POS, NER, CONLL) else WITH_GLOVE) | {"task": partial(few, task)}
    return part(data, SMOKE_ROWS if data in ENTITIES else SMOKE_ROWS[:-1], "smoke", how, given=())


SMOKE = together(
    (
        part(TOY, (*TOY_ROWS, *LONGER, *LIGHT), "smoke", SMOKE_CHANGES),
        *(smoke_part(data, task) for data, task in TASKS.items()),
    ),
    data=(TOY,),
    n_runs=2,
    n_searched=4,
    n_descent_steps=2,
    n_speed_batches=1,
    n_speed_repeats=1,
    words="every part on a few sentences",
)
ADAM_WITHOUT_CE: dict[str, Any] = {"optimizer": adam, "rate": 1e-3}
"""Footnote 1 of the paper: Adam where no network has a cross-entropy, SGD where one has."""
PAPER_TWEETS: dict[str, Any] = ALIKE | {"n_epochs": 150, "validate_every": 5}
PAPER_ENTITIES: dict[str, Any] = ALIKE | {"n_epochs": 100, "validate_every": 5}
"""As many epochs as the most that the paper's early stopping chose, Section 7."""
PAPER = together(
    (
        TOY_PART,
        part(POS, (*TABLES, "k-20", *LIGHT), "paper", PAPER_TWEETS | {"task": tweets}, without_ce=ADAM_WITHOUT_CE),
        part(
            POS_VECTORS,
            VECTOR_ROWS,
            "paper",
            PAPER_TWEETS | WITH_GLOVE | {"task": tweets_with_vectors},
            without_ce=ADAM_WITHOUT_CE,
        ),
        part(NER, NER_ROWS, "ner", PAPER_ENTITIES | {"task": posts}),
        part(NER_VECTORS, NER_PLUS_ROWS, "ner", PAPER_ENTITIES | WITH_GLOVE | {"task": posts_with_vectors}),
        part(CONLL, NER_ROWS, "ner", PAPER_ENTITIES | {"task": newswire}),
        *more_features("paper", PAPER_TWEETS, PAPER_ENTITIES, without_ce=ADAM_WITHOUT_CE),
    ),
    data=(TOY, POS),
    words="minibatches of 10, the paper's optimisers, sizes and lambda, up to 150 epochs",
)
PRESETS = {"paper": PAPER, "cpu": CPU, "notebook": NOTEBOOK, "smoke": SMOKE}
