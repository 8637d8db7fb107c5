"""Texts of the experiment that the recipes do not name, each called with the run's seed and read once.

It knows tasks; no net and no method.

What each of them reads, here by name alone:

>>> from unittest.mock import patch
>>> with patch("ebm_course.experiments.text.texts.made", lambda task, /, **how: (task.__name__, how)):
...     print(short_news(seed=3))
...     print(reviews(seed=3))
...     print(questions(seed=3))
...     print(some_news_for_minilm(seed=3))
...     for texts in (news_for_albert, reviews_for_albert, questions_for_albert):
...         print(texts(seed=3)[1]["sizes"])
...     print(few(ag_news, seed=3))
('ag_news', {'n_valid': 1000, 'max_length': 64})
('yelp_polarity', {'max_length': 128, 'seed': 3})
('yahoo_answers', {'max_length': 128, 'seed': 3})
('_some_news_for_minilm', {})
ag-news
yelp
yahoo
('ag_news', {'n_train': 200, 'n_valid': 40, 'n_test': 60, 'max_length': 64})
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ebm_course.energies.minilm import minilm_tokenizer
from ebm_course.experiments.text.sets import AG_NEWS, SST2, YAHOO, YELP
from ebm_course.recipes.text.sets import albert_subwords, made
from ebm_course.tasks.subwords import Subwords
from ebm_course.tasks.text import PAPER, Text, ag_news, sst2, toy, yahoo_answers, yelp_polarity

few_opinions = partial(toy, n_train=40, n_valid=20, n_test=30)
"""A few texts of the embedded language, others for every seed."""
TASKS: dict[str, Callable[..., Text]] = {SST2: sst2, AG_NEWS: ag_news, YELP: yelp_polarity, YAHOO: yahoo_answers}
"""Published sets by their names."""
NEWS: dict[str, Any] = {"n_valid": 1_000, "max_length": 64}
"""Of what lies there; one text in twenty is longer and cut."""
SOME_NEWS: dict[str, Any] = NEWS | {"n_train": 3_000, "n_valid": 500, "n_test": 2_000}
"""Of the same."""


def few(task: Callable[..., Text], *, seed: int) -> Text:
    """200 texts of a set to train on, 40 to select by and 60 to test on, with their own subwords; cut."""
    return made(task, n_train=200, n_valid=40, n_test=60, max_length=64)


def short_news(*, seed: int) -> Text:
    """AG News as far as it is there; the same for every seed."""
    return made(ag_news, **NEWS)


def some_news_for_minilm(*, seed: int) -> Text:
    """A part of the same in the subwords of MiniLM, whose updates cost ten times as much; needs its package."""
    return made(_some_news_for_minilm)


def reviews(*, seed: int) -> Text:
    """Yelp polarity in the paper's sizes, texts cut."""
    return made(yelp_polarity, max_length=128, seed=seed)


def questions(*, seed: int) -> Text:
    """Yahoo Answers in the paper's sizes, texts cut."""
    return made(yahoo_answers, max_length=128, seed=seed)


def news_for_albert(*, seed: int) -> Text:
    """AG News in the paper's sizes, in the subwords of ALBERT."""
    return made(_for_albert, task=ag_news, sizes="ag-news", seed=seed)


def reviews_for_albert(*, seed: int) -> Text:
    """Yelp polarity likewise."""
    return made(_for_albert, task=yelp_polarity, sizes="yelp", seed=seed)


def questions_for_albert(*, seed: int) -> Text:
    """Yahoo Answers likewise."""
    return made(_for_albert, task=yahoo_answers, sizes="yahoo", seed=seed)


def _some_news_for_minilm() -> Text:
    return ag_news(**SOME_NEWS, tokenizer=Subwords.read(minilm_tokenizer()))


def _for_albert(*, task: Any, sizes: str, seed: int) -> Text:
    read: Text = task(**PAPER[sizes], seed=seed, tokenizer=albert_subwords())
    return read
