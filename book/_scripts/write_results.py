"""Write the page of recorded results and its figures from the ledger: ``make results``.

``--check`` writes nothing and fails where page or figures are not those of the ledger. No number is typed here.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import json
import re
import sys
from dataclasses import asdict
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import matplotlib.pyplot as plt

from ebm_course.figures.curves import curves
from ebm_course.figures.style import use_style
from ebm_course.files import write_atomically
from ebm_course.results import ledger
from ebm_course.results.record import Curve, Record

BOOK = Path(__file__).parents[1]
MOST = 6  # lines in one figure: as many as the style has colours
MAIN = {
    "sequences": (
        r"(?!short)[^/]+/literal/free",  # Figures 1a and 2
        r"(?!short)[^/]+/memory/answer",
        r"idea/[^/]+/literal/free",
        r"idea/[^/]+/memory/answer",
        r"resampling/.*",  # Figure 1b
        r"equal/likelihood/.*",
        r"equal/grown/.*",
        r"energy/.*",
        r"lm/.*",
    )
}
"""Experiment -> what names of curves of one figure match. Of other experiments every curve is drawn."""

HEAD = """\
# Recorded results

What the course's experiments gave where they were run whole, with the paper's number or claim beside. This page is
written from the files in `ebm_course/results`, which `reproduce` makes; nothing on it is typed by hand. The same in a
terminal: `python -m ebm_course results --curves`.
"""

NONE_YET = """
No experiment is recorded yet. This makes the first record, at a size for two CPU cores:

```
python -m ebm_course reproduce sequences --preset cpu --record
```
"""

HOW_TO_READ = """
*here* is the mean over independent runs and, after ±, their standard deviation; *holds* says whether the paper's claim
held. Thin lines in the figures are single runs, bands one standard deviation.
"""


def page(records: list[Record]) -> str:
    """The page's Markdown."""
    parts = [HEAD, HOW_TO_READ if records else NONE_YET]
    return "".join(parts + ["\n" + section(record) for record in records])


def section(record: Record) -> str:
    """One record: what it is, how it was made, its table and its figures."""
    lines = [f"## {record.name}, preset {record.preset}", "", *summary(record.name)]
    lines += [f"- **{title}**: {f'`{text}`' if title == 'command' else text}" for title, text in ledger.head(record)]
    lines += ["", ledger.markdown(record, ledger.headlines(record))]
    for name, group in figures(record).items():
        lines += ["", f"![{alt(group)}](_static/{name})"]
        lines += [f"\nThe paper on {curve.name}: {curve.paper}" for curve in group if curve.paper]
    shown = {entry.name for entry in ledger.headlines(record)}
    for name, family in ledger.families(record).items():
        if family[0].name not in shown:
            table = ledger.markdown(record, family)
            lines += ["", f"<details>\n<summary>{name}: {len(family)} numbers</summary>\n\n{table}\n\n</details>"]
    return "\n".join(lines) + "\n"


def summary(name: str) -> list[str]:
    """What the recipe of this name says of itself in its first sentence, and nothing where there is no such recipe."""
    spec = find_spec(f"ebm_course.recipes.reproduce_{name}")
    if spec is None or spec.origin is None:
        return []
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return [text.split("\n\n")[0].replace("``", "`"), ""]


def figures(record: Record) -> dict[str, list[Curve]]:
    """File name -> curves on the same axes, at most :data:`MOST` of them in one figure."""
    groups: dict[tuple, list[Curve]] = {}
    for pattern in MAIN.get(record.name, (".*",)):
        for curve in (curve for curve in record.curves if re.fullmatch(pattern, curve.name)):
            groups.setdefault((pattern, curve.x_name, curve.y_name, tuple(curve.x)), []).append(curve)
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
    """Stands in a figure's file and changes with its numbers, unlike the drawing with matplotlib's version."""
    return "numbers " + hashlib.sha256(json.dumps([asdict(curve) for curve in group]).encode()).hexdigest()[:16]


def draw(group: list[Curve]) -> bytes:
    """The figure as SVG: mean and band of each curve, and its single runs as thin lines."""
    use_style()
    first = group[0]
    figure, ax = plt.subplots()
    title, names = labels(group)
    lines = {name: curve.runs for name, curve in zip(names, group, strict=True)}
    curves(first.x, lines, xlabel=first.x_name, ylabel=first.y_name, ax=ax)
    for line, curve in zip(list(ax.lines), group, strict=True):
        for run in curve.runs if len(curve.runs) > 1 else ():
            ax.plot(curve.x, run, color=line.get_color(), linestyle="-", linewidth=0.6, alpha=0.5)
    ax.set_title(title)
    buffer = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "ebm-course"}):  # the same numbers are the same file
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Description": fingerprint(group)})
    plt.close(figure)
    return buffer.getvalue()


def faults(book: Path, records: list[Record]) -> list[str]:
    """What differs from the ledger: the page, figures that are missing, of other numbers, or of no record."""
    stored = book / "results.md"
    found = [] if stored.is_file() and stored.read_text(encoding="utf-8") == page(records) else ["results.md"]
    wanted = {name: group for record in records for name, group in figures(record).items()}
    for name, group in wanted.items():
        path = book / "_static" / name
        if not path.is_file() or fingerprint(group) not in path.read_text(encoding="utf-8"):
            found.append(name)
    return found + [path.name for path in sorted((book / "_static").glob("results-*.svg")) if path.name not in wanted]


def write(book: Path, records: list[Record]) -> None:
    """Write the page and the figures that differ, and remove figures of no record."""
    wanted = {name: group for record in records for name, group in figures(record).items()}
    for name in faults(book, records):
        if name == "results.md":
            write_atomically(book / name, page(records).encode())
        elif name in wanted:
            write_atomically(book / "_static" / name, draw(wanted[name]))
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
