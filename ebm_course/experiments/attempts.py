"""Every attempt at a stage with its commit, hardware and seconds, kept through a kill. It knows no stage.

>>> from tempfile import TemporaryDirectory
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> with TemporaryDirectory() as folder:
...     file = Path(folder) / ATTEMPTS
...     for _ in range(2):  # the second goes on after the first
...         with noted_attempt(file, SINGLE_PROCESS):
...             time.sleep(0.01)
...     first, second = attempts_of(file)
>>> isinstance(first, Attempt), first.seconds >= 0.01, parsed([dataclasses.asdict(second)], file) == [second]
(True, True, True)
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ebm_course.experiments import provenance
from ebm_course.runtime import Run
from ebm_course.storage import read_json, write_json

ATTEMPTS = "attempts.json"
EVERY = 5.0
"""Seconds between notes of the time spent: what a kill can lose at most."""


@dataclass(frozen=True)
class Attempt:
    """Work on one stage without interruption; its last ``seconds`` are lost by a kill at most up to the last note."""

    commit: str
    hardware: str
    torch: str
    seconds: float


def attempts_of(file: Path) -> list[Attempt]:
    """The attempts noted in a file, oldest first; none where there is no file.

    Raises:
        ValueError: the file is damaged; the message names it.
    """
    return parsed(read_json(file), file) if file.is_file() else []


def parsed(noted: Any, file: Path) -> list[Attempt]:
    """Attempts from what JSON holds.

    Raises:
        ValueError: it holds something else; the message names the file.
    """
    try:
        return [Attempt(**attempt) for attempt in noted]
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"{file} holds no attempts at a stage ({error}). Delete the stage's folder to redo it."
        ) from error


@contextmanager
def noted_attempt(file: Path, run: Run) -> Iterator[None]:
    """Inside, the time of this attempt is written to ``file`` every few seconds, behind the attempts before it."""
    before = [dataclasses.asdict(attempt) for attempt in attempts_of(file)]
    commit, hardware = provenance.commit(), provenance.hardware(run)
    start, over = time.perf_counter(), threading.Event()

    def note() -> None:
        attempt = Attempt(commit, hardware, str(torch.__version__), time.perf_counter() - start)
        write_json(file, [*before, dataclasses.asdict(attempt)])

    def beat() -> None:
        while not over.wait(EVERY):
            with suppress(OSError):  # a full disk is told by the note at the end
                note()

    note()
    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        note()
