from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from ebm_course.figures.attack_grid import attack_grid
from ebm_course.figures.style import GREY, NEGATIVE

TEXTS = ["1+2=4", "1+2=3", "1+7=3", "1+2=3"]


def test_every_letter_stands_at_its_position_and_step():
    ax = attack_grid(TEXTS)
    written = {t.get_position(): t.get_text() for t in ax.texts}
    assert written == {(p, s): letter for s, text in enumerate(TEXTS) for p, letter in enumerate(text)}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("position", "attack step")


def test_a_box_marks_a_change_and_vermilion_a_difference_from_the_start():
    ax = attack_grid(TEXTS)
    boxes = {(round(r.get_x() + 0.45), round(r.get_y() + 0.45)) for r in ax.patches if isinstance(r, Rectangle)}
    assert boxes == {(4, 1), (2, 2), (2, 3)}
    colours = {t.get_position(): t.get_color() for t in ax.texts}
    assert {p for p, c in colours.items() if c == NEGATIVE} == {(4, 1), (4, 2), (4, 3), (2, 2)}
    assert colours[(2, 3)] == GREY, "back at its first letter"


def test_the_first_step_is_on_top_with_its_energy_beside_it():
    ax = attack_grid(TEXTS, energies=[3.0, 1.25, 1.0, 1.25])
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    ax.figure.canvas.draw()
    (right,) = ax.child_axes
    assert [t.get_text() for t in right.get_yticklabels()] == ["3.00", "1.25", "1.00", "1.25"]
    assert right.get_ylabel() == "energy (nats)"


def test_texts_of_different_length_and_missing_energies_are_refused():
    with pytest.raises(ValueError, match=r"texts of one length, got \[2, 3\]"):
        attack_grid(["12", "123"])
    with pytest.raises(ValueError, match=r"shape \(4,\): got \(2,\)"):
        attack_grid(TEXTS, energies=np.zeros(2))
