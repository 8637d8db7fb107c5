from __future__ import annotations

import numpy as np
import pytest

from ebm_course.figures.paths import chain_paths

PATH = np.cumsum(np.random.default_rng(0).normal(size=(9, 5, 2)), axis=0)


def test_each_chain_is_one_line_from_its_start_to_its_end():
    ax = chain_paths(PATH)
    assert len(ax.lines) == 5 + 2
    np.testing.assert_array_equal(ax.lines[3].get_xydata(), PATH[:, 3])
    starts, ends = ax.lines[-2:]
    np.testing.assert_array_equal(starts.get_xydata(), PATH[0])
    np.testing.assert_array_equal(ends.get_xydata(), PATH[-1])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["start", "end"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_1$", "$x_2$")


def test_only_the_first_chains_are_drawn_on_demand():
    ax = chain_paths(PATH, n_chains=2)
    assert len(ax.lines) == 2 + 2 and len(ax.lines[-1].get_xdata()) == 2


def test_chains_outside_the_plane_are_refused():
    with pytest.raises(ValueError, match=r"\(T \+ 1, N, 2\), got \(9, 5, 3\)"):
        chain_paths(np.zeros((9, 5, 3)))
