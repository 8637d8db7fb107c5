"""Published sets of labelled texts by name: SST-2, AG News, Yelp polarity, Yahoo Answers.

Files are looked for in the folder named by ``EBM_COURSE_DATA``, in a folder of the set's name; else the set is loaded
by Hugging Face's ``datasets`` where that is installed. Test rows never come from the training file, nor validation rows
from the test file, unless a set was published so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ebm_course.runtime import data_folder
from ebm_course.tasks.subwords import Subwords
from ebm_course.tasks.text import Text, Tokenizer, batch_of, text_task
from ebm_course.tasks.text_files import Labelled, read_csv, read_glue, read_labelled, sampled

Read = Callable[[Path], Iterator[Labelled]]

PAPER: dict[str, dict[str, int | None]] = {
    "sst2": {"n_train": None, "n_valid": 872, "n_test": None},
    "ag-news": {"n_train": 60_000, "n_valid": 2_000, "n_test": 2_000},
    "yelp": {"n_train": 60_000, "n_valid": 2_000, "n_test": 2_000},
    "yahoo": {"n_train": 60_000, "n_valid": 2_000, "n_test": 2_000},
}
"""Sizes of parts, ``ag_news(**PAPER["ag-news"])``. Source: Table 9 of the paper on CARL and RAR, drawn at random.
Departure: it says 60,000 validation rows too, as many as it trains on; here 2,000, which no one trains on. Its SST-2 is
the form ``phrases`` of :func:`sst2`."""


@dataclass(frozen=True)
class Form:
    """How one published form of a set lies in a folder: the files of its parts, and how each is read."""

    train: str
    test: str
    read: Read
    valid: str | None = None


@dataclass(frozen=True)
class Hub:
    """The set's name among Hugging Face's, its parts' names, and its columns."""

    name: str
    train: str
    test: str
    texts: tuple[str, ...]
    label: str
    valid: str | None = None


POLARITY = ("negative", "positive")
NEWS = ("World", "Sports", "Business", "Sci/Tech")
TOPICS = (
    *("Society & Culture", "Science & Mathematics", "Health", "Education & Reference", "Computers & Internet"),
    *("Sports", "Business & Finance", "Entertainment & Music", "Family & Relationships", "Politics & Government"),
)
