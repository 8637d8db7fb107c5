"""``reproduce``: run a paper's whole experiment and record it in the ledger. It knows no method.

``reproduce sequences`` asks ``ebm_course/recipes/reproduce_sequences.py`` for a configuration with a field ``n_runs``
and for ``reproduce(config, run, folder=..., progress=...) -> Findings``.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ebm_course import files
from ebm_course.commands import choices, provenance
from ebm_course.commands.choices import RefusedError
from ebm_course.results import ledger
from ebm_course.results.findings import Findings
from ebm_course.results.record import Curve, Entry, Record
from ebm_course.runtime import Run

PREFIX = "reproduce_"


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("reproduce", help="run a paper's whole experiment and record the result")
    parser.add_argument("what", help=f"one of: {', '.join(experiments()) or 'none yet'}")
    parser.add_argument("--preset", default="cpu", help="smoke (seconds), cpu (two cores, the default), paper (a GPU)")
    parser.add_argument("--runs", type=int, metavar="N", help="independent runs, by default the preset's number")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; run k has this one plus k")
    parser.add_argument("--device", help="a torch device; by default a GPU if there is one")
    parser.add_argument("--folder", type=Path, help="where the work is kept; the same command again goes on there")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="write its small checkpoints there as well")
    parser.add_argument("--notes", default="", metavar="TEXT", help="kept in the record: what a reader should know")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--out", type=Path, metavar="FILE", help="the record to write, by default in the folder")
    place.add_argument("--record", action="store_true", help="write the record into the course's own ledger")
    parser.set_defaults(run=reproduce)


def reproduce(options: argparse.Namespace) -> int:
    """Run an experiment and write its record; refuses what cannot work before the work starts."""
    module, config = _module(options.what), _config(options)
    key = f"{options.what}-{options.preset}"
    if options.checkpoints and not hasattr(module, "small_checkpoints"):
        raise RefusedError(f"{options.what!r} has no small checkpoints to write.")
    folder = options.folder or Path("ebm-course-runs") / key
    out = _out(options, folder / f"{key}.json")
    run = choices.run_of(options.seed, options.device)
    try:
        findings = module.reproduce(config, run, folder=folder, progress=not options.quiet)
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on with what is in {folder}.")
        return 130
    if run.is_main:  # of several processes one writes
        record = record_of(findings, config, run, options)
        ledger.write_file(record, out)
        print(f"{ledger.table(record, ledger.headlines(record))}\n\nrecorded in {out}")
        if options.checkpoints:
            _write_checkpoints(module.small_checkpoints(config, folder), options)
    return 0


def record_of(findings: Findings, config: Any, run: Run, options: argparse.Namespace) -> Record:
    """What goes into the ledger: findings, and all that is needed to find them again."""
    return Record(
        name=options.what,
        preset=options.preset,
        command=_command(options),
        commit=provenance.commit(),
        hardware=provenance.hardware(run),
        torch=str(torch.__version__),
        seconds=findings.seconds,
        seeds=tuple(range(run.seed, run.seed + config.n_runs)),
        config=choices.plain(config),
        notes=options.notes,
        entries=tuple(Entry.of(found) for found in findings.entries),
        curves=tuple(Curve.of(found) for found in findings.curves),
    )


def _write_checkpoints(found: Mapping[str, Any], options: argparse.Namespace) -> None:
    for name, (state, config, meta) in found.items():
        note = meta | {"config": choices.plain(config), "seed": options.seed, "command": _command(options)}
        path = options.checkpoints / f"{name}.safetensors"
        print(f"{files.save_checkpoint(path, state, meta=note)}  {path}")


def experiments() -> list[str]:
    """The names that can be reproduced."""
    return [name.removeprefix(PREFIX) for name in choices.recipe_names() if name.startswith(PREFIX)]


def _module(what: str) -> Any:
    if what not in experiments():
        raise RefusedError(f"nothing is called {what!r}: expected one of {', '.join(experiments()) or '(none yet)'}.")
    return choices.recipe(PREFIX + what)


def _config(options: argparse.Namespace) -> Any:
    config = choices.preset(_module(options.what), options.preset)
    if options.runs is None:
        return config
    if options.runs < 1:
        raise RefusedError(f"--runs is 1 or larger, got {options.runs}.")
    return dataclasses.replace(config, n_runs=options.runs)


def _out(options: argparse.Namespace, default: Path) -> Path:
    out: Path = ledger.FOLDER / default.name if options.record else options.out or default
    if out.suffix != ".json" or out.is_dir():
        raise RefusedError(f"--out names the record to write, NAME.json: got {str(out)!r}.")
    return out


def _command(options: argparse.Namespace) -> str:
    parts = [f"python -m ebm_course reproduce {options.what} --preset {options.preset}"]
    parts += [f"--runs {options.runs}"] if options.runs is not None else []
    parts += [f"--seed {options.seed}"]
    parts += [f"--device {options.device}"] if options.device else []
    return " ".join(parts)
