"""Things to move in a chapter: sliders for a live kernel, and animations that move without one.

A slider's output also holds its picture as a PNG: the built page, a printed notebook and GitHub show that one, without
a kernel or a network. This module joins a sampler with figures; it knows no recipe.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from torch import Tensor

from ebm_course.checks import check_count, check_number
from ebm_course.core import Energy, energies_of, frozen
from ebm_course.figures.animation import animation_html
from ebm_course.figures.energies import energy_contour
from ebm_course.figures.paths import chain_paths
from ebm_course.runtime import torch_seed
from ebm_course.samplers.langevin import langevin


class LiveFigure(ipywidgets.VBox):
    """Controls, a line of text and a picture below them; where no kernel answers, the picture alone.

    Its output in a notebook is a bundle of the widget and of ``image/png``, and every reader takes the richest kind
    that it can show. The picture's alternative text is that of the cell, as for every figure:
    ``{"mystnb": {"image": {"alt": "what it shows"}}}``.

    Args:
        controls: widgets with a ``value``.
        message: shown between the controls and the picture.
        picture: PNG; shown in its own size, smaller where there is less room.

    >>> box = LiveFigure([ipywidgets.IntSlider(description="n")], ipywidgets.HTML(), ipywidgets.Image(value=b"PNG"))
    >>> bundle = box._repr_mimebundle_()  # a notebook stores the picture beside the widget
    >>> len(bundle), bundle["image/png"], bundle["text/plain"]
    (3, 'UE5H', 'LiveFigure(n)')
    """

    _ipython_display_ = None  # ipywidgets 7 displays by itself there, and would leave the picture out

    def __init__(
        self, controls: Sequence[ipywidgets.Widget], message: ipywidgets.HTML, picture: ipywidgets.Image
    ) -> None:
        super().__init__([*controls, message, picture])
        self.message, self.picture = message, picture

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle = {
            "text/plain": f"{type(self).__name__}({', '.join(c.description for c in self.children[:-2])})",
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            },
        }
        if self.picture.value:
            bundle["image/png"] = base64.b64encode(self.picture.value).decode()
        return bundle


def live_figure(draw: Callable[..., Axes], **controls: ipywidgets.Widget) -> LiveFigure:
    """A figure below its controls, drawn anew with ``draw(**values)`` when one of them changes.

    Args:
        draw: takes the controls' values by name and returns the axes it drew on; its figure is closed afterwards.
        controls: name -> a widget with a ``value``.

    Returns:
        The controls, a line of text, empty unless drawing failed, and the picture: an error of numbers or values,
        such as chains that diverged, is told in the line and leaves the last picture.

    Raises:
        TypeError: a control has no value, or ``draw`` returns no axes.

    >>> from ebm_course.figures.curves import curves
    >>> def draw(rate):
    ...     return curves([0, 1], {"x": [0, 1 / rate]}, xlabel="update", ylabel="x")
    >>> figure = live_figure(draw, rate=(slider := ipywidgets.IntSlider(value=2)))
    >>> bytes(figure.picture.value[1:4]), figure.message.value
    (b'PNG', '')
    >>> slider.value = 0  # cannot be drawn: the reader is told, the last picture stays
    >>> figure.message.value
    '<strong>division by zero</strong>'
    """
    # a box stretches its parts to its own width: blurred, and cut off below the screen
    own_size = ipywidgets.Layout(align_self="flex-start", width="auto", height="auto", max_width="100%")
    picture, message = ipywidgets.Image(format="png", layout=own_size), ipywidgets.HTML()

    def redraw(_: Any = None) -> None:
        open_before = set(plt.get_fignums())
        try:
            picture.value = _png(draw(**{name: control.value for name, control in controls.items()}))
            message.value = ""
        except Exception as error:  # told in any case: what a control's change raises, a notebook writes into its log
            message.value = f"<strong>{html.escape(str(error) or type(error).__name__)}</strong>"
            for number in set(plt.get_fignums()) - open_before:
                plt.close(number)
            if not isinstance(error, ArithmeticError | ValueError):
                raise

    for name, control in controls.items():
        if not isinstance(control, ipywidgets.Widget) or not control.has_trait("value"):
            raise TypeError(
                f"{name}: expected a widget with a value, such as ipywidgets.IntSlider(), got {control!r:.60}."
            )
    redraw()
    for control in controls.values():
        control.observe(redraw, names="value")
    return LiveFigure(list(controls.values()), message, picture)


def langevin_slider(
    energy: Energy, *, extent: float = 3.0, n_chains: int = 12, ceiling: float | None = 8.0, seed: int = 0
) -> LiveFigure:
    """Langevin chains on an energy of the plane, with sliders for step size, number of steps and noise.

    Noise is a multiple of sqrt(2 step size), the amount that samples exp(-E) / Z: 0 is gradient descent. Start and
    noise are the same draws at every setting, so only the setting changes the picture.

    Args:
        energy: energies of states (N, 2).
        extent: half the side of the square that is shown and in which chains start.
        n_chains: chains.
        ceiling: energies further than this above the lowest share one colour, nats; None for no limit.
        seed: of the starts and the noise.

    Raises:
        ValueError: a number is out of its range, or the energy reads no points (N, 2) of float32.

    >>> figure = langevin_slider(lambda x: x.square().sum(dim=1) / 2, n_chains=2)
    >>> [control.description for control in figure.children[:3]], figure.message.value
    (['step size', 'steps', 'noise'], '')
    """
    check_count("n_chains", n_chains, least=1)
    for name, number in {"extent": extent, "ceiling": 1.0 if ceiling is None else ceiling}.items():
        if not 0 < check_number(name, number) < math.inf:  # a NaN is refused as well
            raise ValueError(
                f"{name} is a finite number above 0: got {number}. The default is 3 of extent, 8 of ceiling."
            )
    x, first = np.linspace(-extent, extent, 61), torch_seed(seed)
    grid = torch.tensor(np.stack(np.meshgrid(x, x), -1).reshape(-1, 2), dtype=torch.float32, device="cpu")
    with torch.no_grad(), frozen(energy):
        heights = energies_of(energy, grid).reshape(61, 61).numpy()

    def draw(step_size: float, n_steps: int, noise: float) -> Axes:
        generator = torch.Generator().manual_seed(first)
        x0 = extent * (2 * torch.rand(n_chains, 2, generator=generator, dtype=grid.dtype, device="cpu") - 1)
        std = noise * (2 * step_size) ** 0.5
        result = langevin(
            energy, x0, n_steps=n_steps, step_size=step_size, noise_std=std, keep_path=True, generator=generator
        )
        ax = chain_paths(_path_of(result.path), ax=energy_contour(x, x, heights, ceiling=ceiling))
        ax.set(xlim=(-extent, extent), ylim=(-extent, extent))
        return ax

    return live_figure(
        draw,
        step_size=_slider(ipywidgets.FloatLogSlider, "step size", value=0.01, min=-4, max=0.5, step=0.125),
        n_steps=_slider(ipywidgets.IntSlider, "steps", value=60, min=1, max=300),
        noise=_slider(ipywidgets.FloatSlider, "noise", value=1.0, min=0.0, max=2.0, step=0.1),
    )


def show_animation(animation: FuncAnimation, *, alt: str = "", limit_mb: float = 1.5) -> HTML:
    """The animation as HTML output that a stored notebook and the built page play without a kernel.

    Args:
        animation: finished; its figure is closed.
        alt: what moves and where it ends, for readers who do not see it; by default the names of the axes.
        limit_mb: size at most, megabytes.

    Raises:
        ValueError: it takes more than ``limit_mb`` megabytes.

    >>> from ebm_course.figures.animation import animate_chains
    >>> shown = show_animation(animate_chains(np.zeros((2, 1, 2))), alt="One chain that rests.")
    >>> 'alt="One chain that rests."' in shown.data
    True
    """
    return HTML(animation_html(animation, alt=alt, limit_mb=limit_mb))


def _slider(kind: type[ipywidgets.Widget], description: str, **range_: float) -> ipywidgets.Widget:
    # one drawing when the handle is let go: a drawing takes longer than a drag's events are apart
    return kind(description=description, continuous_update=False, **range_)


def _path_of(path: Tensor | None) -> np.ndarray:
    assert path is not None, "asked for with keep_path=True"
    return path.numpy()


def _png(ax: Axes) -> bytes:
    if not isinstance(ax, Axes | FigureBase):
        raise TypeError(f"draw returns the axes that it drew on: got {ax!r:.60}. End it with `return ax`.")
    figure, file = ax.figure, io.BytesIO()
    while not isinstance(figure, Figure):  # a part of one
        figure = figure.figure
    figure.savefig(file, format="png")
    plt.close(figure)
    return file.getvalue()
