"""A long experiment as named stages, each done once: after a kill nothing is lost and nothing is done twice.

The result of a stage is a JSON file; a stage that trains gets a folder where :func:`training.fit.fit` keeps its state,
so a run killed inside a stage goes on inside it. It knows no method.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ebm_course.files import write_atomically
from ebm_course.runtime import Run


class Stages:
    """The stages of one experiment in one folder.

    Args:
        folder: where results and states are kept.
        plan: name of each stage -> its share of the work, any unit; the bar's estimate of the time left rests on it.
        config: what the experiment was asked to do, JSON; a folder that holds another experiment is refused.
        run: only its main process writes and shows the bar.
        progress: show a bar with the stage at work and an estimate of the time left.

    Raises:
        ValueError: the folder holds an experiment with another configuration.
    """

    def __init__(self, folder: Path, plan: Mapping[str, float], *, config: Any, run: Run, progress: bool = True):
        self.folder, self.plan, self.run = folder, dict(plan), run
        self._check(config)
        done = sum(cost for name, cost in self.plan.items() if self._file(name).is_file())
        shown = progress and run.is_main
        self.bar = tqdm(total=sum(self.plan.values()), initial=done, unit="", bar_format=BAR, disable=not shown)

    def do(self, name: str, work: Callable[[Path], Any]) -> Any:
        """The result of ``work(folder of this stage)``, a JSON value: read if the stage was done before.

        Raises:
            KeyError: the stage is not in the plan.
        """
        cost, done = self.plan[name], self._file(name).is_file()
        self.run.wait()  # every process has looked before any of them writes
        if not done:
            self.bar.set_description(name)
            start = time.perf_counter()
            try:
                result = work(self.folder / name)
            finally:
                spent = self._spent(name) + time.perf_counter() - start
                if self.run.is_main:
                    write_atomically(self.folder / name / "seconds.json", json.dumps(spent).encode())
            if self.run.is_main:
                content = json.dumps({"seconds": spent, "result": result}, indent=1, allow_nan=False)
                write_atomically(self._file(name), content.encode())
            self.run.wait()
            self.bar.update(cost)
        return json.loads(self._file(name).read_text())["result"]

    def seconds(self, *names: str) -> float:
        """Seconds that these stages took as far as they are finished, by default all; interrupted attempts count."""
        done = [self._file(name) for name in names or self.plan if self._file(name).is_file()]
        return sum(float(json.loads(file.read_text())["seconds"]) for file in done)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()

    def _file(self, name: str) -> Path:
        return self.folder / name / "result.json"

    def _spent(self, name: str) -> float:
        file = self.folder / name / "seconds.json"
        return float(json.loads(file.read_text())) if file.is_file() else 0.0

    def _check(self, config: Any) -> None:
        file, asked = self.folder / "config.json", json.loads(json.dumps(config))
        if self.run.is_main and not file.is_file():
            write_atomically(file, json.dumps(asked, indent=1).encode())
        self.run.wait()
        found = json.loads(file.read_text())
        if found != asked:
            other = [name for name in asked | found if asked.get(name) != found.get(name)]
            raise ValueError(
                f"{self.folder} holds an experiment with another {', '.join(other)}: "
                f"expected the same configuration. Give this one a folder of its own."
            )


BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed} done, {remaining} left"
