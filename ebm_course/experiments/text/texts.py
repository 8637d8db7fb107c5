"""Texts and encoders of the experiment, each text called with the run's seed and read once.

It knows tasks and nets; no method.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ebm_course.energies.hugging_face_classifier import HuggingFaceClassifier, pretrained
from ebm_course.energies.minilm import minilm, minilm_tokenizer
from ebm_course.energies.text_energy import TextEnergy
from ebm_course.runtime import data_folder
from ebm_course.tasks.subwords import Subwords
from ebm_course.tasks.text import PAPER, Text, ag_news, sst2, toy, yahoo_answers, yelp_polarity

few_opinions = partial(toy, n_train=40, n_valid=20, n_test=30)
"""A few texts of the embedded language, others for every seed."""
LONGEST = 64
"""Tokens that a text is cut to but in ``paper``: 1 % of SST-2 and 6 % of AG News are longer."""


@functools.lru_cache(maxsize=2)
def once(read: Callable[..., Text], *, tokenizer: Callable[[], Subwords] | None = None, **how: Any) -> Text:
    """A set, read once: to number its texts takes seconds."""
    return read(tokenizer=None if tokenizer is None else tokenizer(), **how)


def sentences(*, seed: int) -> Text:
    """SST-2's 6,920 sentences, in subwords of its training part."""
    return once(sst2, max_length=LONGEST, seed=seed)


def news(*, seed: int) -> Text:
    """AG News as far as it is there, 1,000 of the training rows held out for validation."""
    return once(ag_news, n_valid=1_000, max_length=LONGEST, seed=seed)


def reviews(*, seed: int) -> Text:
    """Yelp polarity in the paper's sizes, texts cut."""
    return once(yelp_polarity, max_length=2 * LONGEST, seed=seed)


def questions(*, seed: int) -> Text:
    """Yahoo Answers in the paper's sizes, texts cut."""
    return once(yahoo_answers, max_length=2 * LONGEST, seed=seed)


def wordpieces() -> Subwords:
    """MiniLM's own tokenizer; its vocabulary is BERT's."""
    return Subwords.read(minilm_tokenizer())


def sentences_in_wordpieces(*, seed: int) -> Text:
    """SST-2's 6,920 sentences, in the wordpieces of MiniLM."""
    return once(sst2, max_length=LONGEST, seed=seed, tokenizer=wordpieces)


def news_in_wordpieces(*, seed: int) -> Text:
    """AG News as far as it is there, in the wordpieces of MiniLM."""
    return once(ag_news, n_valid=1_000, max_length=LONGEST, seed=seed, tokenizer=wordpieces)


def three_layers(n_tokens: int, n_classes: int, *, max_length: int) -> TextEnergy:
    """The first three layers of MiniLM."""
    return minilm(n_classes, n_layers=3)


ALBERT = "albert-base-v2"


def albert_base(n_tokens: int, n_classes: int, *, max_length: int) -> TextEnergy:
    """The paper's encoder: from the folder of its name in ``EBM_COURSE_DATA``, else by its name."""
    return HuggingFaceClassifier(pretrained(_folder_of_albert() or ALBERT), n_classes)


def albert_pieces() -> Subwords:
    """ALBERT's own tokenizer, from the same place."""
    folder = _folder_of_albert()
    return Subwords(Tokenizer.from_pretrained(ALBERT)) if folder is None else Subwords.read(folder / "tokenizer.json")


def _folder_of_albert() -> Path | None:
    folder = data_folder()
    return folder / ALBERT if folder is not None and (folder / ALBERT).is_dir() else None


def paper_sentences(*, seed: int) -> Text:
    """SST-2 in GLUE's form, phrases to train on, in the paper's sizes and ALBERT's subwords."""
    return once(sst2, form="phrases", **PAPER["sst2"], max_length=128, seed=seed, tokenizer=albert_pieces)


def paper_news(*, seed: int) -> Text:
    """AG News in the paper's sizes and ALBERT's subwords."""
    return once(ag_news, **PAPER["ag-news"], seed=seed, tokenizer=albert_pieces)


def paper_reviews(*, seed: int) -> Text:
    """Yelp polarity likewise."""
    return once(yelp_polarity, **PAPER["yelp"], seed=seed, tokenizer=albert_pieces)


def paper_questions(*, seed: int) -> Text:
    """Yahoo Answers likewise."""
    return once(yahoo_answers, **PAPER["yahoo"], seed=seed, tokenizer=albert_pieces)
