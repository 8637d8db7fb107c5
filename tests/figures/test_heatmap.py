from __future__ import annotations

import numpy as np
import pytest

from ebm_course.figures.heatmap import heatmap

TABLE = np.array([[0.0, 1.5, 9.0], [2.0, np.nan, 4.0]])
LABELS = {"xlabel": "symbol", "ylabel": "position", "unit": "energy (nats)"}


def test_cells_labels_and_unit_are_those_given():
    ax = heatmap(TABLE, columns=["a", "b", "c"], rows=["first", "second"], **LABELS)
    np.testing.assert_array_equal(ax.images[0].get_array().filled(np.nan), TABLE)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["first", "second"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("symbol", "position")
    assert ax.figure.axes[1].get_ylabel() == "energy (nats)"


def test_numbers_are_written_where_they_belong_in_ink_that_reads():
    ax = heatmap(TABLE, annotate=".1f", **LABELS)
    written = {t.get_position(): (t.get_text(), t.get_color()) for t in ax.texts}
    assert written[(2, 0)] == ("9.0", "k") and written[(0, 0)] == ("0.0", "w")
    assert (1, 1) not in written and len(written) == 5


def test_without_a_format_nothing_is_written():
    assert not heatmap(TABLE, **LABELS).texts


def test_names_that_do_not_fit_and_a_vector_are_refused():
    with pytest.raises(ValueError, match="expected 3 names, got 2"):
        heatmap(TABLE, columns=["a", "b"], **LABELS)
    with pytest.raises(ValueError, match=r"\(R, C\), got \(3,\)"):
        heatmap(TABLE[0], **LABELS)
