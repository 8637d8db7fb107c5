"""A long experiment as one ordered list of stages, each done once: after a kill nothing is lost or done twice.

The result of a stage is a JSON file that says what made it, and keeps every attempt with its commit, hardware and
seconds; a stage that trains gets a folder where :func:`training.fit.fit` keeps its state, so a run killed inside a
stage goes on inside it. Several runs may join in one folder: each does stages that no other is at. It knows no method.

>>> from tempfile import TemporaryDirectory
>>> from ebm_course.runtime import SINGLE_PROCESS as run
>>> two, four = Stage("two", lambda folder, results: 2), Stage("four", lambda folder, results: results["two"] ** 2)
>>> with TemporaryDirectory() as root:
...     results: Results = run_stages([two, four], Path(root), origin=Origin("toy", {}, 0), run=run, progress=False)
>>> dict(results), before(four, [two, four])
({'two': 2, 'four': 4}, ['two'])
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ebm_course.experiments.attempts import ATTEMPTS, Attempt, attempts_of, noted_attempt, parsed
from ebm_course.experiments.turns import take_turns
from ebm_course.files import sha256_of
from ebm_course.origin import Origin, plain
from ebm_course.runtime import Run
from ebm_course.storage import locked, read_json, write_json
from ebm_course.training.resume import FILE_NAME as STATE

RESULT = "result.json"
AT_WORK = ".stage.lock"
PATIENCE = 60.0  # seconds that a run waits until others have joined
BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed} done, {remaining} left"


@dataclass(frozen=True)
class Stage:
    """One piece of the work.

    Args:
        name: unique; also its folder, so a slash makes a folder of folders.
        work: (its own folder, results of the stages before it) -> a JSON value.
        cost: its share of the work, any unit; the bar's estimate of the time left rests on it.
        of: what it depends on beside the settings that all stages share, such as the identity of a variant.
        after: names of the stages that it reads, None for any before it; the fewer, the more can be done at once.
    """

    name: str
    work: Callable[[Path, Results], Any]
    cost: float = 1.0
    of: Any = None
    after: tuple[str, ...] | None = None


class Results(Mapping[str, Any]):
    """The results of finished stages by name, and what is known of them: folders, attempts, seconds.

    ``progress``: whether trainings show bars. What a stage reads here, or in another's folder, is noted as its source.
    """

    def __init__(self, root: Path, *, progress: bool = False):
        self.root, self.progress = root, progress
        self.made_from: dict[str, str] = {}  # of the stage at work: stage -> digest of its result and files
        self.readable: tuple[str, ...] | None = None  # what the stage at work may read, None for all
        self._finished: dict[str, dict[str, Any]] = {}

    def __getitem__(self, name: str) -> Any:
        self._note(name)
        return self._finished[name]["result"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._finished)

    def __len__(self) -> int:
        return len(self._finished)

    def folder(self, name: str) -> Path:
        """Where a stage keeps its files."""
        self._note(name)
        return self.root / name

    def attempts(self, name: str) -> list[Attempt]:
        """Every attempt at a finished stage, killed ones too."""
        return parsed(self._finished[name]["attempts"], self.root / name / RESULT)

    def seconds(self, *names: str) -> float:
        """Seconds that these stages took, by default all that are finished; killed attempts count."""
        return sum(attempt.seconds for name in names or self for attempt in self.attempts(name))

    def add(self, name: str, finished: dict[str, Any]) -> None:
        """Note a finished stage, refused where it was made from other results or files than those that are there.

        Raises:
            ValueError: names the stage and the one that it was made from.
        """
        for source, digest in finished["made_from"].items():
            if source in self._finished and self._finished[source]["digest"] != digest:
                raise ValueError(
                    f"{self.root / name} was made from another {source} than the one that is there now. "
                    f"Delete that folder to do the stage again."
                )
        content = json.dumps([finished["result"], finished["files"]])
        self._finished[name] = {**finished, "digest": hashlib.sha256(content.encode()).hexdigest()}

    def ordered(self, names: Sequence[str]) -> Results:
        """Itself, with the stages in this order whoever did them first."""
        self._finished = {name: self._finished[name] for name in names}
        return self

    def _note(self, name: str) -> None:
        if self.readable is not None and name not in self.readable:
            raise ValueError(f"a stage reads {name}, which it does not come after: expected that name in its `after`.")
        if name in self._finished:
            self.made_from[name] = self._finished[name]["digest"]


def run_stages(
    stages: Sequence[Stage], folder: Path, *, origin: Origin, run: Run, progress: bool = True, join: bool = False
) -> Results:
    """Do what is not done yet, in order, in a folder that no other run works in meanwhile.

    Args:
        stages: all of them; names differ.
        folder: where results and states are kept.
        origin: what makes the experiment; compared with that of every finished stage before any work starts.
        run: only its main process writes and shows the bar.
        progress: show a bar with the stage at work and an estimate of the time left.
        join: let other runs that join work there too: each takes the first stage that is ready and that no other is at.

    Raises:
        ValueError: two stages have one name, or a finished one is damaged, lacks files or has another origin or source.
        BlockingIOError: another run works in the folder.
    """
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ValueError(f"stages are told apart by name: expected each once, got {sorted(names)}.")
    if join and run.n_processes > 1:
        raise ValueError("runs that join are apart from each other: launch each of them as one process.")
    results = Results(folder, progress=progress)
    if join:
        with locked(folder, patience=PATIENCE):
            pass  # nobody has the folder alone
    with locked(folder) if run.is_main and not join else nullcontext():
        run.wait()
        done = {stage.name: _finished(stage, folder, origin) for stage in stages}
        _check_files(stages, done, folder)
        run.wait()  # every process has looked before any of them writes
        shown = progress and run.is_main
        start = sum(stage.cost for stage in stages if done[stage.name] is not None)
        total = sum(stage.cost for stage in stages)
        with tqdm(total=total, initial=start, unit="", bar_format=BAR, disable=not shown) as bar:

            def do(stage: Stage) -> None:
                bar.set_description(stage.name)
                _do(stage, results, origin, run)
                bar.update(stage.cost)

            if join:
                _join(stages, results, origin, do)
            else:
                for stage in stages:
                    if done[stage.name] is None:
                        do(stage)
                    results.add(stage.name, done[stage.name] or read_json(folder / stage.name / RESULT))
    return results.ordered(names)


def _join(stages: Sequence[Stage], results: Results, origin: Origin, do: Callable[[Stage], None]) -> None:
    """Do what nobody else does, until all is done."""
    named = {stage.name: stage for stage in stages}

    def done(name: str) -> bool:
        if name not in results and (found := _finished(named[name], results.root, origin)) is not None:
            results.add(name, found)
        return name in results

    def work(name: str) -> bool:
        try:
            do(named[name])
        except BlockingIOError:  # another is at it
            return False
        return done(name)

    take_turns({stage.name: before(stage, stages) for stage in stages}, done=done, do=work)


def before(stage: Stage, stages: Sequence[Stage]) -> Sequence[str]:
    """The stages that a stage may read."""
    names = [other.name for other in stages]
    return names[: names.index(stage.name)] if stage.after is None else stage.after


def _do(stage: Stage, results: Results, origin: Origin, run: Run) -> None:
    folder = results.root / stage.name
    with locked(folder, AT_WORK) if run.is_main else nullcontext():
        if run.is_main and (folder / RESULT).is_file():  # another has done it since this run looked
            return
        results.made_from, results.readable = {}, stage.after
        with noted_attempt(folder / ATTEMPTS, run) if run.is_main else nullcontext():
            result = stage.work(folder, results)
        results.readable = None
        if run.is_main:
            finished = {
                "origin": _origin(stage, origin).as_json(),
                "made_from": results.made_from,
                "files": {path.name: sha256_of(path) for path in _files(folder)},
                "attempts": [dataclasses.asdict(attempt) for attempt in attempts_of(folder / ATTEMPTS)],
                "result": result,
            }
            write_json(folder / RESULT, finished)
    run.wait()


def _finished(stage: Stage, folder: Path, origin: Origin) -> Any:
    file = folder / stage.name / RESULT
    if not file.is_file():
        return None
    found = read_json(file)
    if not isinstance(found, dict) or found.keys() != {"origin", "made_from", "files", "attempts", "result"}:
        raise ValueError(f"{file} is no stage of this version of the course. Give this run a folder of its own.")
    _origin(stage, origin).check(found["origin"], file)
    return found


def _check_files(stages: Sequence[Stage], done: Mapping[str, Any], folder: Path) -> None:
    """Refuse a file of a finished stage that is another one, or is missing where a stage left to do may read it."""
    needed = {name for stage in stages if done[stage.name] is None for name in before(stage, stages)}
    for name, found in done.items():
        for file, digest in (found or {"files": {}})["files"].items():
            path = folder / name / file
            if (path.is_file() and sha256_of(path) == digest) or (not path.is_file() and name not in needed):
                continue
            raise ValueError(f"{path} is missing or not what its stage wrote. Delete {path.parent} to do it again.")


def _files(folder: Path) -> list[Path]:
    """Nets and other tensors that a stage leaves behind; the state of its training may go."""
    return sorted(path for path in folder.glob("*.safetensors") if path.name != STATE)


def _origin(stage: Stage, origin: Origin) -> Origin:
    config = {"shared": origin.config, "stage": stage.name, "of": plain(stage.of)}
    return dataclasses.replace(origin, config=config)
