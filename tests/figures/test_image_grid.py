from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ebm_course.figures.image_grid import animate_images, image_grid

IMAGES = np.linspace(-1, 1, 2 * 3 * 4 * 5).reshape(2, 3, 1, 4, 5)  # two rows of three grey images


def shown(ax: plt.Axes) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def test_every_image_lies_in_its_row_and_column_with_a_clear_gap_between():
    picture = shown(image_grid(IMAGES))
    assert picture.shape == (2 * 4 + 1, 3 * 5 + 2, 4)
    np.testing.assert_allclose(picture[5:9, 6:11, 0], (IMAGES[1, 1, 0] + 1) / 2)
    assert (picture[4] == 0).all() and (picture[:, 5] == 0).all() and picture[:4, :5, 3].all()


def test_three_channels_are_red_green_and_blue():
    images = np.zeros((1, 1, 3, 2, 2)) + np.array([-1.0, 0.0, 1.0])[:, None, None]
    np.testing.assert_allclose(shown(image_grid(images))[0, 0], [0, 0.5, 1, 1])


def test_limits_are_black_and_white_and_what_leaves_them_is_cut(caplog: pytest.LogCaptureFixture):
    picture = shown(image_grid(np.array([-3.0, 0.0, 1.0, 2.0]).reshape(1, 4, 1, 1, 1), limits=(0.0, 2.0)))
    np.testing.assert_allclose(picture[0, ::2, 0], [0, 0, 0.5, 1])
    assert not caplog.records  # else matplotlib cuts, and says so in every frame


def test_names_stand_at_the_middle_of_their_images():
    ax = image_grid(IMAGES, columns="abc", rows=["up", "down"])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["up", "down"]
    np.testing.assert_allclose(ax.get_xticks(), [2, 8, 14])
    np.testing.assert_allclose(ax.get_yticks(), [1.5, 6.5])
    bare = image_grid(IMAGES)
    assert not len(bare.get_xticks()) and not len(bare.get_yticks())


def test_a_film_shows_the_steps_asked_for_and_the_last_one():
    path = np.stack([IMAGES * k for k in range(8)]) / 7
    film = animate_images(path, every=3, title="step {step} of {last}", columns="abc")
    assert list(film.new_frame_seq()) == [0, 3, 6, 7]
    (picture, heading) = film._func(6)
    np.testing.assert_allclose(np.asarray(picture.get_array())[5:9, 6:11, 0], (IMAGES[1, 1, 0] * 6 / 7 + 1) / 2)
    assert heading.get_text() == "step 6 of 7"
    assert not plt.get_fignums()
    film._draw_was_started = True  # it is not played here


@pytest.mark.parametrize(
    "call, why",
    [
        (lambda: image_grid(IMAGES[0]), r"images \(R, C, channels, H, W\)"),
        (lambda: image_grid(np.zeros((1, 1, 2, 4, 4))), "1 or 3 channels"),
        (lambda: image_grid(IMAGES, limits=(1.0, 1.0)), "limits low < high"),
        (lambda: image_grid(IMAGES, columns="ab"), "columns: expected 3 names, one for each, got 2"),
        (lambda: image_grid(IMAGES, rows="abc"), "rows: expected 2 names, one for each, got 3"),
        (lambda: animate_images(IMAGES), r"\(T \+ 1, R, C, channels, H, W\)"),
        (lambda: animate_images(IMAGES[None], every=0), "every >= 1"),
    ],
)
def test_what_does_not_fit_is_refused(call, why: str):
    with pytest.raises(ValueError, match=why):
        call()
