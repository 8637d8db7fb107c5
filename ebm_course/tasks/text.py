r"""Sets of labelled texts by name: the embedded language of opinions, SST-2, AG News, Yelp polarity, Yahoo Answers.

Each is a ``text_task.Text``: tokens x (N, L), labels y (N,), a mask (N, L). Published sets are found by
``text_sources``; subwords are made of the training part alone, and no part shares a row of a file with another.

Of files in a folder, here of two lines each:

>>> import tempfile
>>> words, rows = Words(("rates", "rise", "team", "wins")), {ag_news: ("rates", "rise"), yelp_polarity: ("rates rise",)}
>>> with tempfile.TemporaryDirectory() as folder:
...     for make, texts in (rows | {yahoo_answers: ("rates", "", "rise")}).items():
...         row = ",".join(f'"{text}"' for text in ("1", *texts))
...         for name in ("train.csv", "test.csv"):
...             _ = (Path(folder) / name).write_text(f"{row}\n{row}\n")
...         task = make(n_train=1, n_valid=1, n_test=1, tokenizer=words, folder=folder)
...         task.name, task.texts(task.test), task.classes[task.test.y[0]]
('ag-news', ['rates rise'], 'World')
('yelp', ['rates rise'], 'negative')
('yahoo', ['rates rise'], 'Society & Culture')
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ebm_course.checks import check_count
from ebm_course.tasks import sentiment_language
from ebm_course.tasks.subwords import Subwords
from ebm_course.tasks.text_files import Labelled, sampled
from ebm_course.tasks.text_sources import AG_NEWS, PHRASES, SENTENCES, YAHOO, YELP, Source
from ebm_course.tasks.text_task import Text, Tokenizer, batch_of, mask_of, text_task
from ebm_course.tasks.words import Words

__all__ = ["PAPER", "Text", "ag_news", "mask_of", "parts_of", "sst2", "toy", "yahoo_answers", "yelp_polarity"]

PAPER: dict[str, dict[str, int | None]] = {
    "sst2": {"n_train": 66_477, "n_valid": 872, "n_test": 872},
    "ag-news": {"n_train": 60_000, "n_valid": 2_000, "n_test": 2_000},
    "yelp": {"n_train": 60_000, "n_valid": 2_000, "n_test": 2_000},
    "yahoo": {"n_train": 60_000, "n_valid": 2_000, "n_test": 2_000},
}
"""The paper's sizes, ``ag_news(**PAPER["ag-news"])``; those of SST-2 are for its form ``phrases``.

Source: Table 9 of the paper on CARL and RAR: rows drawn at random. Departure: validation rows are 2,000 and not 60,000;
those of SST-2 are taken from its 67,349 for training, where the paper selects and reports on the same 872."""


def toy(
    *,
    n_train: int = 2000,
    n_valid: int = 500,
    n_test: int = 2000,
    max_length: int = sentiment_language.LONGEST + 2,
    noise: float = 0.0,
    seed: int = 0,
    tokenizer: Tokenizer | None = None,
) -> Text:
    """Opinions of the generated language of ``sentiment_language``, positive or negative; nothing is downloaded.

    Args:
        noise: probability that a label, in any part, is turned; the best accuracy is 1 - noise.
        tokenizer: by default the words of the language.

    Returns:
        The same seed gives the same parts; another number of rows of one leaves the others alone.

    >>> task = toy(n_train=20, n_valid=10, n_test=10)
    >>> task.train.x.shape[0], task.n_values, task.n_tokens, task.classes
    (20, 2, 47, ('negative', 'positive'))
    >>> task.texts(task.train[:1])
    ['the ending was funny although the film was boring']
    """
    seed = check_count("seed", seed)
    numbers = tokenizer or Words(sentiment_language.VOCABULARY)
    parts = []
    for k, n in enumerate((n_train, n_valid, n_test)):
        rows = sentiment_language.labelled(n, random.Random(3 * seed + k), noise=noise)
        parts.append(batch_of(((" ".join(words), label) for words, label in rows), numbers, max_length=max_length))
    return text_task("toy", parts, sentiment_language.CLASSES, numbers)


def sst2(
    form: Literal["sentences", "phrases"] = "sentences",
    *,
    n_train: int | None = None,
    n_valid: int | None = None,
    n_test: int | None = None,
    max_length: int = 64,
    tokenizer: Tokenizer | None = None,
    seed: int = 0,
    folder: Path | str | None = None,
) -> Text:
    r"""Sentences of film reviews, negative or positive.

    Args:
        form: ``sentences`` has 6,920, 872 and 1,821; ``phrases``, GLUE's form and the paper's, trains on phrases and
            tests on 872 sentences: its validation rows (872 by default) are drawn from the training file.
        n_train: rows drawn at random from the file, and so for the other parts; None takes all.
        max_length: tokens a text is cut to, start and end among them.
        tokenizer: by default 8,000 subwords of the training part.
        seed: of the draw of rows.
        folder: where the files lie, by default that of the set in ``EBM_COURSE_DATA``.

    Source: Socher et al. (2013); Wang et al. (2019) for the form ``phrases``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in ("train", "dev", "test"):
    ...         _ = (Path(folder) / f"stsa.binary.{part}").write_text("1 good film\n")
    ...     task = sst2(tokenizer=Words(("film", "good")), folder=folder)
    >>> task.name, task.texts(task.train), task.classes[task.train.y[0]]
    ('sst2-sentences', ['good film'], 'positive')
    """
    if form not in ("sentences", "phrases"):
        raise ValueError(f"SST-2 has the forms sentences and phrases: got {form!r}. Name one of them.")
    source = SENTENCES if form == "sentences" else PHRASES
    if form == "phrases" and n_valid is None:
        n_valid = 872
    return _published(f"sst2-{form}", source, (n_train, n_valid, n_test), max_length, tokenizer, seed, folder)


def ag_news(
    *,
    n_train: int | None = None,
    n_valid: int | None = 2_000,
    n_test: int | None = None,
    max_length: int = 128,
    tokenizer: Tokenizer | None = None,
    seed: int = 0,
    folder: Path | str | None = None,
) -> Text:
    """News in four topics; validation rows are drawn from the training file. Arguments as of :func:`sst2`.

    Source: Zhang et al. (2015), 120,000 and 7,600 in ``train.csv`` and ``test.csv``.
    """
    return _published("ag-news", AG_NEWS, (n_train, n_valid, n_test), max_length, tokenizer, seed, folder)


def yelp_polarity(
    *,
    n_train: int | None = 60_000,
    n_valid: int | None = 2_000,
    n_test: int | None = 2_000,
    max_length: int = 256,
    tokenizer: Tokenizer | None = None,
    seed: int = 0,
    folder: Path | str | None = None,
) -> Text:
    """Reviews of businesses, negative or positive, in the paper's sizes. Arguments as of :func:`sst2`.

    Source: Zhang et al. (2015), 560,000 and 38,000 in ``train.csv`` and ``test.csv``.
    """
    return _published("yelp", YELP, (n_train, n_valid, n_test), max_length, tokenizer, seed, folder)


def yahoo_answers(
    *,
    n_train: int | None = 60_000,
    n_valid: int | None = 2_000,
    n_test: int | None = 2_000,
    max_length: int = 256,
    tokenizer: Tokenizer | None = None,
    seed: int = 0,
    folder: Path | str | None = None,
) -> Text:
    """Questions with their best answers in ten topics, in the paper's sizes. Arguments as of :func:`sst2`.

    Source: Zhang et al. (2015), 1,400,000 and 60,000 in ``train.csv`` and ``test.csv``.
    """
    return _published("yahoo", YAHOO, (n_train, n_valid, n_test), max_length, tokenizer, seed, folder)


def _published(
    name: str,
    source: Source,
    sizes: tuple[int | None, int | None, int | None],
    max_length: int,
    tokenizer: Tokenizer | None,
    seed: int,
    folder: Path | str | None,
) -> Text:
    """Rows of a set's parts as a task, with subwords of the training part where no tokenizer was given."""
    for part, size in zip(("n_train", "n_valid", "n_test"), sizes, strict=True):
        if size is not None:
            check_count(part, size, least=1)
    train, valid, test = parts_of(source, sizes, seed=seed, folder=folder)
    numbers = tokenizer or Subwords.trained(text for text, _ in train)
    batches = [batch_of(rows, numbers, max_length=max_length) for rows in (train, valid, test)]
    return text_task(name, batches, source.classes, numbers)


def parts_of(
    source: Source, sizes: Sequence[int | None], *, seed: int, folder: Path | str | None = None
) -> tuple[list[Labelled], list[Labelled], list[Labelled]]:
    r"""Rows for training, validation and test, drawn at random from the files and kept in their order.

    Where a set has no validation file, those rows and the training rows are one draw from the training file, cut in two
    at random: the first is n_valid (2,000 where it is None).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("train.csv", "test.csv"):
    ...         _ = (Path(folder) / name).write_text('"1","slow"\n"2","kind"\n"2","warm"\n')
    ...     train, valid, test = parts_of(YELP, (2, 1, None), seed=0, folder=folder)
    >>> sorted(train + valid) == sorted(test), len(valid), test
    (True, 1, [('slow', 0), ('kind', 1), ('warm', 1)])
    """
    seed = check_count("seed", seed)  # Python's streams of -1 and 1 are one
    n_train, n_valid, n_test = sizes
    n_train = n_train if n_train is None else check_count("n_train", n_train)
    n_valid = n_valid if n_valid is None else check_count("n_valid", n_valid)
    read = source.rows(folder=folder)
    test = sampled(read["test"](), n_test, seed=seed)
    if "valid" in read:
        return sampled(read["train"](), n_train, seed=seed), sampled(read["valid"](), n_valid, seed=seed), test
    n_valid = 2_000 if n_valid is None else n_valid
    both = sampled(read["train"](), None if n_train is None else n_train + n_valid, seed=seed)
    if len(both) <= n_valid:
        raise ValueError(
            f"validation rows are taken from the {len(both)} training rows: got n_valid={n_valid}. Ask for fewer."
        )
    chosen = set(random.Random(seed).sample(range(len(both)), n_valid))
    valid = [row for k, row in enumerate(both) if k in chosen]
    return [row for k, row in enumerate(both) if k not in chosen], valid, test
