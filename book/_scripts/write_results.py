"""Write the page of recorded results and its figures from the ledger: ``make results``.

``--check`` writes nothing and fails where page or figures are not those of the ledger. No number is typed here.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import takewhile
from pathlib import Path

import matplotlib.pyplot as plt
import sample_figures

from ebm_course.commands import choices
from ebm_course.experiments.claims import judged
from ebm_course.experiments.experiment import Experiment
from ebm_course.figures.curves import curves
from ebm_course.figures.legend import legend_below
from ebm_course.figures.style import STYLE, use_style
from ebm_course.results import ledger
from ebm_course.results.findings import Curve, Judged
from ebm_course.results.record import Record
from ebm_course.storage import write_atomically

BOOK = Path(__file__).parents[1]
MOST = 6  # lines in one figure: as many as the style has colours

HEAD = """\
# Recorded results

What the course's experiments gave where they were run whole, claim by claim. This page is written from the files in
`ebm_course/results`, which `reproduce` makes; nothing on it is typed by hand. The same in a terminal:
`python -m ebm_course results`.
"""

NONE_YET = """
No experiment is recorded yet. This makes the first record, at a size for two CPU cores:

```
python -m ebm_course reproduce sequences --preset cpu --record
```
"""

HOW_TO_READ = """
**How to read it.** *Here* is the mean over independent runs of the difference that decides a claim, Student's
interval for it at a level shared by all claims of a table, and the smallest difference that was declared to matter, on
the side where it was expected. *holds* and *reverses*: surely not zero, and a mean of at least that size. *no
effect*: surely smaller. A claim with ± says that no difference matters: it *holds* where the difference is surely
smaller, and *reverses* where it is surely larger. *undecided*: everything else, and every single run. The chance
of calling a difference where there is none, or none where there is one that matters, is 5 % at most for all claims of a
table together (Holm's correction), if differences are roughly normal over runs. *Surely smaller* is tested towards one
side, so the interval shown, which has two, may reach a little further. The *control* is what a claim has to be
read beside. After ± stands the standard deviation over runs. Thin lines in the figures are single runs, bands one
standard deviation; there are none on logarithmic axes.
"""

VERDICTS = ("holds", "reverses", "no effect", "undecided")
OLDER = ("sequences",)
"""Experiments that a later one asks again with independent runs and controls: they stand last."""
LATER = "These claims were declared after the run: the record is older than the rule that they come first."


def page(records: list[Record]) -> str:
    """The page's Markdown: for each experiment claims and one figure of every record, all else folded."""
    parts = [HEAD, HOW_TO_READ + decided(records) if records else NONE_YET]
    names = [*choices.EXPERIMENTS, *sorted({record.name for record in records} - set(choices.EXPERIMENTS))]
    for name in sorted(names, key=OLDER.__contains__):
        own = [record for record in records if record.name == name]
        if own:
            experiment = declared(name)
            parts.append(f"\n## {experiment.title.rstrip('.') if experiment else name}\n")
            parts += ["\n" + section(record, experiment) for record in own]
    return "".join(parts)


def decided(records: list[Record]) -> str:
    """Of every record with claims, the names of those that were decided and how many were not; "" without any."""
    lines = []
    for record in sorted(records, key=lambda record: record.name in OLDER):
        claims, _ = claims_of(record, declared(record.name))
        names = {word: [found.claim.name for found in claims if found.verdict == word] for word in VERDICTS}
        told = [f"*{word}*: {', '.join(names[word])}" for word in VERDICTS[:-1] if names[word]]
        told += [f"*undecided*: {len(names['undecided'])}"] if names["undecided"] else []
        lines += [f"- [{record.key}](#{target(record)}) {'; '.join(told)}"] if claims else []
    return "\n**What was decided.**\n\n" + "\n".join(lines) + "\n" if lines else ""


def target(record: Record) -> str:
    """Where the page's own links to a record lead."""
    return "record-" + re.sub("[^a-z0-9]+", "-", record.key.lower())


def declared(name: str) -> Experiment | None:
    """The experiment of this name, None where the course has none."""
    return choices.experiment(name) if name in choices.EXPERIMENTS else None


def section(record: Record, experiment: Experiment | None) -> str:
    """One record: its claims, its first figure, and folded how it was made, all figures and all numbers."""
    lines = [f"({target(record)})=", f"### {heading(record, experiment)}", ""]
    claims, later = claims_of(record, experiment)
    if claims:
        lines += [ledger.markdown(ledger.claim_rows(record, claims), ledger.CLAIM_TITLES), ""]
        lines += [LATER, ""] if later else []
        lines += [outside(claims), ""] if outside(claims) else []
    lines += [text for words in words_of(experiment, claims) for text in (words, "")]
    drawn = [f"![{alt(group)}](_static/{name})" for name, group in figures(record, experiment).items()]
    lines += [*drawn[:1], "", *folded("How it was made", made(record))]
    lines += folded(f"{len(drawn) - 1} more figures", "\n\n".join(drawn[1:])) if drawn[1:] else []
    seen = sample_figures.markdown(record)
    lines += folded("Samples of the first run, a column a class", seen) if seen else []
    for name, family in ledger.families(record).items():
        lines += folded(f"{name}: {len(family)} numbers", ledger.markdown(ledger.rows(family), ledger.TITLES))
    return "\n".join(lines) + "\n"


def heading(record: Record, experiment: Experiment | None) -> str:
    """What a record is: its preset in words, and what was changed of it."""
    preset = experiment.presets.get(record.preset) if experiment else None
    words = f": {preset.words}" if preset is not None and preset.words else ""
    return f"Preset {record.preset}{words}{', ' * bool(record.choices)}{', '.join(record.choices)}"


def claims_of(record: Record, experiment: Experiment | None) -> tuple[tuple[Judged, ...], bool]:
    """The record's claims, or those its experiment declares now, judged on it; whether it is the latter."""
    preset = experiment.presets.get(record.preset) if experiment else None
    if record.claims or preset is None:
        return record.claims, False
    return judged(preset.claims, record.entries), True


def outside(claims: Sequence[Judged]) -> str:
    """Undecided claims whose interval leaves out every difference that would matter on their side, in a sentence."""
    names = []
    for found in claims:
        least, low, high = found.claim.smallest_effect, found.low, found.high
        if found.verdict == "undecided" and low is not None and high is not None:
            names += [found.claim.name] * {"higher": high < least, "lower": low > -least}.get(found.claim.better, False)
    words = "Undecided, yet the interval leaves out every difference that would matter on the side of the claim"
    return f"{words}: {', '.join(names)}." if names else ""


def words_of(experiment: Experiment | None, claims: Sequence[Judged]) -> list[str]:
    """What an experiment says of the numbers of its claims, if there are any, and of what its runs share."""
    told = (experiment.measured * bool(claims), experiment.shared) if experiment else ()
    return [words for words in told if words]


def made(record: Record) -> str:
    """How a record was made, as a list; commits of stages where there were several."""
    lines = [f"- **{title}**: {f'`{text}`' if title == 'command' else text}" for title, text in ledger.head(record)]
    commits = dict.fromkeys(commit for stage in record.work for commit in stage.commits)
    if len(commits) > 1:
        lines.append(f"- **commits of its stages**: {', '.join(commits)}")
    return "\n".join([*lines, f"- **file**: `ebm_course/results/{record.key}.json`"])


def folded(summary: str, body: str) -> list[str]:
    """Markdown that a page shows when it is asked to."""
    return [f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>", ""]


def figures(record: Record, experiment: Experiment | None) -> dict[str, list[Curve]]:
    """File name -> curves on the same axes, at most :data:`MOST` of them in one figure."""
    groups: dict[tuple, list[Curve]] = {}
    for pattern in experiment.figures if experiment and experiment.figures else (".*",):
        for curve in (curve for curve in record.curves if re.fullmatch(pattern, curve.name)):
            groups.setdefault((pattern, curve.x_name, curve.y_name), []).append(curve)
    parts = [group[k : k + MOST] for group in groups.values() for k in range(0, len(group), MOST)]
    return {f"results-{record.key}-{k}.svg": part for k, part in enumerate(parts, start=1)}


def shared_parts(names: list[list[str]]) -> int:
    """How many parts all names have in common at their beginning."""
    return len(list(takewhile(lambda parts: len(set(parts)) == 1, zip(*names, strict=False))))


def labels(group: list[Curve]) -> tuple[str, list[str]]:
    """What the names share at their ends, for the title, and what tells them apart, for the legend."""
    names = [curve.name.split("/") for curve in group]
    if len(names) == 1:
        return group[0].name, [group[0].name]
    first = shared_parts(names)
    last = shared_parts([name[first:][::-1] for name in names])
    own = ["/".join(name[first : len(name) - last]) for name in names]
    shared = names[0][:first] + names[0][len(names[0]) - last :]
    return ", ".join(shared), [part or group[k].name for k, part in enumerate(own)]


def alt(group: list[Curve]) -> str:
    """The figure in words: where each curve starts and ends."""
    title, names = labels(group)
    means = [(name, curve.mean()) for name, curve in zip(names, group, strict=True)]
    ends = [f"{name} from {ledger.number(mean[0])} to {ledger.number(mean[-1])}" for name, mean in means]
    return f"{group[0].y_name} against {group[0].x_name}{', ' * bool(title)}{title}: {'; '.join(ends)}.".replace(
        "[", "("
    ).replace("]", ")")


def fingerprint(group: list[Curve]) -> str:
    """Stands in a figure's file and changes with its numbers and the style, unlike the drawing, which changes with
    matplotlib's version too."""
    drawn_from = json.dumps([asdict(curve) for curve in group]) + STYLE.read_text(encoding="utf-8")
    return "numbers " + hashlib.sha256(drawn_from.encode()).hexdigest()[:16]


def draw(group: list[Curve]) -> bytes:
    """The figure as SVG: mean and band of each curve, and its single runs as thin lines."""
    use_style()
    figure, ax = plt.subplots()
    title, names = labels(group)
    log = spans_decades(value for curve in group for run in curve.runs for value in run)
    for name, curve in zip(names, group, strict=True):
        runs = [curve.mean()] if log else curve.runs  # a band of one SD may reach below 0, where no logarithm is
        curves(curve.x, {name: runs}, xlabel=curve.x_name, ylabel=curve.y_name, ax=ax)
        color = ax.lines[-1].get_color()
        for run in curve.runs if len(curve.runs) > 1 else ():
            ax.plot(curve.x, run, color=color, linestyle="-", linewidth=0.6, alpha=0.5, label="_run")
    if log:
        ax.set_yscale("log")
    if len({tuple(curve.x) for curve in group}) > 1 and spans_decades(x for curve in group for x in curve.x):
        ax.set_xscale("log")
    counts = sorted({len(curve.runs) for curve in group} - {1})
    mean = "mean" if log else "mean ± SD"
    seeds = f"{mean}, {' or '.join(map(str, counts))} runs" if counts else None
    if ax.get_legend() or len(group) > 1:
        legend_below(figure, title=seeds)
    ax.set_title(title)
    buffer = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "ebm-course"}):  # the same numbers are the same file
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Description": fingerprint(group)})
    plt.close(figure)
    return buffer.getvalue()


def spans_decades(values: Iterable[float]) -> bool:
    """Whether all are above 0 and the largest is a hundred times the smallest: a logarithmic axis then shows both."""
    found = list(values)
    return min(found) > 0 and max(found) >= 100 * min(found)


Drawing = tuple[str, Callable[[], bytes]]


def pictures(records: list[Record]) -> dict[str, Drawing]:
    """File name -> fingerprint and drawing of every figure of the page."""
    found: dict[str, Drawing] = {}
    for record in records:
        for name, group in figures(record, declared(record.name)).items():
            found[name] = fingerprint(group), partial(draw, group)
        for name, rows in sample_figures.sample_figures(record).items():
            found[name] = sample_figures.fingerprint(rows), partial(sample_figures.draw, rows)
    return found


def faults(book: Path, records: list[Record]) -> list[str]:
    """What differs from the ledger: the page, figures that are missing, of other numbers, or of no record."""
    stored = book / "results.md"
    found = [] if stored.is_file() and stored.read_text(encoding="utf-8") == page(records) else ["results.md"]
    wanted = pictures(records)
    for name, (mark, _) in wanted.items():
        path = book / "_static" / name
        if not path.is_file() or mark not in path.read_text(encoding="utf-8"):
            found.append(name)
    return found + [path.name for path in sorted((book / "_static").glob("results-*.svg")) if path.name not in wanted]


def write(book: Path, records: list[Record]) -> None:
    """Write the page and the figures that differ, and remove figures of no record."""
    wanted = pictures(records)
    for name in faults(book, records):
        if name == "results.md":
            write_atomically(book / name, page(records).encode())
        elif name in wanted:
            write_atomically(book / "_static" / name, wanted[name][1]())
        else:
            (book / "_static" / name).unlink()
        print(f"book/{name if name.endswith('.md') else f'_static/{name}'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where something differs")
    if not parser.parse_args().check:
        write(BOOK, ledger.records())
    elif found := faults(BOOK, ledger.records()):
        sys.exit(f"not as the ledger has it: {', '.join(found)}. Run make results.")
