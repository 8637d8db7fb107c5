"""The numbers of the paper's tables, by the arm that each row is here. Source: Tu, Pang and Gimpel (2020).

>>> speed("twitter-pos", "stacked"), difference("twitter-pos", "stacked"), difference("toy", "stacked")
('92 a second', '2.6 points', None)
>>> trained("conll2003", "separated"), inference("conll2003", "separated")
('719 thousand', '239 thousand')
"""

from __future__ import annotations

from collections.abc import Mapping

ANSWERS = {  # Tables 1 and 2: test accuracy of tweets, test F1 of CoNLL-2003 with words alone
    "bilstm": (88.8, 84.9),
    "margin-truncated-no-ce": (13.9, 3.91),
    "margin-no-ce": (87.9, 85.1),
    "margin-truncated": (89.4, 85.2),
    "margin": (89.4, 85.2),
    "perceptron-no-ce": (88.2, 84.0),
    "perceptron": (88.6, 84.7),  # of entities in Table 1; Table 2 has 84.4
    "separated": (89.7, 85.0),
    "shared": (89.8, 85.6),
    "stacked": (89.8, 85.6),
}
GLOBAL = {"ge-a": 85.8, "ge-b": 85.9, "ge-c": 86.3}  # Table 4
MORE_FEATURES = {  # Tables 1, 2 and 4: NER+ and NER++
    "conll2003-vectors": {
        "bilstm": 89.3,
        "margin-truncated-no-ce": 3.91,
        "margin-no-ce": 88.6,
        "margin-truncated": 89.5,
        "margin": 89.5,
        "perceptron-no-ce": 88.1,
        "perceptron": 89.0,
        "separated": 89.8,
        "shared": 90.1,
        "stacked": 90.1,
        "ge-a": 90.2,
        "ge-b": 90.2,
        "ge-c": 90.4,
    },
    "conll2003-features": {"margin": 90.2, "stacked": 90.8, "ge-a": 90.7, "ge-b": 90.8, "ge-c": 91.0},
}
SPEEDS = {"separated": (66, 32), "shared": (78, 38), "stacked": (92, 46)}
TRAINED = {
    "bilstm": (166, 239),
    "margin": (333, 479),
    "perceptron": (333, 479),
    "separated": (500, 719),
    "shared": (339, 485),
    "stacked": (335, 481),
}
"""Thousands of parameters."""
INFERENCE = (166, 239)
DIFFERENCES = {"margin": (0.2, 0.0), "separated": (2.2, 0.4), "shared": (1.9, 0.5), "stacked": (2.6, 1.7)}  # Table 3
COLUMNS = {"twitter-pos": 0, "conll2003": 1}
"""Sets of the paper, and their column here."""


def answer(data: str, arm: str) -> str | None:
    """Test accuracy or F1 of an arm's network.

    >>> answer("twitter-pos", "stacked"), answer("conll2003", "ge-c"), answer("toy", "stacked")
    ('89.8 %', '86.3 %', None)
    >>> answer("conll2003-features", "ge-c"), answer("conll2003-features", "bilstm")
    ('91.0 %', None)
    """
    if arm in MORE_FEATURES.get(data, {}):
        return f"{MORE_FEATURES[data][arm]} %"
    if data == "conll2003" and arm in GLOBAL:
        return f"{GLOBAL[arm]} %"
    return _of(data, arm, ANSWERS, "%")


def speed(data: str, arm: str) -> str | None:
    """Sentences a second in training, on hardware that the paper does not name."""
    return _of(data, arm, SPEEDS, "a second")


def trained(data: str, arm: str) -> str | None:
    """Parameters that are trained."""
    return _of(data, arm, TRAINED, "thousand")


def inference(data: str, arm: str) -> str | None:
    """Parameters that tagging needs."""
    return _of(data, arm, dict.fromkeys(TRAINED, INFERENCE), "thousand")


def difference(data: str, arm: str) -> str | None:
    """A minus F on validation sentences."""
    return _of(data, arm, DIFFERENCES, "points")


def _of(data: str, arm: str, table: Mapping[str, tuple[float, float]], unit: str) -> str | None:
    return f"{table[arm][COLUMNS[data]]} {unit}" if data in COLUMNS and arm in table else None
