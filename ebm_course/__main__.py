"""The course on the command line: ``doctor`` looks at the installation, ``train`` runs a recipe.

Recipes are found by their file names in ``ebm_course/recipes``. It knows no method.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import json
import pkgutil
import platform
import shlex
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ebm_course import files, recipes
from ebm_course.runtime import Run, data_folder, describe, setup

NEEDED = ("torch", "numpy", "matplotlib", "ipywidgets", "safetensors", "pooch", "tqdm")
FOR_THE_BOOK = ("jupyter-book", "nbval")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command named in ``arguments`` (by default the program's own) and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return doctor() if options.command == "doctor" else train(options)
    except _RefusedError as refusal:
        parser.error(str(refusal))


def doctor() -> int:
    """Print versions, device, data folders and checkpoints, and what is missing; 0 if all needed is there, else 1."""
    faults = []
    for title, lines in (("versions", _versions()), ("device", _device()), ("data", _data()), ("weights", _weights())):
        print(title)
        for line, fault in lines:
            print(f"  {line}{'  <- ' + fault if fault else ''}")
            faults += [fault] if fault else []
    print("all that is needed is there" if not faults else "to do: " + "; ".join(dict.fromkeys(faults)))
    return 1 if faults else 0


def train(options: argparse.Namespace) -> int:
    """Train a recipe's preset and write its checkpoint; refuses what cannot work before training starts."""
    recipe = _recipe(options.recipe)
    config = _changed(_preset(recipe, options.preset), options.set)
    out = Path(options.out)
    if out.suffix != ".safetensors" or out.is_dir():
        raise _RefusedError(f"--out names the checkpoint to write, NAME.safetensors: got {options.out!r}.")
    run = _setup(options.seed)
    module, meta = recipe.train(config, run, folder=options.folder, progress=not options.quiet)
    changes = "".join(f" --set {shlex.quote(change)}" for change in options.set)
    made = f"python -m ebm_course train {options.recipe} --preset {options.preset} --seed {options.seed}{changes}"
    plain = json.loads(json.dumps(dataclasses.asdict(config), default=_named))
    note = {
        **meta,
        "config": plain,
        "seed": options.seed,
        "torch": version("torch"),
        "command": f"{made} --out {out.name}",
    }
    digest = files.save_checkpoint(out, module, meta=note)
    print(f"{digest}  {out}")
    return 0


class _RefusedError(Exception):
    """What the reader typed cannot be done; the message says why."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ebm_course", description="A course on energy-based models.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="look at the installation and say what is missing")
    command = commands.add_parser("train", help="train a recipe and write its checkpoint")
    command.add_argument("recipe", help=f"one of: {', '.join(_recipes())}")
    command.add_argument("--preset", default="notebook", help="smoke (seconds), notebook (a laptop), paper (a GPU)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", required=True, metavar="FILE", help="the checkpoint to write, NAME.safetensors")
    command.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field")
    command.add_argument("--folder", type=Path, help="save the run's state there and resume from it")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _recipes() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(recipes.__path__) if not m.name.startswith("_"))


def _recipe(name: str) -> Any:
    if name not in _recipes():
        raise _RefusedError(f"there is no recipe {name!r}: expected one of {', '.join(_recipes()) or 'none yet'}.")
    module = importlib.import_module(f"{recipes.__name__}.{name}")
    if not hasattr(module, "train"):
        raise _RefusedError(f"{name!r} holds parts of recipes and cannot be trained: it has no function train.")
    return module


def _preset(recipe: Any, name: str) -> Any:
    presets = {k.lower(): v for k, v in vars(recipe).items() if k.isupper() and dataclasses.is_dataclass(v)}
    name = name.replace("-", "_")
    if name not in presets:
        raise _RefusedError(f"there is no preset {name!r}: expected one of {', '.join(sorted(presets))}.")
    return presets[name]


def _named(value: Any) -> str:
    return getattr(value, "__qualname__", str(value))  # a class in a configuration is noted by its name


def _setup(seed: int) -> Run:
    try:
        return setup(seed)
    except RuntimeError as error:
        raise _RefusedError(str(error)) from error


def _changed(config: Any, changes: Sequence[str]) -> Any:
    """The configuration with fields replaced, each value refused where it is not of the field's type."""
    hints = typing.get_type_hints(type(config))
    values = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in hints:
            raise _RefusedError(f"--set {change}: there is no field {name!r}, expected one of {', '.join(hints)}.")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        if not _is_of(value, hints[name]):
            expected = getattr(hints[name], "__name__", hints[name])
            raise _RefusedError(f"--set {change}: {name} is of type {expected}, got {value!r}.")
        values[name] = float(value) if hints[name] is float else value
    try:
        return dataclasses.replace(config, **values)
    except ValueError as error:  # raised by the configuration's own checks
        raise _RefusedError(f"--set {' '.join(changes)}: {error}") from error


def _is_of(value: Any, hint: Any) -> bool:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of(value, part) for part in parts)
    if origin is typing.Literal:
        return value in parts
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return isinstance(value, (int, float) if hint is float else origin or hint)


def _versions() -> Iterator[tuple[str, str]]:
    yield f"python {platform.python_version()}", "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    for name in NEEDED + FOR_THE_BOOK:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = ""
        if name == "jupyter-book" and found and int(found.split(".")[0]) > 1:
            yield f"{name} {found}", 'version 2 builds nothing here: pip install "jupyter-book>=1.0.4.post1,<2"'
        elif name in NEEDED:
            yield f"{name} {found or 'missing'}", "" if found else f"pip install {name}"
        else:
            yield f"{name} {found or 'missing (needed only to build and check the book)'}", ""


def _device() -> Iterator[tuple[str, str]]:
    try:
        yield describe(setup(quiet=True).device), ""
    except RuntimeError as error:
        yield "not there", str(error)


def _data() -> Iterator[tuple[str, str]]:
    yield f"downloads are kept in {files.cache_folder()}", ""
    try:
        folder = data_folder()
    except FileNotFoundError as error:
        yield "EBM_COURSE_DATA", str(error)
        return
    if folder is None:
        yield "EBM_COURSE_DATA is not set: what a chapter needs is downloaded when first used", ""
        return
    sums = files.read_sums(folder / "SHA256SUMS")
    missing = [name for name in sums if not (folder / name).is_file()]
    sets = sorted(p.name for p in folder.iterdir() if p.is_dir())
    yield f"EBM_COURSE_DATA is {folder} and holds {', '.join(sets) or 'no data set'}", ""
    yield f"{len(sums) - len(missing)} of the {len(sums)} files in its SHA256SUMS are there", ""
    for name in missing:
        yield f"missing: {name}", f"copy {name} into the folder of EBM_COURSE_DATA"


def _weights() -> Iterator[tuple[str, str]]:
    listed = files.read_sums(files.CHECKPOINTS / "SHA256SUMS")
    for path in sorted(files.CHECKPOINTS.glob("*.safetensors")):
        if path.name not in listed:
            yield path.name, f"list it: cd {files.CHECKPOINTS} && sha256sum *.safetensors > SHA256SUMS"
    for name in sorted(listed):
        try:
            files.shipped_checkpoint(Path(name).stem)
            yield f"{name} has the right SHA-256", ""
        except (ValueError, FileNotFoundError) as error:
            yield name, str(error)


if __name__ == "__main__":
    sys.exit(main())
