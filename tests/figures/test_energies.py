from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ebm_course.figures.energies import energy_contour, energy_curve, energy_histogram

X = np.linspace(-2, 2, 41)
GRID = X[None, :] ** 2 + 3 * X[:, None] ** 2  # E(x1, x2) = x1^2 + 3 x2^2


def legend(ax: plt.Axes) -> list[str]:
    return [t.get_text() for t in ax.get_legend().get_texts()]


def test_data_and_negatives_lie_on_the_curve():
    ax = energy_curve(X, X**2, data=[-1.0, 1.0], negatives=[0.5], xlabel="weight (kg)")
    assert legend(ax) == ["energy", "data", "negatives"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), X**2)
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [1.0, 1.0])
    np.testing.assert_allclose(ax.lines[2].get_xydata(), [[0.5, 0.25]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("weight (kg)", "energy (nats)")


def test_a_curve_alone_has_one_line():
    assert len(energy_curve(X, X**2).lines) == 1


def test_the_contour_has_rows_along_the_second_coordinate():
    ax = energy_contour(X, X, GRID)
    (bands,) = ax.collections
    inner = bands.get_paths()[0].get_extents()  # the lowest band is wide in x1 and flat in x2
    assert inner.width > 1.5 * inner.height
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_1$", "$x_2$")
    assert ax.figure.axes[1].get_ylabel() == "energy (nats)"


def test_points_on_the_contour_are_those_given_and_named():
    data, negatives = np.array([[0.0, 1.0], [1.0, 0.5]]), np.array([[-1.0, -1.0]])
    ax = energy_contour(X, X, GRID, data=data, negatives=negatives)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), data)
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), negatives)
    assert legend(ax) == ["data", "negatives"]
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()


def test_a_ceiling_spends_the_colours_on_the_valley():
    free, capped = energy_contour(X, X, GRID).collections[0], energy_contour(X, X, GRID, ceiling=2.0).collections[0]
    assert free.levels.max() >= 16.0
    assert 2.0 <= capped.levels.max() < 2.5 and len(capped.levels) > 8


def test_the_colour_bar_names_another_unit():
    ax = energy_contour(X, X, GRID, unit="squared distance")
    assert ax.figure.axes[1].get_ylabel() == "squared distance"


def test_a_flat_energy_can_be_drawn():
    energy_contour(X, X, np.zeros((41, 41)))


def test_histograms_share_their_bins_and_each_sums_to_one():
    rng = np.random.default_rng(0)
    ax = energy_histogram(rng.normal(-2, 1, 300), rng.normal(2, 1, 100), n_bins=20, threshold=0.0)
    data, negatives = (p for p in ax.patches if hasattr(p, "get_data"))
    np.testing.assert_array_equal(data.get_data().edges, negatives.get_data().edges)
    assert len(data.get_data().values) == 20
    for steps in (data, negatives):
        assert steps.get_data().values.sum() == pytest.approx(1.0)
    assert data.get_data().values[:10].sum() > 0.9 and negatives.get_data().values[:10].sum() < 0.1
    assert legend(ax) == ["data", "negatives", "border"]
    assert ax.get_xlabel() == "energy (nats)"


def test_a_transposed_grid_is_refused():
    with pytest.raises(ValueError, match=r"\(H, W\) = \(41, 3\): got shape \(3, 41\)"):
        energy_contour([0, 1, 2], X, np.zeros((3, 41)))


def test_given_axes_are_drawn_on():
    _, ax = plt.subplots()
    assert energy_curve(X, X**2, ax=ax) is ax
    assert energy_histogram([0.0, 1.0], [2.0], ax=plt.subplots()[1]) is not ax
