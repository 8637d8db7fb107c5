"""Brown clusters: a bit path for each word; words whose paths begin alike occur in like contexts.

It reads the published format, ``path TAB word TAB count``. It knows no sentence and no model.
Source: Brown et al. (1992), Section 3; Owoputi et al. (2012) for the clusters of tweets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ebm_course.tasks.text_lines import fault, lines_of

PREFIXES = (4, 6, 8, 12, None)
"""How many bits of a path make a column; None is all of them."""


@dataclass(frozen=True)
class BrownClusters:
    """``paths``: word -> its path of 0 and 1.

    >>> clusters = BrownClusters({"dog": "0010111010100", "cat": "0010"})
    >>> clusters.prefixes("dog"), clusters.prefixes("bird")
    (('0010', '001011', '00101110', '001011101010', '0010111010100'), ('', '', '', '', ''))
    >>> clusters.prefixes("cat")  # a path that ends before is whole in every column
    ('0010', '0010', '0010', '0010', '0010')
    """

    paths: Mapping[str, str]

    @classmethod
    def read(cls, path: Path | str) -> BrownClusters:
        """Clusters of a file; words are kept as they stand there.

        Raises:
            ValueError: a line is none of such a file, or a word comes twice; the message names the line. Or the file
                holds no word.
        """
        found: dict[str, str] = {}
        for number, line in lines_of(path):
            parts = line.split("\t")
            if len(parts) != 3:
                raise fault(path, number, "3 columns (path, word, count) with tabs between", f"{len(parts)}")
            bits, word, count = parts
            if not bits or set(bits) - {"0", "1"} or not count.isdecimal():
                raise fault(path, number, "a path of 0 and 1 and a count", "something else")
            if word in found:
                raise fault(path, number, "each word once", "one that came before")
            found[word] = bits
        if not found:
            raise ValueError(f"{Path(path).name} holds no word: expected one at least. Look whether it was cut short.")
        return cls(found)

    def prefixes(self, word: str) -> tuple[str, ...]:
        """The path's first 4, 6, 8, 12 bits and all of it; empty texts for an unknown word."""
        path = self.paths.get(word, "")
        return tuple(path[:n] for n in PREFIXES)
