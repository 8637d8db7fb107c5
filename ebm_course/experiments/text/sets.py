"""The names of sets of texts, each with its encoder at the end where that is not the small one trained from scratch."""

from __future__ import annotations

TOY, SST2, AG_NEWS, YELP, YAHOO = "toy", "sst2", "ag-news", "yelp", "yahoo"
TEXTS = (SST2, AG_NEWS, YELP, YAHOO)
MINILM, ALBERT = "minilm", "albert-base-v2"
PRETRAINED = (MINILM, ALBERT)
ENCODERS = ("small", MINILM, ALBERT)
"""The first of them ends no name."""
DATA = (TOY, *TEXTS, f"{SST2}-{MINILM}", f"{AG_NEWS}-{MINILM}", *(f"{texts}-{ALBERT}" for texts in TEXTS))
ABSENT = {
    f"{YAHOO}-{MINILM}": f"MiniLM has learned from Yahoo Answers, take --encoder small or {ALBERT}",
    f"{YELP}-{MINILM}": f"no preset has arms for MiniLM on Yelp, take --encoder small or {ALBERT}",
}
RECORDED = (SST2, AG_NEWS, f"{SST2}-{MINILM}", f"{AG_NEWS}-{MINILM}")
"""The sets on which claims are declared."""


def encoder_of(data: str) -> str:
    """Who reads a set: one of ``ENCODERS``.

    >>> encoder_of("ag-news-minilm"), encoder_of("ag-news"), texts_of("ag-news-minilm")
    ('minilm', 'small', 'ag-news')
    """
    return next((encoder for encoder in PRETRAINED if data.endswith(f"-{encoder}")), ENCODERS[0])


def texts_of(data: str) -> str:
    """The texts of a set, whoever reads them.

    >>> texts_of("sst2-albert-base-v2"), texts_of("toy")
    ('sst2', 'toy')
    """
    return data.removesuffix(f"-{encoder_of(data)}")
