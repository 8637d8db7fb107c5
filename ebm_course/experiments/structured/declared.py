"""What the paper says, and what we expect of the generated language, as claims declared before the run.

Each endpoint is a difference with a value a run: shares right, speeds as log10. ``HEAD`` stands for the set's own
measure, F1 of entities or accuracy. The network's answers on test sentences decide where no other way is named.
"""

from __future__ import annotations

from ebm_course.results.findings import Claim, Direction

TOY, POS = "toy", "twitter-pos"
POS_VECTORS, POS_FEATURES = "twitter-pos-vectors", "twitter-pos-features"
NER, NER_VECTORS, NER_FEATURES = "wnut17", "wnut17-vectors", "wnut17-features"
CONLL, CONLL_VECTORS, CONLL_FEATURES = "conll2003", "conll2003-vectors", "conll2003-features"
ENTITIES = (NER, NER_VECTORS, NER_FEATURES, CONLL, CONLL_VECTORS, CONLL_FEATURES)
DATA = (TOY, POS, POS_VECTORS, POS_FEATURES, *ENTITIES)

SMALL, TIE, FAILS, CLOSERS, SPEED = 0.003, 0.005, 0.2, 0.2, 0.02
"""The smallest differences that matter: between rows of a table; of a tie; of a failure; of closers; log10 (5 %)."""

Row = tuple[str, str, str, Direction, float, str]

OBJECTIVES: tuple[Row, ...] = (
    (
        "compound-margin",
        "The compound objective beats the margin alone, cross-entropy on both networks (on tweets 89.8, 89.4).",
        "stacked/network/HEAD - margin/network/HEAD",
        "higher",
        SMALL,
        "bilstm/network/HEAD",
    ),
    (
        "margin-perceptron",
        "The margin with fine-tuning beats the perceptron (on tweets 89.4, 88.6).",
        "margin/network/HEAD - perceptron/network/HEAD",
        "higher",
        SMALL,
        "bilstm/network/HEAD",
    ),
)
TABLE_1: tuple[Row, ...] = (
    (
        "stacked-speed",
        "Stacked networks train faster than shared ones (92 and 78 sentences a second).",
        "log10 stacked/speed - log10 shared/speed",
        "higher",
        SPEED,
        "separated/speed",
    ),
    (
        "stacked-best",
        "Stacked networks are more accurate than separated ones (89.8, 89.7).",
        "stacked/network/HEAD - separated/network/HEAD",
        "higher",
        SMALL,
        "bilstm/network/HEAD",
    ),
    (
        "truncation-fails",
        "Truncated at 0 and without cross-entropy, training fails (on tweets 13.9, 89.4).",
        "margin-truncated-no-ce/network/HEAD - margin-truncated/network/HEAD",
        "lower",
        FAILS,
        "margin-no-ce/network/HEAD",
    ),
    (
        "dropping-repairs",
        "Without the truncation training succeeds, still without cross-entropy (on tweets 87.9, 13.9).",
        "margin-no-ce/network/HEAD - margin-truncated-no-ce/network/HEAD",
        "higher",
        FAILS,
        "bilstm/network/HEAD",
    ),
    (
        "entropy-repairs",
        "Annealed entropy repairs what is left to repair once the truncation is gone (ours).",
        "margin-entropy/network/HEAD - margin-no-ce/network/HEAD",
        "higher",
        FAILS,
        "margin-truncated-no-ce/network/HEAD",
    ),
    (
        "truncation-with-ce",
        "With cross-entropy the truncation has little effect (89.4, 89.4).",
        "margin-truncated/network/HEAD - margin/network/HEAD",
        "same",
        TIE,
        "bilstm/network/HEAD",
    ),
    (
        "a-f",
        "A and F of stacked networks differ more than those of the margin, cross-entropy on both (2.6, 0.2 points).",
        "stacked/a-minus-f - margin/a-minus-f",
        "higher",
        TIE,
        "stacked-ce-a/a-minus-f",
    ),
    (
        "a-f-ce-a",
        "They do with cross-entropy on A alone, as in the authors' code.",
        "stacked-ce-a/a-minus-f - margin/a-minus-f",
        "higher",
        TIE,
        "stacked/a-minus-f",
    ),
    (
        "k-energy",
        "Five I steps an update leave a better energy than one, by its best tags (no cross-entropy).",
        "k-5/exact/HEAD - k-1/exact/HEAD",
        "higher",
        TIE,
        "crf/exact/HEAD",
    ),
    (
        "k-network",
        "Five I steps an update leave a better network than one (no cross-entropy).",
        "k-5/network/HEAD - k-1/network/HEAD",
        "higher",
        TIE,
        "crf/exact/HEAD",
    ),
    (
        "without-tags",
        "A network fitted to a CRF's energy without training tags is as accurate as exact decoding (ours: 0.5 points).",
        "network-of-chain/network/HEAD - crf/exact/HEAD",
        "same",
        TIE,
        "bilstm/network/HEAD",
    ),
)
GLOBAL: tuple[Row, ...] = (
    (
        "global-stacked",
        "A tag language model helps (on CoNLL-2003 GE(a) 85.8, without 85.6).",
        "ge-a/network/HEAD - stacked/network/HEAD",
        "higher",
        SMALL,
        "ge-a/exact/HEAD",
    ),
    (
        "global-b-a",
        "GE(b) beats GE(a) (on CoNLL-2003 85.9, 85.8).",
        "ge-b/network/HEAD - ge-a/network/HEAD",
        "higher",
        SMALL,
        "stacked/network/HEAD",
    ),
    (
        "global-c-b",
        "GE(c) beats GE(b) (on CoNLL-2003 86.3, 85.9).",
        "ge-c/network/HEAD - ge-b/network/HEAD",
        "higher",
        SMALL,
        "stacked/network/HEAD",
    ),
)
LANGUAGE: tuple[Row, ...] = (
    (
        "chain-closers",
        "The best tags of a chain have half of the closers right (ours).",
        "crf/exact/closers - ceilings/chain/closers",
        "same",
        0.05,
        "bilstm/network/closers",
    ),
    (
        "global-closers",
        "With a tag language model beside the chain, its best tags have the closers right that a chain cannot (ours).",
        "network-of-global/exact/closers - crf/exact/closers",
        "higher",
        CLOSERS,
        "ceilings/global/closers",
    ),
    (
        "network-closers",
        "So has a network fitted to that energy without tags, against one fitted to the chain alone (ours).",
        "network-of-global/network/closers - network-of-chain/network/closers",
        "higher",
        CLOSERS,
        "ceilings/global/closers",
    ),
    (
        "trap",
        "With cross-entropy a network solves closers that its own energy does not know (ours).",
        "stacked/network/closers - stacked/exact/closers",
        "higher",
        CLOSERS,
        "bilstm/network/closers",
    ),
    (
        "k-20-energy",
        "Twenty I steps an update leave a better energy than one, by its best tags (ours).",
        "k-20/exact/HEAD - k-1/exact/HEAD",
        "higher",
        TIE,
        "crf/exact/HEAD",
    ),
)
ON_THE_LANGUAGE = ("truncation-fails", "dropping-repairs", "entropy-repairs", "k-network", "without-tags")
ROWS: dict[str, tuple[Row, ...]] = {
    TOY: tuple(row for row in TABLE_1 if row[0] in ON_THE_LANGUAGE) + LANGUAGE,
    POS: OBJECTIVES + TABLE_1,
    POS_VECTORS: (),
    POS_FEATURES: (),
    NER: OBJECTIVES + GLOBAL,
    NER_VECTORS: (),
    NER_FEATURES: (),
    CONLL: OBJECTIVES + GLOBAL,
    CONLL_VECTORS: (),
    CONLL_FEATURES: (),
}
"""Claims are corrected together, so that few are made: what the paper says of tweets, its order of rows on entities."""


def head(data: str) -> str:
    """The measure that a set is judged by.

    >>> head("twitter-pos"), head("wnut17")
    ('accuracy', 'f1')
    """
    return "f1" if data in ENTITIES else "accuracy"


def claims() -> tuple[Claim, ...]:
    """Every claim on every set: whoever runs one of them is judged as strictly as who runs all.

    >>> claim = next(claim for claim in claims() if claim.name == "wnut17/global-b-a")
    >>> claim.endpoint, claim.control
    ('claims/wnut17/global-b-a', 'wnut17/stacked/network/f1')
    """
    return tuple(
        Claim(
            f"{data}/{name}",
            f"{data}: {says}",
            f"claims/{data}/{name}",
            side,
            effect,
            control=f"{data}/{control.replace('HEAD', head(data))}",
        )
        for data, rows in ROWS.items()
        for name, says, _, side, effect, control in rows
    )
