r"""Published sets of tagged sentences by name: tweets with parts of speech, WNUT-17, CoNLL-2003, a treebank.

Files are found through ``EBM_COURSE_DATA`` or downloaded once from the repositories of their authors (``files.fetch``).
CoNLL-2003 may not be passed on, and a treebank has a new release every half year: these are read from a user's folder.
Raw tweets hold names of people and offensive words: what a reader sees uses the masked form.

A small file here, in the place of every one that is downloaded:

>>> import tempfile
>>> from unittest.mock import patch
>>> with tempfile.TemporaryDirectory() as folder, patch("ebm_course.tasks.tagging_sets.fetch") as fetched:
...     small = fetched.return_value = Path(folder) / "small"
...     _ = small.write_text("<@MENTION> hi ||| @ !\n")
...     tweets, more = twitter_pos(clusters=False), list(unlabelled_tweets())
...     _ = small.write_text("1011\thi\t7\n")
...     tweet_clusters().paths
...     _ = small.write_text("Ada\tB-person\nLovelace\tI-person\n")
...     posts = wnut17(clusters=False)
{'hi': '1011'}
>>> tweets.task.name, tweets.task.n_values, tweets.train.tags, more
('twitter-pos-paper', 25, (('@', '!'),), [('<@MENTION>', 'hi', '|||', '@', '!')])
>>> posts.task.n_values, posts.train.tags
(25, (('B-person', 'E-person'),))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from ebm_course.files import fetch
from ebm_course.tasks.brown_clusters import BrownClusters
from ebm_course.tasks.sentences import Sentence, Sentences
from ebm_course.tasks.tag_schemes import Scheme, all_tags
from ebm_course.tasks.tagging import Tagging, entity_score, tagging
from ebm_course.tasks.tagging_features import Features, normal
from ebm_course.tasks.tagging_files import read_columns, read_conll2003, read_conllu, read_masked, read_tokens
from ebm_course.tasks.tagging_sources import CLUSTERS, MASKED, RAW, UNLABELLED, WNUT
from ebm_course.tasks.word_vectors import with_vectors

TWEET_TAGS = tuple("NO^SZVAR!DP&TX#@~UE$,GLMY")
"""The 25 tags of tweets. Source: Gimpel et al. (2011), Table 1."""
UNIVERSAL_TAGS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT"),
    *("SCONJ", "SYM", "VERB", "X"),
)
"""The 17 of CoNLL-U."""
WNUT_TYPES = ("corporation", "creative-work", "group", "location", "person", "product")
CONLL_TYPES = ("LOC", "MISC", "ORG", "PER")

SPLITS = {
    "paper": ("oct27.traindev", "oct27.test", "daily547"),
    "plain": ("oct27.train", "oct27.dev", "oct27.test"),
}
"""Train, validation and test parts of the tweets: as Tu and Gimpel take them, and as they were published."""


def twitter_pos(
    split: Literal["paper", "plain"] = "paper", *, masked: bool = True, clusters: bool = True, **how: Any
) -> Tagging:
    """Tweets with 25 parts of speech.

    Args:
        split: ``paper`` trains on 1,327 tweets, selects on 500 and tests on the 547 of ``daily547``; ``plain`` has
            1,000, 327 and 500. A number belongs to one of them.
        masked: the published masked form, lower-cased; else the raw one, whose words are masked alike as features.
        clusters: adds the columns of Brown clusters that were made of tweets.
        how: ``affixes``, ``shape``, ``case``, ``vectors``, ``least`` of :func:`prepared`.

    Source: Tu et al. (2020), Section 6; Gimpel et al. (2011) and Owoputi et al. (2013) for the data, CC-BY 3.0.
    """
    if split not in SPLITS:
        raise ValueError(f"the tweets have the splits {', '.join(SPLITS)}: got {split!r}. Name one of them.")
    files, read = (MASKED, read_masked) if masked else (RAW, read_columns)
    parts = [Sentences.of(read(fetch(files[name]), tags=TWEET_TAGS)) for name in SPLITS[split]]
    return prepared(
        f"twitter-pos-{split}", parts, tags=TWEET_TAGS, clusters=tweet_clusters() if clusters else None, **how
    )


def unlabelled_tweets() -> Iterator[tuple[str, ...]]:
    """The tokens of 3,000 more tweets in masked form, without tags."""
    return read_tokens(fetch(UNLABELLED))


def tweet_clusters() -> BrownClusters:
    """Paths of 111,844 words in 800 clusters, made of tweets. Source: Owoputi et al. (2012)."""
    return BrownClusters.read(fetch(CLUSTERS))


def wnut17(*, scheme: Scheme = "BIOES", clusters: bool = True, **how: Any) -> Tagging:
    """Emerging entities of six types in posts: 3,394 sentences to train, 1,009 to select, 1,287 to test.

    Source: Derczynski et al. (2017), CC-BY 4.0. ``how`` as in :func:`twitter_pos`.
    """
    tags = all_tags(WNUT_TYPES, scheme)
    parts = [Sentences.of(read_columns(fetch(file), tags=tags, scheme=scheme)) for file in WNUT]
    kept = tweet_clusters() if clusters else None
    return prepared("wnut17", parts, tags=tags, clusters=kept, score=entity_score, **how)


def conll2003(folder: Path | str, *, scheme: Scheme = "BIOES", **how: Any) -> Tagging:
    r"""Entities of four types in newswire, from a folder with ``eng.train``, ``eng.testa`` and ``eng.testb``.

    Source: Tjong Kim Sang and De Meulder (2003). ``how`` as in :func:`twitter_pos`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("eng.train", "eng.testa", "eng.testb"):
    ...         _ = (Path(folder) / name).write_text("New NNP B-NP I-LOC\nYork NNP I-NP I-LOC\n")
    ...     made = conll2003(folder)
    >>> made.train.tags, made.task.n_values  # O, and four letters of each type
    ((('B-LOC', 'E-LOC'),), 17)
    """
    tags = all_tags(CONLL_TYPES, scheme)
    parts = _parts(
        folder, ("eng.train", "eng.testa", "eng.testb"), lambda p: read_conll2003(p, tags=tags, scheme=scheme)
    )
    return prepared("conll2003", parts, tags=tags, score=entity_score, **how)


def treebank(folder: Path | str, *, prefix: str = "en_ewt-ud", **how: Any) -> Tagging:
    r"""Universal parts of speech of a treebank, from a folder with ``PREFIX-train.conllu``, ``-dev`` and ``-test``.

    Source: Nivre et al. (2020). ``how`` as in :func:`twitter_pos`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in ("train", "dev", "test"):
    ...         _ = (Path(folder) / f"en_ewt-ud-{part}.conllu").write_text("1\tdogs\tdog\tNOUN" + "\t_" * 6 + "\n")
    ...     made = treebank(folder)
    >>> made.train.tokens, made.train.tags, made.task.n_values
    ((('dogs',),), (('NOUN',),), 17)
    """
    names = tuple(f"{prefix}-{part}.conllu" for part in ("train", "dev", "test"))
    parts = _parts(folder, names, lambda path: read_conllu(path, tags=UNIVERSAL_TAGS))
    return prepared(prefix, parts, tags=UNIVERSAL_TAGS, **how)


def prepared(
    name: str,
    parts: list[Sentences],
    *,
    clusters: BrownClusters | None = None,
    affixes: bool = False,
    shape: bool = False,
    case: bool = False,
    vectors: bool = False,
    **how: Any,
) -> Tagging:
    """Three parts of sentences as a task with the columns asked for.

    Args:
        affixes: adds the six columns of first and last characters.
        shape: adds the column of shapes, in which letters' case shows.
        case: adds the column of cases: lower, Title, UPPER, mixed, and what has no letters.
        vectors: numbers every word of any part that has a GloVe vector, for an embedding that stays fixed
            (``word_vectors.embedding_rows``); needs the extra ``vectors``.
        how: ``tags``, ``least`` and ``score`` of ``tagging.tagging``.

    >>> some = Sentences.of([Sentence(("The", "dog"), ("D", "N"))])
    >>> prepared("some", [some] * 3, least=1).task.train.x.shape  # a column, that of words
    torch.Size([1, 2, 1])
    >>> prepared("some", [some] * 3, least=1, affixes=True, shape=True, case=True).task.train.x.shape
    torch.Size([1, 2, 9])
    """
    features = Features(clusters, with_affixes=affixes, with_shape=shape, with_case=case)
    words = sorted({normal(token) for part in parts for tokens in part.tokens for token in tokens}) if vectors else []
    train, valid, test = parts
    return tagging(
        name, train, valid, test, features=features, known_words=with_vectors(words) if vectors else (), **how
    )


def _parts(folder: Path | str, names: tuple[str, ...], read: Callable[[Path], Iterator[Sentence]]) -> list[Sentences]:
    missing = [name for name in names if not (Path(folder) / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"expected {len(names)} files in {Path(folder).absolute()}: {', '.join(missing)} not found there. "
            f"Put what is missing there under its name, or name the folder that holds all of them."
        )
    return [Sentences.of(read(Path(folder) / name)) for name in names]
