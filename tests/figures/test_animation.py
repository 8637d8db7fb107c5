from __future__ import annotations

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.animation import FuncAnimation
from PIL import Image

from ebm_course.figures.animation import GLYPHS, animate_chains, animation_html
from ebm_course.figures.energies import energy_contour

PATH = np.cumsum(np.random.default_rng(0).normal(size=(21, 3, 2)) * 0.2, axis=0)
X = np.linspace(-3, 3, 25)


def frames(html: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(d))) for d in re.findall(r"png;base64,([^\"]+)\"", html)]


@pytest.fixture(scope="module")
def html() -> str:
    ax = energy_contour(X, X, X[None] ** 2 + X[:, None] ** 2)
    return animation_html(animate_chains(PATH, ax=ax, n_frames=5))


def test_frames_are_inside_small_and_transparent(html):
    images = frames(html)
    assert len(images) == 5
    assert len({image.tobytes() for image in images}) == 5, "something moves"
    corner = images[0].convert("RGBA").getpixel((0, 0))
    assert corner[3] == 0
    assert len(html) < 5 * 20_000


def test_nothing_is_asked_of_the_network(html):
    assert "http" not in html and "<link" not in html and 'class="fa' not in html
    assert all(glyph in html for glyph in GLYPHS.values())


def test_frames_and_slider_have_names_for_those_who_do_not_see_them(html):
    assert '<img alt="Animation of 5 frames: x_2 against x_1." id="_anim_img' in html
    assert re.search(r'<input aria-label="Frame" id="_anim_slider\w+" type="range"', html)
    told = animation_html(animate_chains(PATH, n_frames=2), alt='Chains roll down, "x" marks their ends.')
    assert '<img alt="Chains roll down, &quot;x&quot; marks their ends." id=' in told


def test_without_names_of_axes_the_words_are_the_number_of_frames():
    figure, ax = plt.subplots()
    ax.set(ylabel="a colour bar")
    plt.close(figure)
    words = animation_html(FuncAnimation(figure, lambda k: [], frames=2))
    assert 'alt="Animation of 2 frames."' in words


def test_it_plays_by_itself_unless_less_motion_is_wanted(html):
    play = re.search(r'if \(!matchMedia\("\(prefers-reduced-motion: reduce\)"\)\.matches\) \{ (anim\w+)\.play', html)
    assert play and f"{play[1]} = new Animation(" in html


def test_the_same_animation_gives_the_same_page():
    first, second = (animation_html(animate_chains(PATH, n_frames=2)) for _ in range(2))
    assert first == second
    assert first != animation_html(animate_chains(PATH + 1, n_frames=2))


def test_each_frame_shows_the_positions_of_its_step():
    animation = animate_chains(PATH, n_frames=3, trail=4)
    assert list(animation.new_frame_seq()) == [0, 10, 20]
    trails, heads, title = (lambda a: (a[:-2], a[-2], a[-1]))(animation._func(10))
    np.testing.assert_array_equal(heads.get_xydata(), PATH[10])
    np.testing.assert_array_equal(trails[2].get_xydata(), PATH[6:11, 2])
    assert title.get_text() == "step 10 of 20"
    animation_html(animation)  # matplotlib warns of an animation that was never drawn


def test_the_figure_is_closed_and_all_states_fit_into_it():
    animation = animate_chains(PATH, n_frames=2)
    assert not plt.get_fignums()
    (ax,) = animation._fig.axes
    low, high = ax.get_xlim()
    assert low < PATH[..., 0].min() and high > PATH[..., 0].max()
    assert "step 20 of 20" not in ax.get_title()
    animation_html(animation)


def test_a_page_over_the_limit_and_paths_outside_the_plane_are_refused():
    with pytest.raises(ValueError, match=r"MB at most, because notebooks store it"):
        animation_html(animate_chains(PATH, n_frames=2), limit_mb=0.001)
    with pytest.raises(ValueError, match=r"got \(21, 3\)"):
        animate_chains(PATH[..., 0])


@pytest.mark.parametrize("path", [np.zeros((0, 3, 2)), np.zeros((5, 0, 2)), np.full((5, 3, 2), np.nan)])
def test_chains_that_are_none_or_have_diverged_are_refused(path):
    with pytest.raises(ValueError, match="chains that can be drawn are there and finite: got "):
        animate_chains(path)


@pytest.mark.parametrize(("name", "value"), [("n_frames", 0), ("n_frames", 2.5), ("trail", -1), ("interval", 0)])
def test_numbers_of_an_animation_out_of_their_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is a whole number: expected "):
        animate_chains(np.zeros((5, 3, 2)), **{name: value})
