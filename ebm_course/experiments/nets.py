"""Nets of an experiment's stages: kept with what made them, loaded only where that is the same, and made small to ship.

Weights that ship are stored in half precision, which halves the file and changes a weight by one part in two thousand
at most. It knows no method.

>>> from tempfile import TemporaryDirectory
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> fitted, origin = Fitted(nn.Linear(2, 1), rows=[]), Origin("example", {}, seed=0)
>>> with TemporaryDirectory() as folder:
...     save_net(Path(folder), fitted, origin, SINGLE_PROCESS)
...     again = load_net(Path(folder), nn.Linear(2, 1), origin, SINGLE_PROCESS)
...     halved, note = small(Path(folder), origin)
>>> again.weight.equal(fitted.module.weight), halved["weight"].element_size(), note["recipe"]
(True, 2, 'example')
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from ebm_course.files import load_checkpoint, save_checkpoint
from ebm_course.origin import Origin
from ebm_course.recipes.shared import Fitted
from ebm_course.runtime import Run

NET = "net.safetensors"
LAST = "last.safetensors"  # the weights after the last update, where NET has those of the best validation
Module = TypeVar("Module", bound=nn.Module)


def save_net(folder: Path, fitted: Fitted, origin: Origin, run: Run) -> None:
    """Keep what a recipe trained in its stage's folder, and wait until it is there for every process."""
    if run.is_main:
        meta = {"origin": origin.as_json(), "training": None if fitted.origin is None else fitted.origin.as_json()}
        save_checkpoint(folder / NET, fitted.module, meta=meta)
        if fitted.last is not None:
            save_checkpoint(folder / LAST, fitted.last, meta=meta)
    run.wait()


def load_net(folder: Path, module: Module, origin: Origin, run: Run, *, name: str = NET) -> Module:
    """The module with the weights of a stage's net, on the run's device and in eval mode.

    Raises:
        FileNotFoundError: the stage is not done.
        ValueError: something else made the net, or it does not fit the module.
    """
    load_checkpoint(folder / name, module, origin=origin)
    return module.to(run.device).eval()


def small(folder: Path, origin: Origin) -> tuple[Mapping[str, Tensor], dict[str, object]]:
    """A stage's net in half precision, and the note that should lie beside it."""
    state, meta = load_checkpoint(folder / NET, origin=origin)
    halved = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    return halved, {**(meta["training"] or origin.as_json()), "precision": "float16"}
