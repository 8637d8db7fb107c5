"""Write the appendix of other trainings of sequence energies from the ledger: part of ``make results``.

``--check`` writes nothing and fails where the page is not that of the ledger. No number is typed here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from ebm_course.experiments.claims import judged
from ebm_course.experiments.sequences.config import CLAIMS
from ebm_course.experiments.sequences.findings import WORDS
from ebm_course.results import ledger
from ebm_course.results.record import Record
from ebm_course.storage import write_atomically

PAGE = Path(__file__).parents[1] / "appendix_sequences.md"
SOURCES = {"ten digits": "sequences-cpu", "three digits": "sequences-notebook"}
COLUMNS = {
    "paper's attack": "literal/free/correctness",
    "memory, answer": "memory/answer/correctness",
    "exact": "memory/answer/exact",
    "fooled": "fooled",
}
"""Title of a column -> the end of an entry's name."""

HEAD = """\
# Appendix: other trainings of sequence energies

What chapter 6 leaves out. Its claims rest on the experiment `ablation`, with independent runs and controls
([recorded results](results.md)). These are two earlier experiments. **Read them as illustrations**: all runs of one
of them share one language model, one pretrained net and the samples that attacks start from, the methods keep their
weights by different rules, and every idea was trained once. This page is written from the files in
`ebm_course/results`; nothing on it is typed by hand.

*Paper's attack*: correctness, the share of right digits, after the attack as printed, every digit free. *Memory,
answer*: correctness after position memory on the answer's digits, and *exact*: the share of right answers then.
*Fooled*: the share of attacked samples that are wrong and lie below the median energy of the data. After ± stands the
standard deviation over runs; without it there was one run.
"""
CLAIMED = """
Claims of Yin (2023), declared after these runs, judged together for each size. A constant energy would satisfy the two
that ask for no more than a small change.
"""
REPEATED = "Methods of every run, and the pretrained likelihood with nothing trained."
IDEAS = (
    "Each trained once, so there is no verdict between two rows: runs of one method differ by as much as many rows do."
)
RECITED = (
    "The last weights of the language model write training rows from memory. The same energies, attacked from there:"
)
SEARCHED = (
    "The pretrained likelihood, nothing trained, under other proposals for the substitution: correctness and exact.\n"
    "*current*: the current token is among the candidates of the most salient position. *gain*: of all positions and\n"
    "tokens the one with the largest first-order fall of the energy; *gain-10*: of ten such the one of lowest energy.\n"
    "*improve*: a substitution is made only where the energy falls."
)
EQUAL = "Samplers at equal energy evaluations a chain, on the answer's digits: correctness of the likelihood."
RESAMPLED = "One kept out of n: correctness. *Best of n* is what no energy passes."


def page(records: dict[str, Record]) -> str:
    """The page's Markdown, from the record of each size."""
    parts = [HEAD, *(f"\n- {size}: `{record.command}`" for size, record in records.items()), "\n"]
    for title, text, table in (
        ("The claims", CLAIMED.strip(), claims),
        ("Trained in every run", REPEATED, repeated),
        ("Ideas", IDEAS, ideas),
        ("A language model that recites", RECITED, recited),
        ("Other searches", SEARCHED, searches),
        ("Samplers", EQUAL, samplers),
        ("Resampling", RESAMPLED, resampling),
    ):
        rows, titles = table(records)
        parts.append(f"\n## {title}\n\n{text}\n\n{ledger.markdown(rows, titles)}\n")
    return "".join(parts)


Table = tuple[list[list[str]], list[str]]


def claims(records: dict[str, Record]) -> Table:
    """The paper's sentence, and difference and verdict at each size."""
    verdicts = {
        size: {row[0]: row for row in ledger.claim_rows(record, judged(CLAIMS, record.entries))}
        for size, record in records.items()
    }
    rows = []
    for claim in CLAIMS:
        found = [verdicts[size][claim.name] for size in records]
        rows.append([claim.paper_says, *(f"**{row[3]}**: {row[2]}" for row in found)])
    return rows, ["the paper says", *records]


def repeated(records: dict[str, Record]) -> Table:
    """What every run trains, and the likelihood that all start from."""
    names = {name: words for name, (words, runs) in attacked(records).items() if runs > 1}
    start = {"samples of the language model": "likelihood/literal/free"}
    return energies(records, {"likelihood": WORDS["likelihood"], **names}, start)


def ideas(records: dict[str, Record]) -> Table:
    """What the first run alone trains."""
    names = {name: words for name, (words, runs) in attacked(records).items() if runs == 1 and name != "likelihood"}
    return energies(records, {name: words for name, words in names.items() if not name.startswith("memorised/")})


def recited(records: dict[str, Record]) -> Table:
    """Energies attacked from samples of the language model's last weights."""
    names = {name: words for name, (words, _) in attacked(records).items() if name.startswith("memorised/")}
    return energies(records, names, {"samples of the reciting language model": "memorised/likelihood/literal/free"})


def attacked(records: dict[str, Record]) -> dict[str, tuple[str, int]]:
    """Every energy that was attacked: its words and its number of runs; the same in all records."""
    end = "/" + next(iter(COLUMNS.values()))
    found = [
        {
            e.name.removesuffix(end): (e.what.partition(": ")[0], len(e.values))
            for e in record.entries
            if e.name.endswith(end)
        }
        for record in records.values()
    ]
    assert all(one == found[0] for one in found)
    return found[0]


def energies(records: dict[str, Record], names: dict[str, str], starts: dict[str, str] | None = None) -> Table:
    """A row an energy, the same columns for each size; before them what the attacks start from."""
    rows = [
        [words, *(text for record in records.values() for text in [f"{record.curve(name).mean()[0]:.2f}", "", "", ""])]
        for words, name in (starts or {}).items()
    ]
    for name, words in names.items():
        rows.append(
            [words, *(number(record, f"{name}/{end}") for record in records.values() for end in COLUMNS.values())]
        )
    return rows, ["", *(f"{size}: {title}" if k == 0 else title for size in records for k, title in enumerate(COLUMNS))]


def searches(records: dict[str, Record]) -> Table:
    """Options of the attack on the likelihood."""
    first = next(iter(records.values()))
    options = dict.fromkeys(e.name.split("/")[2] for e in first.entries if e.name.startswith("options/likelihood/"))
    rows = []
    for option in options:
        cells = [
            f"{record.entry(f'options/likelihood/{option}/{place}').value:.2f}, "
            f"{record.entry(f'options/likelihood/{option}/{place}/exact').value:.2f}"
            for record in records.values()
            for place in ("free", "answer")
        ]
        rows.append([option, *cells])
    return rows, ["proposal", *(f"{size}, {place}" for size in records for place in ("every digit", "answer"))]


def samplers(records: dict[str, Record]) -> Table:
    """Correctness at a small, a middling and the largest budget."""
    return lines(records, "equal/likelihood/", (22, 110, 550), lambda name: name)


def resampling(records: dict[str, Record]) -> Table:
    """Correctness of one kept out of n, mean over runs."""

    def words(name: str) -> str:
        method, _, end = name.partition("/")
        epochs = [record.variant(method)["n_epochs"] for record in records.values()]
        return f"noise contrast, {' and '.join(map(str, dict.fromkeys(epochs)))} epochs" if not end else "best of n"

    return lines(records, "resampling/", (1, 5, 20, 80), words, leave_out=("residual-long/oracle",))


def lines(
    records: dict[str, Record],
    prefix: str,
    at: tuple[int, ...],
    words: Callable[[str], str],
    leave_out: tuple[str, ...] = (),
) -> Table:
    """A row for each curve whose name begins so, its means at some places of each size."""
    first = next(iter(records.values()))
    names = [c.name.removeprefix(prefix) for c in first.curves if c.name.startswith(prefix)]
    rows = []
    for name in (name for name in names if name not in leave_out):
        found = [record.curve(prefix + name) for record in records.values()]
        rows.append([words(name), *(f"{curve.mean()[curve.x.index(x)]:.2f}" for curve in found for x in at)])
    return rows, ["", *(f"{size}: {x}" if k == 0 else str(x) for size in records for k, x in enumerate(at))]


def number(record: Record, name: str) -> str:
    """The mean, with its standard deviation where there were several runs."""
    entry = record.entry(name)
    return f"{entry.value:.2f}" + (f" ± {entry.spread:.2f}" if entry.spread is not None else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where the page differs")
    text = page({size: ledger.read(name) for size, name in SOURCES.items()})
    if not parser.parse_args().check:
        write_atomically(PAGE, text.encode())
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.name} is not as the ledger has it. Run make results.")
