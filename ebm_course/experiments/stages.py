"""A long experiment as one ordered list of stages, each done once: after a kill nothing is lost or done twice.

The result of a stage is a JSON file that says what made it, and keeps every attempt with its commit, hardware and
seconds; a stage that trains gets a folder where :func:`training.fit.fit` keeps its state, so a run killed inside a
stage goes on inside it. It knows no method.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ebm_course.experiments.attempts import ATTEMPTS, Attempt, attempts_of, noted_attempt
from ebm_course.origin import Origin, plain
from ebm_course.runtime import Run
from ebm_course.storage import locked, read_json, write_json

RESULT = "result.json"
BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed} done, {remaining} left"


@dataclass(frozen=True)
class Stage:
    """One piece of the work.

    Args:
        name: unique; also its folder, so a slash makes a folder of folders.
        work: (its own folder, results of the stages before it) -> a JSON value.
        cost: its share of the work, any unit; the bar's estimate of the time left rests on it.
        of: what it depends on beside the settings that all stages share, such as the variants it measures.
    """

    name: str
    work: Callable[[Path, Results], Any]
    cost: float = 1.0
    of: Any = None


class Results(Mapping[str, Any]):
    """The results of finished stages by name, and what is known of them: folders, attempts, seconds.

    ``progress`` says whether trainings inside a stage should show bars.
    """

    def __init__(self, root: Path, *, progress: bool = False):
        self.root, self.progress = root, progress
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def folder(self, name: str) -> Path:
        """Where a stage keeps its files."""
        return self.root / name

    def attempts(self, name: str) -> list[Attempt]:
        """Every attempt at a stage, killed ones too."""
        return attempts_of(self.folder(name) / ATTEMPTS)

    def seconds(self, *names: str) -> float:
        """Seconds that these stages took, by default all that are finished; killed attempts count."""
        return sum(attempt.seconds for name in names or self for attempt in self.attempts(name))

    def add(self, name: str, value: Any) -> None:
        """Note the result of a finished stage."""
        self._values[name] = value


def run_stages(stages: Sequence[Stage], folder: Path, *, origin: Origin, run: Run, progress: bool = True) -> Results:
    """Do what is not done yet, in order, in a folder that no other run works in meanwhile.

    Args:
        stages: all of them; names differ.
        folder: where results and states are kept.
        origin: what makes the experiment; compared with that of every finished stage before any work starts.
        run: only its main process writes and shows the bar.
        progress: show a bar with the stage at work and an estimate of the time left.

    Raises:
        ValueError: two stages have one name, or a finished stage has another origin or is damaged.
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
                results.add(stage.name, read_json(folder / stage.name / RESULT)["result"])
    return results


def _do(stage: Stage, results: Results, origin: Origin, run: Run) -> None:
    folder = results.folder(stage.name)
    with noted_attempt(folder / ATTEMPTS, run) if run.is_main else nullcontext():
        result = stage.work(folder, results)
    if run.is_main:
        write_json(folder / RESULT, {"origin": _origin(stage, origin).as_json(), "result": result})
    run.wait()


def _finished(stage: Stage, folder: Path, origin: Origin) -> Any:
    file = folder / stage.name / RESULT
    if not file.is_file():
        return None
    found = read_json(file)
    _origin(stage, origin).check(found["origin"], file)
    return found


def _origin(stage: Stage, origin: Origin) -> Origin:
    config = {"shared": origin.config, "stage": stage.name, "of": plain(stage.of)}
    return dataclasses.replace(origin, config=config)
