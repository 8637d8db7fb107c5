"""The state of a run in one file, so that it can be killed at any moment and started again.

The file holds the kept objects, the random streams, the rows logged so far and the best state seen. It knows objects
with ``state_dict`` and ``load_state_dict`` and torch generators; not what they are for.

>>> import tempfile
>>> net, draws = nn.Linear(2, 1), torch.Generator().manual_seed(0)
>>> first, later = module_states({"net": net}), {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
>>> with tempfile.TemporaryDirectory() as folder:
...     progress: Progress = load_run(Path(folder), {"net": net}, draws, None)  # of a new folder
...     save_run(Path(folder), progress, {"net": net}, draws, None)
...     load_states({"net": net}, {"net": later})
...     states_of({"net": net})["net"]["weight"].tolist()
...     resumed = load_run(Path(folder), {"net": net}, draws, None)
[[1.0, 1.0]]
>>> progress.step, resumed.step, torch.equal(net.weight, first["net"]["weight"])  # weights as they were saved
(0, 0, True)
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.origin import Origin, differences, load_weights, weights_of
from ebm_course.storage import read_tensors, write_tensors
from ebm_course.training.log import REMEDY, is_whole
from ebm_course.training.state import outline, pack, unpack

FILE_NAME = "fit.safetensors"


@dataclass
class Progress:
    """How far a run is: updates done, rows, values of an interval not yet full, and what early stopping remembers."""

    step: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    interval: dict[str, list[float]] = field(default_factory=dict)
    best: float | None = None
    best_state: dict[str, Any] | None = None
    waited: int = 0  # validations since the best one
    start: dict[str, Any] = field(default_factory=dict)  # outlines of the kept objects as the run began


def states_of(keep: Mapping[str, Any]) -> dict[str, Any]:
    """The state of each object by its name; of modules without the names that ``torch.compile`` adds."""
    return {name: _state(x) for name, x in keep.items()}


def module_states(keep: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of the states of the modules among the objects."""
    return {name: copy.deepcopy(_state(x)) for name, x in keep.items() if isinstance(x, nn.Module)}


def load_states(keep: Mapping[str, Any], states: Mapping[str, Any]) -> None:
    """Put states back into the objects that carry their names; changes the objects."""
    for name, state in states.items():
        x = keep[name]
        if isinstance(x, nn.Module):
            load_weights(x, state)
        else:
            x.set_state(state) if isinstance(x, torch.Generator) else x.load_state_dict(state)


def check_states(keep: Mapping[str, Any], step: int) -> None:
    """Refuse states that are not finite; a module's buffer may hold infinities, as masks do.

    Raises:
        FloatingPointError: names the tensor, the update and a remedy.

    >>> net = nn.Linear(2, 1)
    >>> _ = nn.init.constant_(net.bias, float("inf"))
    >>> check_states({"net": net}, 3)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FloatingPointError: net/bias is not finite after step 3, though the logged values were. Lower the learning rate ...
    """
    for name, tensor, infinities in _tensors(keep):
        bad = torch.isnan(tensor) if infinities else ~torch.isfinite(tensor)
        if bool(bad.any()):
            raise FloatingPointError(f"{name} is not finite after step {step}, though the logged values were. {REMEDY}")


def save_run(
    folder: Path, progress: Progress, keep: Mapping[str, Any], generator: torch.Generator, origin: Origin | None
) -> None:
    """Write the run's state and what made it to ``folder``, atomically; whatever is killed, a whole file remains.

    Raises:
        FloatingPointError: a tensor is not finite; the file stays as it was.
    """
    check_states(keep, progress.step)
    state = {"progress": dict(vars(progress)), "keep": states_of(keep), "random": _random_state(generator)}
    tensors, skeleton = pack(state, "run")
    made = None if origin is None else origin.as_json()
    write_tensors(folder / FILE_NAME, tensors, {"origin": made, "state": skeleton})


def load_run(folder: Path, keep: Mapping[str, Any], generator: torch.Generator, origin: Origin | None) -> Progress:
    """Read the run's state from ``folder`` into the objects and random streams; a new folder is a run at step 0.

    Raises:
        ValueError: the file is damaged, has another origin, or is of a run with other objects, such as a net of another
            width or an optimiser with another rate, or on another device. Nothing is loaded then.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return Progress(start=_outlines(keep, generator))
    tensors, note = read_tensors(path, sealed=True)
    foreign = ValueError(f"{path} is no state of this version of the course. Give this run a folder of its own.")
    if not isinstance(note, dict) or note.keys() != {"origin", "state"}:
        raise foreign
    if note["origin"] is not None and not (isinstance(note["origin"], dict) and "recipe" in note["origin"]):
        raise foreign
    if origin is not None:
        origin.check(note["origin"], path)
    elif note["origin"] is not None:
        raise ValueError(
            f"{path} is the state of {note['origin']['recipe']}, expected one of a run without an origin. "
            f"Pass fit(origin=...), or give this run a folder of its own."
        )
    try:
        state = unpack(tensors, note["state"])
        progress = _checked(Progress(**state["progress"]))
        found, expected = (sorted(state["keep"]), state["random"]["device"]), (sorted(keep), generator.device.type)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise foreign from error
    if found != expected:
        raise ValueError(
            f"{path} holds another run: it keeps {found[0]} on {found[1]}, expected {expected[0]} on {expected[1]}. "
            f"Give this run a folder of its own, or delete the file."
        )
    _check_outlines(path, _outlines(keep, generator), keep, state["keep"], progress.start)
    load_states(keep, state["keep"])
    _set_random_state(generator, state["random"])
    return progress


def _checked(progress: Progress) -> Progress:
    """The progress, refused where its parts are of other types than a run writes."""
    right = is_whole(progress.step) and progress.step >= 0 and is_whole(progress.waited)
    right = right and isinstance(progress.best, float | int | None)
    rows, maps = progress.rows, (progress.interval, progress.start)
    if not right or not isinstance(rows, list) or not all(isinstance(part, dict) for part in (*rows, *maps)):
        raise TypeError("a part of the progress is of another type")
    return progress


def _outlines(keep: Mapping[str, Any], generator: torch.Generator) -> dict[str, Any]:
    outlines = {name: outline(keep[name], state) for name, state in states_of(keep).items()}
    return outlines | {"fit's generator": outline(generator, None)}


def _check_outlines(
    path: Path, own: Mapping[str, Any], keep: Mapping[str, Any], saved: Mapping[str, Any], start: Mapping[str, Any]
) -> None:
    """Refuse states of other objects: these are as the run began or, in the process of that run, as it left them."""
    for name, found in own.items():
        differing = list(differences(start.get(name, {}), found, name))
        left = outline(keep[name], saved[name]) if name in keep else None
        if differing and (found != left or found["class"] != start.get(name, {}).get("class")):
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise ValueError(
                f"{path} was made with another {'; '.join(differing[:3])}{more}. "
                f"Give this run a folder of its own, or ask for what the folder holds."
            )


@contextmanager
def undisturbed(keep: Mapping[str, Any], generator: torch.Generator) -> Iterator[None]:
    """Afterwards the modes of the modules in ``keep`` and all random streams are as they were before.

    >>> net, draws = nn.Dropout(), torch.Generator().manual_seed(0)
    >>> with undisturbed({"net": net}, draws):
    ...     first = torch.rand(1, generator=draws), net.eval()
    >>> net.training, torch.equal(torch.rand(1, generator=draws), first[0])
    (True, True)
    """
    modes = [(m, m.training) for x in keep.values() if isinstance(x, nn.Module) for m in x.modules()]
    streams = _random_state(generator)
    try:
        yield
    finally:
        _set_random_state(generator, streams)
        for module, mode in modes:
            module.training = mode


def _state(x: Any) -> Any:
    if isinstance(x, nn.Module):
        return weights_of(x)
    return x.get_state() if isinstance(x, torch.Generator) else x.state_dict()


def _tensors(keep: Mapping[str, Any]) -> Iterator[tuple[str, Tensor, bool]]:
    for name, x in keep.items():
        if isinstance(x, torch.Generator):
            continue
        buffers = {b for b, _ in x.named_buffers()} if isinstance(x, nn.Module) else set()
        named = pack(x.state_dict(), "")[0]
        yield from ((name + path.replace("'", ""), t, path.strip("/'") in buffers) for path, t in named.items())


def _random_state(generator: torch.Generator) -> dict[str, Any]:
    state = {"device": generator.device.type, "generator": generator.get_state(), "cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _set_random_state(generator: torch.Generator, state: Mapping[str, Any]) -> None:
    generator.set_state(state["generator"])
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state.get("cuda", ())) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
