"""What a reader may choose on the command line: recipes, experiments, presets, a device, and values of single fields.

The lists are explicit: a recipe or an experiment that is not named here cannot be run from the command line.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ebm_course.origin import name_of
from ebm_course.runtime import Run, setup

RECIPES = (
    "likelihood.potts",
    "likelihood.plane",
    "sequences.language_model",
    "sequences.masked_language_model",
    "sequences.residual_nce",
    "sequences.adversarial",
    "structured.bilstm",
    "structured.crf",
    "structured.tag_language_model",
    "structured.spen_gradient",
    "structured.inference_network",
    "images.classifier",
    "images.jem",
    "images.robust_classifier",
    "images.robust_jem",
    "text.finetune",
    "text.freelb",
    "text.carl",
    "text.rar",
)
"""Modules in ``recipes``, each with ``PRESETS`` and ``fit``."""

EXPERIMENTS = ("sequences", "ablation", "likelihood", "images", "structured", "text", "carry", "speed")
"""Folders in ``experiments``, each with an ``EXPERIMENT`` in its module ``experiment``."""

LONGEST = 100
"""Letters of names that a file's name may have: 255 is what file systems take of all of it."""


class RefusedError(Exception):
    """What the reader typed cannot be done; the message says why.

    >>> try:
    ...     recipe("potz")
    ... except RefusedError as refusal:
    ...     str(refusal)[:42]
    "there is no recipe 'potz': expected one of"
    """


def recipe(name: str) -> Any:
    """The module of a recipe.

    >>> recipe("potts").__name__, sorted(recipe("likelihood/potts").PRESETS)
    ('ebm_course.recipes.likelihood.potts', ['notebook', 'paper', 'smoke'])
    """
    return importlib.import_module(f"ebm_course.recipes.{_one_of(name, RECIPES, 'recipe')}")


def experiment(name: str) -> Any:
    """The declaration of an experiment.

    >>> experiment("likelihood").name, "smoke" in experiment("likelihood").presets
    ('likelihood', True)
    """
    module = importlib.import_module(f"ebm_course.experiments.{_one_of(name, EXPERIMENTS, 'experiment')}.experiment")
    return module.EXPERIMENT


def preset(presets: Mapping[str, Any], name: str) -> Any:
    """One configuration by its name.

    >>> preset({"cpu": "two cores", "smoke": "seconds"}, "smoke")
    'seconds'
    """
    return presets[_one_of(name, tuple(presets), "preset")]


def run_of(seed: int, device: str | None = None) -> Run:
    """:func:`ebm_course.runtime.setup`, its error for the reader of the command line.

    >>> run_of(0, "abacus")
    Traceback (most recent call last):
    ebm_course.commands.choices.RefusedError: device 'abacus' was asked for and torch has none: use device='cpu'.
    """
    try:
        return setup(seed, device=device)
    except (RuntimeError, ValueError) as error:  # a ValueError: of the seed
        raise RefusedError(str(error)) from error


def check_text(*values: str) -> None:
    """Refuse bytes of the command line that are no text: a record could not hold them, once all is done.

    >>> check_text("a note", "rate=0.1")
    >>> check_text("caf" + chr(0xDCE9))
    Traceback (most recent call last):
    ebm_course.commands.choices.RefusedError: expected text in the terminal's encoding, got 'caf\\udce9'.
    """
    for value in values:
        if any("\ud800" <= sign <= "\udfff" for sign in value):
            raise RefusedError(f"expected text in the terminal's encoding, got {value!r:.80}.")


def changed(config: Any, changes: Sequence[str], presets: Mapping[str, Any]) -> Any:
    """The configuration with fields replaced, each value refused where it is not of the field's type.

    Args:
        changes: ``field=value``, the value written as in Python or as a word.
        presets: a class or function that one of them has in a field can be named for that field.

    >>> presets = recipe("likelihood.potts").PRESETS
    >>> config = changed(presets["smoke"], ["rate=0.5", "law=random_potts"], presets)
    >>> config.rate, config.law.__name__, config.n_steps == presets["smoke"].n_steps
    (0.5, 'random_potts', True)
    >>> changed(presets["smoke"], ["rate=fast"], presets)
    Traceback (most recent call last):
    ebm_course.commands.choices.RefusedError: --set rate=fast: rate is of type float, got 'fast'.
    """
    hints, named = typing.get_type_hints(type(config)), _named_values(presets)
    values = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in hints:
            raise RefusedError(f"--set {change}: there is no field {name!r}, expected one of {', '.join(hints)}.")
        if name in values:
            raise RefusedError(f"--set {change}: {name} is set twice, expected each field once.")
        values[name] = _value(change, text, hints[name], named.get(name, {}))
    try:
        return dataclasses.replace(config, **values)
    except ValueError as error:  # raised by the configuration's own checks
        raise RefusedError(f"--set {' '.join(changes)}: {error}") from error


def shown(names: Sequence[str]) -> str:
    """Names as a part of a file's name: all of them, or their number and eight digits of a hash where they are long.

    >>> shown(["freelb", "carl"]), shown([f"masked/grown/{k}" for k in range(12)])
    ('freelb,carl', '12-arms-69c19c22')
    """
    whole = ",".join(names)
    return whole if len(whole) <= LONGEST else f"{len(names)}-arms-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _named_values(presets: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Field -> name -> class or function, for those that some preset has in that field."""
    found: dict[str, dict[str, Any]] = {}
    for config in presets.values():
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if isinstance(value, type | types.FunctionType):
                found.setdefault(field.name, {})[name_of(value).rpartition(".")[2]] = value
    return found


def _value(change: str, text: str, hint: Any, named: Mapping[str, Any]) -> Any:
    if named:
        if text not in named:
            raise RefusedError(f"--set {change}: expected the name of one that a preset has: {', '.join(named)}.")
        return named[text]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # no value of Python, or one too deep
        value = text
    try:
        return TypeAdapter(hint).validate_python(value, strict=True)
    except (ValidationError, TypeError) as error:  # a TypeError: no value of this type can be typed
        raise RefusedError(
            f"--set {change}: {change.partition('=')[0]} is of type {_name(hint)}, got {value!r:.200}."
        ) from error


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _one_of(name: str, known: Sequence[str], kind: str) -> str:
    spellings = {name, name.replace("_", "-"), name.replace("/", ".")}
    found = [one for one in known if one in spellings] or [one for one in known if one.rpartition(".")[2] == name]
    if len(found) != 1:
        raise RefusedError(f"there is no {kind} {name!r}: expected one of {', '.join(known)}.")
    return found[0]
