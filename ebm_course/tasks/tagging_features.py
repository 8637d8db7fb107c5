"""What a tagger may see of a token besides its sentence: the word, its clusters, affixes, shape and case.

Every feature is a text; ``vocabulary`` numbers them. An empty text means unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ebm_course.tasks.brown_clusters import PREFIXES, BrownClusters

MENTION = "<@MENTION>"
AFFIX_LENGTHS = (1, 2, 3)
_URL = re.compile(r"(?:https?://(?:www\.)?|www\.)([^/\s?#:]+)\S*", flags=re.IGNORECASE)


def normal(token: str) -> str:
    """The token in lower case, a user's name and an address masked, as in the published masked form of the tweets.

    >>> [normal(token) for token in ("Dogs", "@somebody", "http://www.bit.ly/a1b2", "<URL-bit.ly>")]
    ['dogs', '<@MENTION>', '<URL-bit.ly>', '<URL-bit.ly>']
    """
    if token == MENTION or re.fullmatch(r"<URL-[^>]*>", token):
        return token
    if re.fullmatch(r"@\w+", token):
        return MENTION
    found = _URL.fullmatch(token)
    return f"<URL-{found[1]}>" if found else token.lower()


def shape(token: str) -> str:
    """Letters as X or x, digits as d, all else as it is; of equal ones in a row two are kept.

    >>> [shape(token) for token in ("McDonald", "iPhone4", "2010-10-27", "sooooo")]
    ['XxXxx', 'xXxxd', 'dd-dd-dd', 'xx']
    """
    kinds = "".join(
        "d" if c.isdigit() else "X" if c.isupper() else "x" if c.isalpha() else " " if c.isspace() else c for c in token
    )
    return re.sub(r"(.)\1{2,}", r"\1\1", kinds)


def affixes(token: str) -> tuple[str, ...]:
    """First 1, 2, 3 and last 1, 2, 3 characters of the normal form; empty where the token is no longer than that.

    >>> affixes("Dogs"), affixes("I")
    (('d', 'do', 'dog', 's', 'gs', 'ogs'), ('', '', '', '', '', ''))
    """
    word = normal(token)
    starts = [word[:n] if len(word) > n else "" for n in AFFIX_LENGTHS]
    return (*starts, *(word[-n:] if len(word) > n else "" for n in AFFIX_LENGTHS))


def case(token: str) -> str:
    """How a token's letters are written: lower, Title, UPPER or mixed; of one without letters whether it has digits.

    >>> [case(token) for token in ("dogs", "Dogs", "NATO", "iPhone", "24", ":)", "I")]
    ['lower', 'Title', 'UPPER', 'mixed', 'digits', 'other', 'Title']
    """
    letters = [c for c in token if c.isalpha()]
    if not letters:
        return "digits" if any(c.isdigit() for c in token) else "other"
    upper = [c.isupper() for c in letters]
    if not any(upper):
        return "lower"
    if upper[0] and not any(upper[1:]):
        return "Title"
    return "UPPER" if all(upper) else "mixed"


@dataclass(frozen=True)
class Features:
    """Which columns a token has: always its word, then those asked for.

    Args:
        clusters: paths of words; adds five columns, the path's first 4, 6, 8 and 12 bits and all of it.
        with_affixes: adds six columns.
        with_shape: adds a column.
        with_case: adds a column.

    >>> Features(with_shape=True).names, Features(with_shape=True).of("Dogs")
    (('word', 'shape'), ('dogs', 'Xxx'))
    """

    clusters: BrownClusters | None = None
    with_affixes: bool = False
    with_shape: bool = False
    with_case: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        names = ["word"]
        if self.clusters is not None:
            names += [f"cluster-{'full' if n is None else n}" for n in PREFIXES]
        if self.with_affixes:
            names += [f"{end}-{n}" for end in ("prefix", "suffix") for n in AFFIX_LENGTHS]
        return (*names, *(["shape"] if self.with_shape else []), *(["case"] if self.with_case else []))

    def of(self, token: str) -> tuple[str, ...]:
        """The token's value in each column; empty where it has none."""
        values = [normal(token)]
        if self.clusters is not None:
            values += self.clusters.prefixes(values[0])
        if self.with_affixes:
            values += affixes(token)
        values += [shape(token)] if self.with_shape else []
        return (*values, *([case(token)] if self.with_case else []))

    def frequent(self, counts: Sequence[dict[str, int]], least: int) -> list[list[str]]:
        """Values a column, sorted; of words and affixes those seen ``least`` times or more, of the rest all."""
        rare = [name == "word" or "fix-" in name for name in self.names]
        return [
            sorted(value for value, n in seen.items() if value and (n >= least or not often))
            for seen, often in zip(counts, rare, strict=True)
        ]
