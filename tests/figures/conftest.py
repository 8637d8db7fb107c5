"""Figures are drawn without a screen, in the course's style, and closed after each test."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from ebm_course.figures.pushed_energy import PushedEnergy, train_pushed_energy
from ebm_course.figures.style import use_style


@pytest.fixture(autouse=True)
def drawn_without_a_screen() -> Iterator[None]:
    plt.switch_backend("agg")
    with mpl.rc_context():
        use_style()
        yield
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()  # what only fails when it is drawn fails here
    plt.close("all")


@pytest.fixture(scope="session")
def run() -> PushedEnergy:
    """The training that the cover shows."""
    return train_pushed_energy()
