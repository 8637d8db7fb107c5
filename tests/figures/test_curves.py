from __future__ import annotations

import numpy as np
import pytest

from ebm_course.figures.curves import curves

X = np.arange(4)


def test_the_line_is_the_mean_and_the_band_one_standard_deviation():
    runs = np.array([[0.0, 1.0, 2.0, 3.0], [2.0, 3.0, 2.0, 7.0], [1.0, 2.0, 2.0, 8.0]])
    ax = curves(X, {"ours": runs}, xlabel="attack steps", ylabel="correctness (share)")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1.0, 2.0, 2.0, 6.0])
    (band,) = ax.collections
    edge = band.get_paths()[0].vertices
    at_zero = edge[edge[:, 0] == 0.0, 1]
    np.testing.assert_allclose([at_zero.min(), at_zero.max()], [0.0, 2.0])  # 1 ± 1
    assert ax.get_legend().get_title().get_text() == "mean ± sd, 3 seeds"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("attack steps", "correctness (share)")


def test_one_run_has_no_band_and_no_legend():
    ax = curves(X, {"ours": X**2}, xlabel="update", ylabel="loss (nats)")
    assert not ax.collections and ax.get_legend() is None
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), X**2)


def test_names_and_line_styles_tell_the_curves_apart():
    ax = curves(X, {"a": X, "b": 2 * X, "c": 3 * X}, xlabel="update", ylabel="loss (nats)")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]
    assert len({line.get_linestyle() for line in ax.lines}) == 3


def test_different_numbers_of_seeds_are_both_named():
    ax = curves(X, {"a": np.ones((2, 4)), "b": np.ones((5, 4)), "c": X}, xlabel="update", ylabel="loss (nats)")
    assert ax.get_legend().get_title().get_text() == "mean ± sd, 2 or 5 seeds"


def test_values_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"'a' needs one value for each of 4 x: \(T,\) or \(S, T\), got \(3,\)"):
        curves(X, {"a": [1, 2, 3]}, xlabel="update", ylabel="loss")
