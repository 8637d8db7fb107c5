from __future__ import annotations

import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_hex, to_rgb, to_rgba
from PIL import Image

from ebm_course.figures.style import DATA, ENERGY, GREY, NEGATIVE, axes_or_new

PAPERS = ("#ffffff", "#000000")  # what the book puts behind figures, by day and by night
GROUNDS = (*PAPERS, "#121212", "#14181e")  # and where there is no paper: a dark notebook, the dark theme's own


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    c = np.array(to_rgb(colour))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    dark, bright = sorted((luminance(a), luminance(b)))
    return (bright + 0.05) / (dark + 0.05)


def worst_contrast(colour: str, grounds: tuple[str, ...] = GROUNDS) -> float:
    return min(contrast(colour, ground) for ground in grounds)


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == 21.0


def test_text_is_the_grey_that_reads_best_on_white_and_on_black():
    best = max(worst_contrast(f"#{g:02x}{g:02x}{g:02x}", PAPERS) for g in range(256))
    assert worst_contrast(GREY, PAPERS) == best > 4.5
    for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color"):
        assert to_hex(mpl.rcParams[name]) == GREY, name


def test_colours_that_mean_something_may_colour_text():
    for colour in (DATA, NEGATIVE, ENERGY):
        assert worst_contrast(colour, PAPERS) >= 4.5, colour


def test_every_line_colour_has_three_to_one_on_every_ground():
    colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    assert len(colours) == 6
    for colour in [*colours, DATA, NEGATIVE, ENERGY]:
        assert worst_contrast(to_hex(f"#{colour}" if not colour.startswith("#") else colour)) >= 3.0, colour


def test_every_colour_has_a_line_style_of_its_own():
    styles = mpl.rcParams["axes.prop_cycle"].by_key()["linestyle"]
    assert len({str(s) for s in styles}) == len(styles) == 6


def test_data_and_negatives_are_the_first_two_colours():
    cycle = [f"#{c}".upper() for c in mpl.rcParams["axes.prop_cycle"].by_key()["color"]]
    assert [c.replace("##", "#") for c in cycle[:3]] == [DATA, NEGATIVE, ENERGY]


def test_a_saved_figure_has_nothing_behind_it():
    ax = axes_or_new(None)
    figure = ax.figure
    assert to_rgba(figure.get_facecolor())[3] == to_rgba(ax.get_facecolor())[3] == 0
    file = io.BytesIO()
    figure.savefig(file)
    alpha = np.asarray(Image.open(file).convert("RGBA"))[..., 3]
    assert alpha[0, 0] == 0 and np.median(alpha) == 0


def test_given_axes_are_used_and_no_figure_is_opened():
    _, ax = plt.subplots()
    before = plt.get_fignums()
    assert axes_or_new(ax) is ax and plt.get_fignums() == before
