from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ebm_course.figures.legend import legend_below

LONG = [f"a name too long to stand beside another, number {k}" for k in range(6)]


@pytest.mark.parametrize("names", [["short", "names"], LONG])
def test_a_legend_below_covers_no_axes_and_is_not_cut_off(names: list[str]):
    figure, ax = plt.subplots()
    for k, name in enumerate(names):
        ax.plot(np.arange(9), np.full(9, k), label=name)
    ax.set(xlabel="steps", ylabel="energy (nats)")
    axes_height = _height(ax)
    legend = legend_below(figure, title="mean over 5 runs")
    figure.canvas.draw()
    box, room = legend.get_window_extent(), ax.get_tightbbox()
    assert box.y1 <= room.y0, "over the axes"
    assert figure.bbox.contains(box.x0, box.y0) and figure.bbox.contains(box.x1, box.y1), "cut off"
    assert _height(ax) > 0.9 * axes_height, "the figure grows, the axes do not shrink"


def _height(ax: plt.Axes) -> float:
    ax.figure.canvas.draw()
    return ax.get_window_extent().height


def test_a_name_on_several_axes_is_told_once_and_their_own_legends_go():
    figure, axes = plt.subplots(1, 2)
    for ax in axes:
        ax.plot([0, 1], label="energy")
        ax.plot([1, 0], label="_without a name")
        ax.legend()
    assert [text.get_text() for text in legend_below(figure).get_texts()] == ["energy"]
    assert not any(ax.get_legend() for ax in axes)
