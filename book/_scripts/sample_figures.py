"""Figures of the samples kept beside records, for the page of recorded results: one a way to sample, a row an arm."""

from __future__ import annotations

import hashlib
import io

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from ebm_course.figures.image_grid import image_grid
from ebm_course.figures.style import STYLE, use_style
from ebm_course.results import samples
from ebm_course.results.record import Record

WORDS = {"data": "held-out images", "start": "where chains begin"}
"""Rows that all arms share, as the samples' names have them."""

Rows = dict[str, Tensor]


def sample_figures(record: Record) -> dict[str, Rows]:
    """File name -> rows of one figure, by what they show; none where no samples are kept beside the record."""
    if record.key not in samples.names():
        return {}
    shared: Rows = {}
    ways: dict[str, Rows] = {}
    for name, images in samples.read(record.key).items():
        arm, _, way = name.partition("/")[2].rpartition("/")
        if arm:
            ways.setdefault(way, {})[f"{name.partition('/')[0]}/{arm}"] = images
        else:
            shared[WORDS[way]] = images
    return {f"results-{record.key}-samples-{way}.svg": shared | rows for way, rows in ways.items()}


def words_of_way(record: Record, name: str, rows: Rows) -> str:
    """How these samples were made, in the words of the record's first number of them."""
    way, arm = way_of(name), list(rows)[-1]
    what = next(entry.what for entry in record.entries if entry.name.startswith(f"{arm}/{way}/"))
    arm_in_words = next(row["words"] for row in record.config["variants"] if row["name"] == arm)
    return what.removeprefix(f"{arm_in_words}, ").rpartition(": ")[0].rpartition(", ")[0]


def way_of(name: str) -> str:
    """The way to sample that a figure's file is named after."""
    return name.rpartition("-samples-")[2].removesuffix(".svg")


def markdown(record: Record) -> str:
    """The figures, each under the words that say what was drawn; empty where there are none."""
    parts = []
    for name, rows in sample_figures(record).items():
        words = words_of_way(record, name, rows)
        alt = f"Samples of seed {record.seeds[0]} as pictures, {words}; rows: {', '.join(map(short, rows))}."
        parts += [f"*{way_of(name)}*: {words}", f"![{alt}](_static/{name})"]
    return "\n\n".join(parts)


def short(row: str) -> str:
    """A row's name without the data set."""
    return row.rpartition("/")[2]


def fingerprint(rows: Rows) -> str:
    """Stands in a figure's file and changes with its pixels and the style."""
    pixels = hashlib.sha256(STYLE.read_bytes())
    for name, images in rows.items():
        pixels.update(name.encode() + images.numpy().tobytes())
    return "pixels " + pixels.hexdigest()[:16]


def draw(rows: Rows) -> bytes:
    """The figure as SVG, a column for each class where samples have one."""
    use_style()
    buffer = io.BytesIO()
    image_grid(torch.stack(list(rows.values())).numpy(), rows=[short(row) for row in rows], limits=(0, 255))
    with plt.rc_context({"svg.hashsalt": "ebm-course"}):  # the same pixels are the same file
        marks = {"Date": None, "Description": fingerprint(rows)}
        plt.savefig(buffer, format="svg", bbox_inches="tight", metadata=marks)  # names may be longer than the margin
    plt.close()
    return buffer.getvalue()
