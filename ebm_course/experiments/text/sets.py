"""The names of sets of texts, each with its encoder at the end where that is not the small one trained from scratch."""

from __future__ import annotations

TOY, SST2, AG_NEWS, YELP, YAHOO = "toy", "sst2", "ag-news", "yelp", "yahoo"
TEXTS = (SST2, AG_NEWS, YELP, YAHOO)
MINILM, ALBERT = "minilm", "albert-base-v2"
PRETRAINED = (MINILM, ALBERT)
DATA = (TOY, *TEXTS, *(f"{texts}-{encoder}" for texts in TEXTS for encoder in PRETRAINED))
RECORDED = (SST2, AG_NEWS, f"{SST2}-{MINILM}", f"{AG_NEWS}-{MINILM}")
"""The sets on which claims are declared."""


def encoder_of(data: str) -> str:
    """Who reads a set: "small" or one of those that learned elsewhere.

    >>> encoder_of("ag-news-minilm"), encoder_of("ag-news"), texts_of("ag-news-minilm")
    ('minilm', 'small', 'ag-news')
    """
    return next((encoder for encoder in PRETRAINED if data.endswith(f"-{encoder}")), "small")


def texts_of(data: str) -> str:
    """The texts of a set, whoever reads them."""
    return data.removesuffix(f"-{encoder_of(data)}")
