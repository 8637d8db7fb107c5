"""What recipes of every paper share: the face of a recipe, what made its numbers, and nets of recorded runs.

A recipe is a module with a frozen ``Config``, its ``PRESETS`` by name, and

``fit(config, run, *, folder=None, progress=True, **given) -> Fitted``

where ``given`` are nets trained before. It knows no method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Energy
from ebm_course.files import load_checkpoint, shipped_checkpoint
from ebm_course.origin import Origin, digest, name_of, plain
from ebm_course.runtime import Run

Rows = list[dict[str, float]]


class Fitted(NamedTuple):
    """What a recipe trained: the module in eval mode and the rows of the log.

    ``last`` holds the weights after the last update where the module has those of its best validation, else None.
    """

    module: nn.Module
    rows: Rows
    last: dict[str, Tensor] | None = None


Fit = Callable[..., Fitted]
"""The face of every recipe: ``fit(config, run, *, folder=None, progress=True, **given)``."""


def origin_of(recipe: Callable[..., Any], config: Any, run: Run, *, data: Mapping[str, Batch], **given: Any) -> Origin:
    """What makes the numbers of a recipe's run.

    Args:
        recipe: its ``fit``.
        data: name -> the rows that are trained on.
        given: the nets that were handed in, by name; None where none was.
    """
    named = [f"{name} {_rows_digest(batch)}" for name, batch in data.items()]
    nets = {name: digest(net) for name, net in given.items() if net is not None}
    return Origin(name_of(recipe), plain(config), run.seed, "; ".join(named), nets)


def energies_of_both(energy: Energy, x_data: Tensor, x_negative: Tensor) -> tuple[Tensor, Tensor]:
    """E of data and negatives in one call, so that both see one batch.

    >>> a, b = energies_of_both(lambda x: x.sum(1), torch.ones(2, 3), torch.zeros(1, 3))
    >>> a.tolist(), b.tolist()
    ([3.0, 3.0], [0.0])
    """
    e = energy(torch.cat([x_data, x_negative]))
    return e[: len(x_data)], e[len(x_data) :]


def load_shipped(name: str, build: Callable[[dict[str, Any]], nn.Module]) -> nn.Module:
    """A model of a recorded run: built from the note beside its weights, in eval mode.

    Raises:
        FileNotFoundError: no checkpoint of that name ships with the package.
        ValueError: its SHA-256 is not the recorded one.
    """
    path = shipped_checkpoint(name)
    _, meta = load_checkpoint(path)
    model = build(meta)
    load_checkpoint(path, model)
    return model.eval()


def _rows_digest(batch: Batch) -> str:
    tensors = {"x": batch.x, "y": batch.y, "mask": batch.mask}
    return digest({name: t for name, t in tensors.items() if t is not None})[:16]
