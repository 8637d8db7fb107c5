"""What recipes of every paper share: the face of a recipe, what made its numbers, and nets of recorded runs.

A recipe is a module with a frozen ``Config``, its ``PRESETS`` by name, and

``fit(config, run, *, folder=None, progress=True, **given) -> Fitted``

where ``given`` are nets trained before. It knows no method.
"""

from __future__ import annotations

import functools
import math
import operator
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec

import torch
from torch import Tensor, nn

from ebm_course.ambient import usual_settings
from ebm_course.core import Batch, Energy
from ebm_course.files import load_checkpoint, shipped_checkpoint
from ebm_course.origin import Origin, digest, name_of, plain
from ebm_course.processors import usable_memory
from ebm_course.runtime import Run

Rows = list[dict[str, float]]


class Fitted(NamedTuple):
    """What a recipe trained: the module in eval mode and the rows of the log.

    ``last`` holds the weights after the last update where the module has those of its best validation, else None;
    ``origin`` says what made them, data and given nets too.

    >>> from ebm_course.recipes.likelihood import potts
    >>> fitted = potts.fit(potts.SMOKE, Run(torch.device("cpu"), 0), progress=False)
    >>> fitted.module.training, fitted.rows[-1]["step"], fitted.last, fitted.origin.recipe
    (False, 10, None, 'recipes.likelihood.potts.fit')
    """

    module: nn.Module
    rows: Rows
    last: dict[str, Tensor] | None = None
    origin: Origin | None = None


Fit = Callable[..., Fitted]
"""The face of every recipe: ``fit(config, run, *, folder=None, progress=True, **given)``. Initial weights and dropout
come from torch's global stream, which ``setup(seed)`` seeds: call it before each ``fit`` that is to be repeated."""


P = ParamSpec("P")


def a_recipe(fit: Callable[P, Fitted]) -> Callable[P, Fitted]:
    """A recipe's ``fit`` that refuses what is no configuration of its own, and works in torch's usual settings.

    >>> from ebm_course.recipes.likelihood import plane, potts
    >>> potts.fit(plane.SMOKE, Run(torch.device("cpu"), 0))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: ...potts.fit takes a Config of its own: got one of ebm_course.recipes.likelihood.plane. Pass ...
    """

    @functools.wraps(fit)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Fitted:
        config, run = (args[i] if len(args) > i else kwargs.get(name) for i, name in enumerate(("config", "run")))
        expected = typing.get_type_hints(fit)["config"]
        if not isinstance(config, expected):
            alike = type(config).__name__ == expected.__name__
            found = f"one of {type(config).__module__}" if alike else f"{config!r:.80}"
            raise TypeError(
                f"{fit.__module__}.{fit.__name__} takes a {expected.__name__} of its own: got {found}. "
                f"Pass {expected.__name__}(...), or a preset of PRESETS of {expected.__module__}."
            )
        if not isinstance(run, Run):
            raise TypeError(f"a recipe works in a Run: got {run!r:.80}. Pass run = ebm_course.runtime.setup(seed=0).")
        with usual_settings():
            return fit(*args, **kwargs)

    return checked


def check_rows(**parts: Batch) -> None:
    """Refuse data that are no batch, or have no rows: nothing can be learned from, or validated on, them.

    >>> check_rows(valid=Batch(torch.zeros(0, 2)))
    Traceback (most recent call last):
    ValueError: valid: expected a row at least, got none. Give rows to train on and rows to validate on.
    """
    for name, part in parts.items():
        if not isinstance(part, Batch):
            raise TypeError(f"{name}: expected a Batch, got a {type(part).__name__}. Pass Batch(x) or Batch(x, y).")
        if not len(part):
            raise ValueError(
                f"{name}: expected a row at least, got none. Give rows to train on and rows to validate on."
            )


def _whole(value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        return -1


MOST = 100_000_000
"""The largest count of a configuration: what is meant to be larger is a mistake, or no setting for one machine."""

RANGES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {  # a NaN fails every comparison
    "counts": (f"a whole number, 1 to {MOST:,}", lambda x: 1 <= _whole(x) <= MOST),
    "counts_or_none": (f"a whole number, 1 to {MOST:,}, or None", lambda x: x is None or 1 <= _whole(x) <= MOST),
    "whole": ("a whole number, 0 or more", lambda x: _whole(x) >= 0),
    "positive": ("a number above 0", lambda x: x > 0),
    "positive_finite": ("a finite number above 0", lambda x: 0 < x < math.inf),
    "not_negative": ("a finite number, 0 or more", lambda x: 0 <= x < math.inf),
    "positive_or_none": ("a number above 0, or None", lambda x: x is None or x > 0),
    "not_negative_or_none": ("a finite number, 0 or more, or None", lambda x: x is None or 0 <= x < math.inf),
    "intervals_or_none": ("(low, high), low < high, or None", lambda x: x is None or (len(x) == 2 and x[0] < x[1])),
    "shares": ("a share, 0 to 1", lambda x: 0 <= x <= 1),
    "shares_below_1": ("0 or more and below 1", lambda x: 0 <= x < 1),
    "pairs": ("two numbers, each 0 or more and below 1", lambda x: len(x) == 2 and all(0 <= b < 1 for b in x)),
    "flags": ("True or False", lambda x: isinstance(x, bool)),
    "functions": ("a function or a class", callable),
}


def check_ranges(config: Any, **fields: str) -> None:
    """Refuse a configuration one of whose fields is out of its range.

    Args:
        config: a frozen dataclass, in its ``__post_init__``.
        fields: a range of ``RANGES`` -> the names of fields, separated by spaces.

    Raises:
        ValueError: naming the field, its value, what was expected and the default.

    >>> from types import SimpleNamespace
    >>> check_ranges(SimpleNamespace(clip=-1.0), positive="clip")
    Traceback (most recent call last):
    ValueError: clip: expected a number above 0, got -1.0.
    """
    for kind, names in fields.items():
        expected, holds = RANGES[kind]
        for name in names.split():
            value = getattr(config, name)
            try:
                right = bool(holds(value))
            except TypeError:  # of another type altogether
                right = False
            if not right:
                default = getattr(type(config), name, None)
                words = name_of(default) if callable(default) else default
                hint = "" if default is None else f" The default is {words}."
                raise ValueError(f"{name}: expected {expected}, got {value!r}.{hint}")


def check_memory(config: Any, run: Run, **needed: int) -> None:
    """Refuse a configuration that asks for more memory than there is, before any work is done.

    Args:
        config: of the recipe.
        run: of a CPU the process's own limit counts, of a GPU its memory.
        needed: field of the configuration -> bytes that it asks for; a lower bound will do.

    Raises:
        ValueError: naming the field that asks for most.

    >>> from types import SimpleNamespace
    >>> check_memory(SimpleNamespace(width=10**7), Run(torch.device("cpu"), 0), width=4 * 10**14)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: width: 10000000 asks for 400,000 GB of memory or more, expected ... A smaller width fits.
    """
    if run.device.type == "cuda":
        there = float(torch.cuda.get_device_properties(run.device).total_memory)
    else:
        there = usable_memory()
    most = max(needed, key=lambda name: needed[name])
    if sum(needed.values()) > there:
        raise ValueError(
            f"{most}: {getattr(config, most)} asks for {needed[most] / 1e9:,.0f} GB of memory or more, expected what "
            f"fits into {there / 1e9:,.0f} GB. A smaller {most} fits."
        )


def origin_of(recipe: Callable[..., Any], config: Any, run: Run, *, data: Mapping[str, Batch], **given: Any) -> Origin:
    """What makes the numbers of a recipe's run.

    Args:
        recipe: its ``fit``.
        data: name -> the rows that are trained on.
        given: the nets that were handed in, by name; None where none was.

    >>> from ebm_course.recipes.likelihood.potts import SMOKE, fit
    >>> run, rows = Run(torch.device("cpu"), 7), Batch(torch.zeros(2, 3))
    >>> origin = origin_of(fit, SMOKE, run, data={"train": rows}, net=nn.Linear(2, 1), start=None)
    >>> origin.recipe, origin.config["length"], origin.seed, list(origin.given)
    ('recipes.likelihood.potts.fit', 3, 7, ['net'])
    >>> origin.data == f"train {rows_digest(rows)}"
    True
    """
    named = [f"{name} {rows_digest(batch)}" for name, batch in data.items()]
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


@usual_settings()
def load_shipped(name: str, build: Callable[[dict[str, Any]], nn.Module]) -> nn.Module:
    """A model of a recorded run: built from the note beside its weights, in eval mode.

    Raises:
        FileNotFoundError: no checkpoint of that name ships with the package.
        ValueError: its SHA-256 is not the recorded one.

    >>> from ebm_course.recipes.sequences.language_model import Config, build
    >>> noted = []
    >>> model = load_shipped("arithmetic-3-energy", lambda meta: noted.append(meta) or build(Config(**meta["config"])))
    >>> noted[0]["config"]["n_digits"], type(model).__name__, model.training
    (3, 'LikelihoodEnergy', False)
    """
    path = shipped_checkpoint(name)
    _, meta = load_checkpoint(path)
    model = build(meta)
    load_checkpoint(path, model)
    return model.eval()


def rows_digest(batch: Batch) -> str:
    """A short digest of rows, answers and mask.

    >>> x = torch.tensor([[1, 2]])
    >>> rows_digest(Batch(x)) == rows_digest(Batch(x.clone())), rows_digest(Batch(x)) == rows_digest(Batch(x, y=x))
    (True, False)
    """
    tensors = {"x": batch.x, "y": batch.y, "mask": batch.mask}
    return digest({name: t for name, t in tensors.items() if t is not None})[:16]
