"""``reproduce``: run an experiment, or a part of it, and record it in the ledger. It knows no method.

>>> import io, tempfile
>>> from contextlib import redirect_stdout
>>> parser = argparse.ArgumentParser()
>>> add(parser.add_subparsers())
>>> options = parser.parse_args("reproduce likelihood --preset smoke --variant words/exact --runs 1 --quiet".split())
>>> config, chosen = config_of(choices.experiment("likelihood"), options)
>>> [variant.name for variant in config.variants], config.n_runs, chosen
(['words/exact'], 1, ('variant=words_exact',))
>>> record_of(Findings([], []), config, Run(torch.device("cpu"), 0), options, chosen).key
'likelihood-smoke-variant=words_exact'
>>> with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
...     options.folder = Path(folder) / "work"
...     code = reproduce(options)
...     record = ledger.read_file(options.folder / "likelihood-smoke-variant=words_exact.json")
>>> code, record.seeds, record.command
(0, (0,), 'python -m ebm_course reproduce likelihood --preset smoke --variant words/exact --runs 1 --seed 0')
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from ebm_course import files
from ebm_course.commands import choices
from ebm_course.commands.choices import RefusedError
from ebm_course.commands.places import check_apart, check_checkpoints, typed
from ebm_course.experiments import provenance
from ebm_course.experiments.configs import Settings
from ebm_course.experiments.experiment import Experiment, small_checkpoints
from ebm_course.experiments.experiment import reproduce as reproduce_experiment
from ebm_course.origin import plain
from ebm_course.results import ledger, samples
from ebm_course.results.findings import Findings
from ebm_course.results.record import Record
from ebm_course.runtime import Run
from ebm_course.storage import check_writable, real


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("reproduce", help="run a paper's whole experiment, or a part, and record the result")
    parser.add_argument("what", help=f"one of: {', '.join(choices.EXPERIMENTS)}")
    parser.add_argument(
        "--preset", default="cpu", help="smoke (seconds), cpu (two cores, the default), gpu, paper (a GPU)"
    )
    parser.add_argument(
        "--variant", action="append", default=[], metavar="NAME", help="only this method; may be given again"
    )
    parser.add_argument(
        "--data", action="append", default=[], metavar="NAME", help="only this data set; may be given again"
    )
    parser.add_argument(
        "--encoder", metavar="NAME", help="what reads the data sets, where there are several to choose from"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field of the preset"
    )
    parser.add_argument("--runs", type=int, metavar="N", help="independent runs, by default the preset's number")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; run k has this one plus k")
    parser.add_argument("--device", help="a torch device; by default a GPU if there is one")
    parser.add_argument("--folder", type=typed, help="where the work is kept; the same command again goes on there")
    parser.add_argument(
        "--join", action="store_true", help="share the folder with other such calls: each does what no other is at"
    )
    parser.add_argument(
        "--stages",
        type=typed,
        metavar="FILE",
        help="an archive: finished stages are taken from it first and put there last",
    )
    parser.add_argument("--replace", action="store_true", help="with --record: also a record of other or more runs")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--checkpoints", type=typed, metavar="FOLDER", help="write its small checkpoints there as well")
    parser.add_argument("--notes", default="", metavar="TEXT", help="kept in the record: what a reader should know")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--out", type=typed, metavar="FILE", help="the record to write, by default in the folder")
    place.add_argument("--record", action="store_true", help="write the record into the course's own ledger")
    parser.set_defaults(run=reproduce)


def reproduce(options: argparse.Namespace) -> int:
    """Run an experiment and write its record; refuses what cannot work before the work starts."""
    choices.check_text(options.notes, *options.set)
    experiment = choices.experiment(options.what)
    config, chosen = config_of(experiment, options)
    seeds = range(options.seed, options.seed + config.n_runs)
    key = "-".join((options.what, options.preset, *chosen))
    folder = options.folder or Path("ebm-course-runs") / key
    out = _out(options, folder, f"{key}.json", seeds)
    check_apart(out, folder=folder, archive=options.stages)
    check_checkpoints(options.checkpoints)
    run = choices.run_of(options.seed, options.device)
    try:
        how = {"progress": not options.quiet, "join": options.join, "archive": options.stages}
        found = reproduce_experiment(experiment, config, run, folder=folder, **how)
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on with what is in {folder}.")
        return 130
    if run.is_main:  # of several processes one writes
        record = record_of(found, config, run, options, chosen)
        ledger.write_file(record, out)
        samples.write(experiment.samples(config, folder), record, out)
        columns = shutil.get_terminal_size().columns
        print(f"{ledger.table(record, ledger.headlines(record), columns=columns)}\n\nrecorded in {out}")
        if options.checkpoints:
            _write_checkpoints(experiment, config, run, folder, options)
    return 0


def config_of(experiment: Experiment, options: argparse.Namespace) -> tuple[Any, tuple[str, ...]]:
    """The preset as the options change it, and the changes in words, which become a part of the record's key."""
    config = choices.preset(experiment.presets, options.preset)
    chosen: list[str] = []
    if options.set:
        engine = {field.name for field in dataclasses.fields(Settings)}
        mine = [change for change in options.set if change.partition("=")[0] in engine]
        if mine:
            raise RefusedError(f"--set {mine[0]}: that is chosen by --runs, --data and --variant; claims stay.")
        config = choices.changed(config, options.set, experiment.presets)
        chosen += sorted(options.set)
    asked = _asked(experiment, options, config)
    if asked:
        unknown = [name for name in asked if name not in experiment.data]
        if unknown:
            why = f"; {experiment.absent[unknown[0]]}" if unknown[0] in experiment.absent else ""
            there = ", ".join(experiment.data) or "one data set only"
            raise RefusedError(f"--data {unknown[0]}: {experiment.name} works on {there}{why}.")
        config = dataclasses.replace(config, data=tuple(name for name in experiment.data if name in asked))
        chosen.append(f"data={','.join(config.data)}")
    if options.variant:
        known = {variant.name: variant for variant in config.variants}
        if unknown := [name for name in options.variant if name not in known]:
            raise RefusedError(f"--variant {unknown[0]}: expected one of {', '.join(known) or '(there are none)'}.")
        config = dataclasses.replace(config, variants=tuple(known[name] for name in known if name in options.variant))
        short = [variant.name.removeprefix("/".join((*config.data, ""))) for variant in config.variants]
        chosen.append(f"variant={choices.shown(short)}")
    if options.runs is not None:
        if options.runs < 1:
            raise RefusedError(f"--runs is 1 or larger, got {options.runs}.")
        config = dataclasses.replace(config, n_runs=options.runs)
    return config, tuple(part.replace("/", "_") for part in chosen)  # the key is a file's name


def _asked(experiment: Experiment, options: argparse.Namespace, config: Settings) -> list[str]:
    """The data sets asked for, each with what reads it: ``sst2-minilm``; with an encoder alone, the preset's of it."""
    encoder = options.encoder
    if encoder is None:
        return list(options.data)
    if encoder not in experiment.encoders:
        choice = ", ".join(experiment.encoders) or "nothing, for it has one encoder only"
        raise RefusedError(f"--encoder {encoder}: {experiment.name} can be given {choice}.")
    first, *others = experiment.encoders

    def reader(name: str) -> str:
        return next((one for one in others if name.endswith(f"-{one}")), first)

    twice = [name for name in options.data if reader(name) != first]
    if twice:
        raise RefusedError(f"--data {twice[0]}: beside --encoder, name the data set without its encoder.")
    if options.data:
        return list(options.data) if encoder == first else [f"{name}-{encoder}" for name in options.data]
    found = [name for name in config.data if reader(name) == encoder]
    if not found:
        raise RefusedError(f"--encoder {encoder}: preset {options.preset} has no data set for it, add --data NAME.")
    return found


def record_of(
    found: Findings, config: Any, run: Run, options: argparse.Namespace, chosen: tuple[str, ...] = ()
) -> Record:
    """What goes into the ledger: findings, and all that is needed to find them again.

    Its seeds are those that some number rests on: a data set may have fewer runs than the whole experiment.
    """
    n_runs = min(config.n_runs, max((len(entry.values) for entry in found.entries), default=config.n_runs))
    return Record(
        name=options.what,
        preset=options.preset,
        command=_command(options),
        commit=_all(commit for stage in found.work for commit in stage.commits) or provenance.commit(),
        hardware=_all(line for stage in found.work for line in stage.hardware) or provenance.hardware(run),
        torch=_all(version for stage in found.work for version in stage.torch) or str(torch.__version__),
        seconds=found.seconds,
        seeds=tuple(range(run.seed, run.seed + n_runs)),
        config=plain(config),
        notes=options.notes,
        choices=chosen,
        entries=tuple(found.entries),
        curves=tuple(found.curves),
        claims=found.claims,
        work=found.work,
    )


def _write_checkpoints(
    experiment: Experiment, config: Any, run: Run, folder: Path, options: argparse.Namespace
) -> None:
    found = small_checkpoints(experiment, config, run, folder)
    if not found:
        print(f"no net of {experiment.name} ships: nothing was written to {options.checkpoints}.")
    for name, (state, note) in found.items():
        path = options.checkpoints / f"{name}.safetensors"
        print(f"{files.save_checkpoint(path, state, meta=note | {'command': _command(options)})}  {path}")


def _out(options: argparse.Namespace, folder: Path, name: str, seeds: range) -> Path:
    out: Path = ledger.FOLDER / name if options.record else options.out or folder / name
    if out.suffix != ".json" or out.is_dir():
        what = " (a folder)" if out.is_dir() else ""
        raise RefusedError(f"--out names the record to write, NAME.json: got {str(out)!r}{what}.")
    if real(folder) in real(out).parent.parents:
        raise RefusedError(f"--out {out} lies in the folder of a stage: name a file outside, or in {folder} itself.")
    if out.is_file():
        try:
            before = ledger.read_file(out)
        except ValueError as error:
            raise RefusedError(f"--out {out} is there and no record: name another file.") from error
        if options.record and not options.replace and not set(before.seeds) <= set(seeds):
            raise RefusedError(
                f"the record {before.key} has the seeds {', '.join(map(str, before.seeds))}, this run would have "
                f"{', '.join(map(str, seeds))}: add --replace to put it in that record's place."
            )
    return check_writable(out)


def _all(parts: Iterable[str]) -> str:
    """Each of them once, as of stages done at several commits or on several machines."""
    return "; ".join(dict.fromkeys(parts))


def _command(options: argparse.Namespace) -> str:
    parts = [f"python -m ebm_course reproduce {options.what} --preset {options.preset}"]
    for flag in ("variant", "data", "set"):
        parts += [f"--{flag} {shlex.quote(value)}" for value in getattr(options, flag)]
    parts += [f"--encoder {shlex.quote(options.encoder)}"] if options.encoder else []
    parts += [f"--runs {options.runs}"] if options.runs is not None else []
    parts += [f"--seed {options.seed}"]
    parts += [f"--device {options.device}"] if options.device else []
    return " ".join(parts)
