from __future__ import annotations

import numpy as np
import pytest

from ebm_course.figures.seed_dots import seed_dots


def test_dots_are_the_seeds_and_the_bar_is_the_standard_error():
    ax = seed_dots({"ours": [1.0, 2.0, 3.0], "theirs": [0.5]}, xlabel="correctness (share)")
    dots = {line.get_ydata()[0]: line.get_xdata() for line in ax.lines if line.get_marker() == "o"}
    np.testing.assert_array_equal(dots[0], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(dots[1], [0.5])
    ours = ax.containers[0]
    (left, _), (right, _) = ours.lines[2][0].get_segments()[0]
    assert (right - left) / 2 == pytest.approx(1 / np.sqrt(3))


def test_names_are_in_reading_order_and_references_are_named():
    ax = seed_dots({"a": [1.0], "b": [2.0]}, xlabel="nats", references={"chance": 0.5})
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_ylim() == (1.5, -0.5)
    assert [t.get_text().strip() for t in ax.texts] == ["chance"]
    assert ax.lines[-1].get_xdata()[0] == 0.5


def test_a_method_without_numbers_is_refused():
    with pytest.raises(ValueError, match="'a' has no numbers"):
        seed_dots({"a": []}, xlabel="nats")


def test_equal_numbers_stand_above_one_another_in_their_row():
    ax = seed_dots({"ties": [0.0, 0.0, 1.0, 0.0], "many": [2.0] * 40}, xlabel="share")
    ties, many = (line.get_xydata() for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(ties[:, 0], [0.0, 0.0, 1.0, 0.0])
    np.testing.assert_allclose(ties[:, 1], [-0.12, 0.0, 0.0, 0.12])
    assert len(np.unique(many[:, 1])) == 40 and np.abs(many[:, 1] - 1).max() < 0.4
