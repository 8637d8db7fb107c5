"""What a reader may choose on the command line: recipes, their presets, a device, and values of single fields."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import pkgutil
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from ebm_course import recipes
from ebm_course.runtime import Run, setup


class RefusedError(Exception):
    """What the reader typed cannot be done; the message says why."""


def recipe_names() -> list[str]:
    """The modules in the folder of recipes, parts of recipes among them."""
    return sorted(m.name for m in pkgutil.iter_modules(recipes.__path__) if not m.name.startswith("_"))


def recipe(name: str) -> Any:
    """The module of this name in the folder of recipes."""
    if name not in recipe_names():
        raise RefusedError(f"there is no recipe {name!r}: expected one of {', '.join(recipe_names()) or 'none yet'}.")
    return importlib.import_module(f"{recipes.__name__}.{name}")


def presets(module: Any) -> dict[str, Any]:
    """Name in lower case -> configuration: the module's upper-case values of a dataclass that a recipe defines."""
    constants = {k.lower(): v for k, v in vars(module).items() if k.isupper() and dataclasses.is_dataclass(v)}
    return {k: v for k, v in constants.items() if type(v).__module__.startswith(f"{recipes.__name__}.")}


def preset(module: Any, name: str) -> Any:
    """One configuration of a module; a dash in its name stands for an underscore."""
    found, name = presets(module), name.replace("-", "_")
    if name not in found:
        raise RefusedError(f"there is no preset {name!r}: expected one of {', '.join(sorted(found))}.")
    return found[name]


def run_of(seed: int, device: str | None = None) -> Run:
    """:func:`ebm_course.runtime.setup`, its error for the reader of the command line."""
    try:
        return setup(seed, device=device)
    except RuntimeError as error:
        raise RefusedError(str(error)) from error


def plain(config: Any) -> dict[str, Any]:
    """A configuration as JSON holds it: classes and functions by their names, tuples as lists."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=lambda v: getattr(v, "__qualname__", str(v))))


def changed(config: Any, changes: Sequence[str], named: dict[str, dict[str, Any]] | None = None) -> Any:
    """The configuration with fields replaced, each value refused where it is not of the field's type.

    Args:
        changes: ``field=value``, the value written as in Python or as a word.
        named: field -> name -> class or function that the name stands for; see :func:`named_values`.
    """
    hints, named = typing.get_type_hints(type(config)), named or {}
    values = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in hints:
            raise RefusedError(f"--set {change}: there is no field {name!r}, expected one of {', '.join(hints)}.")
        values[name] = _value(change, text, hints[name], named.get(name, {}))
    try:
        return dataclasses.replace(config, **values)
    except ValueError as error:  # raised by the configuration's own checks
        raise RefusedError(f"--set {' '.join(changes)}: {error}") from error


def named_values(module: Any) -> dict[str, dict[str, Any]]:
    """Field -> name -> class or function, for those that some preset of the module has in that field."""
    found: dict[str, dict[str, Any]] = {}
    for config in presets(module).values():
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if isinstance(value, type | types.FunctionType):
                found.setdefault(field.name, {})[value.__name__] = value
    return found


def _value(change: str, text: str, hint: Any, named: dict[str, Callable]) -> Any:
    if named:
        if text not in named:
            raise RefusedError(f"--set {change}: expected the name of one that a preset has: {', '.join(named)}.")
        return named[text]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if not _is_of(value, hint):
        raise RefusedError(f"--set {change}: {change.partition('=')[0]} is of type {_name(hint)}, got {value!r}.")
    return float(value) if hint is float else value


def _name(hint: Any) -> str:
    return str(hint) if typing.get_args(hint) else getattr(hint, "__name__", str(hint))


def _is_of(value: Any, hint: Any) -> bool:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of(value, part) for part in parts)
    if origin is typing.Literal:
        return value in parts
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return isinstance(value, (int, float) if hint is float else origin or hint)
