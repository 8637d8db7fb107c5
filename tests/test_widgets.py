from __future__ import annotations

import base64
import io
import json
import math

import ipywidgets
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from ipywidgets.embed import embed_data
from PIL import Image
from torch import Tensor, nn

from ebm_course.figures.animation import animate_chains
from ebm_course.figures.style import use_style
from ebm_course.widgets import LiveFigure, langevin_slider, live_figure, show_animation


@pytest.fixture(autouse=True)
def drawn_without_a_screen():
    plt.switch_backend("agg")
    with mpl.rc_context():
        use_style()
        yield
    assert not plt.get_fignums(), "a widget leaves no figure open"


class Bowl(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.stiffness * x.square().sum(1) / 2


def parts(box: LiveFigure) -> tuple[dict[str, ipywidgets.Widget], ipywidgets.Image, ipywidgets.HTML]:
    *controls, message, picture = box.children
    return {c.description: c for c in controls}, picture, message


def test_the_picture_follows_its_control_and_comes_back_with_it():
    box = live_figure(
        lambda height: plt.subplots(figsize=(2, height))[1], height=ipywidgets.IntSlider(value=1, min=1, max=3)
    )
    _, picture, _ = parts(box)
    first = picture.value
    assert Image.open(io.BytesIO(first)).size == (220, 110)
    box.children[0].value = 3
    assert Image.open(io.BytesIO(picture.value)).size == (220, 330)
    box.children[0].value = 1
    assert Image.open(io.BytesIO(picture.value)).tobytes() == Image.open(io.BytesIO(first)).tobytes()


def test_an_error_of_numbers_is_told_and_the_last_picture_stays():
    def draw(step: int) -> plt.Axes:
        if step > 1:
            plt.subplots()
            raise FloatingPointError("E < inf is asked for: take a smaller step")
        return plt.subplots()[1]

    box = live_figure(draw, step=ipywidgets.IntSlider(value=0, min=0, max=3))
    _, picture, message = parts(box)
    before = picture.value
    box.children[0].value = 2
    assert picture.value == before and "E &lt; inf is asked for: take a smaller step" in message.value
    assert box.children.index(message) < box.children.index(picture), "below the picture nobody would see it"
    box.children[0].value = 1
    assert message.value == ""


def shown(box: LiveFigure) -> dict[str, object]:
    """The bundle that a notebook stores when ``box`` is the last line of a cell."""
    formatter = DisplayFormatter()
    formatter.ipython_display_formatter.enabled = True  # a kernel lets objects display themselves, as version 7 does
    data, _ = formatter.format(box)
    return data


def test_a_notebook_stores_the_picture_beside_the_widget(monkeypatch):
    # version 7 has a method here, which displays the widget alone
    monkeypatch.setattr(ipywidgets.Widget, "_ipython_display_", lambda self, **_: None, raising=False)
    box = live_figure(lambda x: plt.subplots(figsize=(1, x))[1], x=ipywidgets.IntSlider(value=1, min=1, max=3))
    data = shown(box)
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == box.model_id
    assert base64.b64decode(data["image/png"]) == box.picture.value
    box.children[0].value = 2
    assert Image.open(io.BytesIO(base64.b64decode(shown(box)["image/png"]))).size == (110, 220)


def test_a_figure_that_cannot_be_drawn_at_all_shows_its_controls_and_the_reason():
    def draw(x: int) -> plt.Axes:
        raise ValueError("no row is left")

    box = live_figure(draw, x=ipywidgets.IntSlider(description="rows"))
    assert "image/png" not in shown(box) and shown(box)["text/plain"] == "LiveFigure(rows)"
    assert box.message.value == "<strong>no row is left</strong>"


def test_the_picture_is_not_stretched_to_the_width_of_its_box():
    layout = live_figure(lambda x: plt.subplots()[1], x=ipywidgets.IntSlider()).picture.layout
    assert (layout.align_self, layout.width, layout.max_width) == ("flex-start", "auto", "100%")


def test_the_stored_state_holds_the_picture_so_that_it_shows_without_a_kernel():
    box = live_figure(lambda x: plt.subplots(figsize=(1, 1))[1], x=ipywidgets.IntSlider())
    state = embed_data(views=[box])["manager_state"]["state"]
    (buffer,) = state[box.children[-1].model_id]["buffers"]  # the state holds those of other tests, too
    assert buffer["path"] == ["value"] and len(buffer["data"]) > 100
    json.dumps(state)


@pytest.mark.parametrize(("name", "value"), [("step size", 0.1), ("steps", 5), ("noise", 0.0)])
def test_each_control_of_the_langevin_slider_changes_the_picture(name, value):
    controls, picture, message = parts(langevin_slider(Bowl(), n_chains=3))
    before = picture.value
    controls[name].value = value
    assert picture.value != before and message.value == ""
    controls[name].value = 1.0 if name == "noise" else 60 if name == "steps" else 0.01
    assert picture.value == before, "the same setting draws the same noise"


def test_chains_start_at_the_same_places_at_every_setting(monkeypatch):
    starts = []
    monkeypatch.setattr("ebm_course.widgets.chain_paths", lambda path, *, ax: (starts.append(path[0]), ax)[1])
    controls, _, _ = parts(langevin_slider(Bowl(), n_chains=3))
    controls["noise"].value = 0.3
    controls["step size"].value = 0.1
    assert len(starts) == 3
    np.testing.assert_array_equal(starts[1], starts[0])
    np.testing.assert_array_equal(starts[2], starts[0])


def test_a_step_too_long_is_explained_and_the_energy_keeps_its_flags():
    energy = Bowl().train()
    controls, _, message = parts(langevin_slider(lambda x: energy(10 * x) ** 2, n_chains=3))
    controls["steps"].value = 300
    controls["step size"].value = 1.0
    assert "finite" in message.value
    langevin_slider(energy, n_chains=2)
    assert energy.training and energy.stiffness.requires_grad and energy.stiffness.grad is None


def test_an_animation_becomes_html_with_its_frames_inside():
    path = np.cumsum(np.ones((5, 2, 2)), axis=0)
    html = show_animation(animate_chains(path, n_frames=3)).data
    assert html.count("data:image/png;base64,") == 3 and "http" not in html
    with pytest.raises(ValueError, match=r"0\.001 MB at most"):
        show_animation(animate_chains(path, n_frames=2), limit_mb=0.001)


@pytest.mark.parametrize(
    "changed",
    [
        *({"extent": value} for value in (0.0, -1.0, math.nan, math.inf, "3")),
        *({"n_chains": value} for value in (0, -1, 2.5)),
        *({"ceiling": value} for value in (0.0, math.nan, "x")),
        *({"seed": value} for value in (-1, 1.5, None)),
    ],
)
def test_a_number_of_the_langevin_slider_out_of_its_range_is_refused(changed):
    with pytest.raises(ValueError, match=rf"^{next(iter(changed))} is a .*number"):
        langevin_slider(lambda x: x.square().sum(dim=1), **changed)


def test_the_langevin_slider_is_the_same_under_any_setting():
    expected = langevin_slider(lambda x: x.square().sum(dim=1), n_chains=2, seed=2**70)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = langevin_slider(lambda x: x.square().sum(dim=1), n_chains=2, seed=2**70)
    finally:
        torch.set_default_dtype(torch.float32)
    assert expected.message.value == found.message.value == ""
    assert found.picture.value == expected.picture.value


def test_what_draw_returns_and_controls_are_told_where_they_are_none():
    with pytest.raises(TypeError, match=r"draw returns the axes that it drew on: got None\. End it with `return ax`"):
        live_figure(lambda: None)  # type: ignore[arg-type,return-value]
    for control in (3, ipywidgets.Button()):
        with pytest.raises(TypeError, match="n: expected a widget with a value"):
            live_figure(lambda n: plt.subplots()[1], n=control)
    part = live_figure(lambda: plt.figure().subfigures(1, 2)[0].add_subplot())
    assert part.picture.value and part.message.value == ""


def test_a_fault_of_the_drawing_is_told_and_leaves_no_figure_open():
    def draw(n):
        ax = plt.subplots()[1]
        if n == 2:
            raise KeyError
        return ax

    before = plt.get_fignums()
    figure = live_figure(draw, n=(slider := ipywidgets.IntSlider(value=1)))
    with pytest.raises(KeyError):
        slider.value = 2
    assert figure.message.value == "<strong>KeyError</strong>" and plt.get_fignums() == before
