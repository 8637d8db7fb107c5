"""A long experiment as one ordered list of stages, each done once: after a kill nothing is lost or done twice.

The result of a stage is a JSON file that says what made it, and keeps every attempt with its commit, hardware and
seconds; a stage that trains gets a folder where :func:`training.fit.fit` keeps its state, so a run killed inside a
stage goes on inside it. It knows no method.
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
from ebm_course.files import sha256_of
from ebm_course.origin import Origin, plain
from ebm_course.runtime import Run
from ebm_course.storage import locked, read_json, write_json
from ebm_course.training.resume import FILE_NAME as STATE

RESULT = "result.json"
BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed} done, {remaining} left"


@dataclass(frozen=True)
class Stage:
    """One piece of the work.

    Args:
        name: unique; also its folder, so a slash makes a folder of folders.
        work: (its own folder, results of the stages before it) -> a JSON value.
        cost: its share of the work, any unit; the bar's estimate of the time left rests on it.
        of: what it depends on beside the settings that all stages share, such as the identity of a variant.
    """

    name: str
    work: Callable[[Path, Results], Any]
    cost: float = 1.0
    of: Any = None


class Results(Mapping[str, Any]):
    """The results of finished stages by name, and what is known of them: folders, attempts, seconds.

    ``progress`` says whether trainings inside a stage should show bars. What a stage reads here, or takes from the
    folder of another, is noted as what it was made from.
    """

    def __init__(self, root: Path, *, progress: bool = False):
        self.root, self.progress = root, progress
        self.made_from: dict[str, str] = {}  # of the stage at work: stage -> digest of its result and files
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

    def _note(self, name: str) -> None:
        if name in self._finished:
            self.made_from[name] = self._finished[name]["digest"]


def run_stages(stages: Sequence[Stage], folder: Path, *, origin: Origin, run: Run, progress: bool = True) -> Results:
    """Do what is not done yet, in order, in a folder that no other run works in meanwhile.

    Args:
        stages: all of them; names differ.
        folder: where results and states are kept.
        origin: what makes the experiment; compared with that of every finished stage before any work starts.
        run: only its main process writes and shows the bar.
        progress: show a bar with the stage at work and an estimate of the time left.

    Raises:
        ValueError: two stages have one name, or a finished stage has another origin, was made from other results, is
            damaged, or lacks a file.
        BlockingIOError: another run works in the folder.
    """
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ValueError(f"stages are told apart by name: expected each once, got {sorted(names)}.")
    results = Results(folder, progress=progress)
    with locked(folder) if run.is_main else nullcontext():
        run.wait()
        done = {stage.name: _finished(stage, folder, origin) for stage in stages}
        run.wait()  # every process has looked before any of them writes
        shown = progress and run.is_main
        start = sum(stage.cost for stage in stages if done[stage.name] is not None)
        total = sum(stage.cost for stage in stages)
        with tqdm(total=total, initial=start, unit="", bar_format=BAR, disable=not shown) as bar:
            for stage in stages:
                if done[stage.name] is None:
                    bar.set_description(stage.name)
                    _do(stage, results, origin, run)
                    bar.update(stage.cost)
                results.add(stage.name, done[stage.name] or read_json(folder / stage.name / RESULT))
    return results


def _do(stage: Stage, results: Results, origin: Origin, run: Run) -> None:
    folder = results.root / stage.name
    results.made_from = {}
    with noted_attempt(folder / ATTEMPTS, run) if run.is_main else nullcontext():
        result = stage.work(folder, results)
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
    for name, digest in found["files"].items():
        path = file.with_name(name)
        if not path.is_file() or sha256_of(path) != digest:
            raise ValueError(f"{path} is missing or not what its stage wrote. Delete {file.parent} to do it again.")
    return found


def _files(folder: Path) -> list[Path]:
    """Nets and other tensors that a stage leaves behind; the state of its training may go."""
    return sorted(path for path in folder.glob("*.safetensors") if path.name != STATE)


def _origin(stage: Stage, origin: Origin) -> Origin:
    config = {"shared": origin.config, "stage": stage.name, "of": plain(stage.of)}
    return dataclasses.replace(origin, config=config)
