"""Many submissions at once, each in a process of its own that is forked from this one, where all imports are done.

A process that does not end in time or dies is started again without the cell or question it was in, so that everything
else is graded all the same. Needs a system that forks: Linux or macOS.

>>> work = {"ada": Submission(("x = 1",), ()), "bob": Submission(("import os; os._exit(1)",), ())}
>>> question = Question("q1", 2, ("assert x == 1",))
>>> found: list[Graded] = list(grade_all(work, [question], n_workers=2, limits=Limits(seconds=5)))
>>> {graded.name: graded.verdicts["q1"].points for graded in sorted(found, key=lambda graded: graded.name)}
{'ada': 2, 'bob': 0}
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebm_course.grading.questions import Question, Verdict
from ebm_course.grading.running import run_submission
from ebm_course.grading.submission import Submission

GRACE = 3.0
"""Seconds between the alarm inside a process, which code may ignore, and its end from outside."""
LONGEST = 1_000_000
"""Bytes of a line that a process may tell: what is longer is not from here."""


@dataclass(frozen=True)
class Limits:
    """Seconds of one cell or one question's tests, seconds and bytes of a submission."""

    seconds: float = 20.0
    total: float = 120.0
    memory: float = 4e9


@dataclass
class Graded:
    """What was found of one submission: a verdict a question, and notes on cells that did not end well."""

    name: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Job:
    """A submission on its way: the process it is in now, and what it has told."""

    submission: Submission
    found: Graded
    deadline: float  # of the submission, over all its processes
    skipped: set[str] = field(default_factory=set)
    pid: int = 0
    folder: str = ""
    sign: bytes = b""  # before every line that is told, so that what a submission writes there is no message
    heard: bytes = b""
    stage: str = ""  # the cell or question that it is in
    until: float = 0.0  # when that is over, at the latest
    notes: list[str] = field(default_factory=list)  # of the present process
    done: bool = False


def grade_all(
    submissions: dict[str, Submission], questions: Sequence[Question], *, n_workers: int, limits: Limits
) -> Iterator[Graded]:
    """Grade submissions, named as their keys, and yield each as soon as it is finished, whatever its code does."""
    waiting, watched = list(submissions.items()), selectors.DefaultSelector()
    try:
        while waiting or watched.get_map():
            while waiting and len(watched.get_map()) < n_workers:
                name, submission = waiting.pop(0)
                _start(_Job(submission, Graded(name), time.monotonic() + limits.total), questions, limits, watched)
            for key, _ in watched.select(timeout=0.2):
                _hear(key.data, os.read(key.fd, 65536), limits)
            now = time.monotonic()
            for key in list(watched.get_map().values()):
                job: _Job = key.data
                if job.done or now > min(job.until, job.deadline):
                    watched.unregister(key.fd)
                    os.close(key.fd)
                    _end(job)
                    if _is_over(job, questions, late=now > job.deadline):
                        yield job.found
                    else:
                        _start(job, questions, limits, watched)
    finally:
        for key in list(watched.get_map().values()):
            _end(key.data)
        watched.close()


def _start(job: _Job, questions: Sequence[Question], limits: Limits, watched: selectors.BaseSelector) -> None:
    """Fork a process for what is left of a job."""
    job.folder, job.heard, job.notes, job.done = tempfile.mkdtemp(prefix="grading-"), b"", [], False
    job.stage, job.until = "its start", time.monotonic() + limits.seconds + GRACE
    job.sign = secrets.token_hex(8).encode()
    inner, outer = os.pipe()
    job.pid = os.fork()
    if job.pid == 0:
        try:
            os.close(inner)
            _alone(job.folder, limits)
            left = [q for q in questions if q.name not in job.found.verdicts]
            options: dict[str, Any] = {"seconds": limits.seconds, "skipped": job.skipped}
            run_submission(job.submission.code, left, lambda *event: _tell(outer, job.sign, *event), **options)
            _tell(outer, job.sign, "done", None)
        finally:
            os._exit(0)  # nothing of the parent's is cleaned up twice
    os.close(outer)
    watched.register(inner, selectors.EVENT_READ, job)


def _alone(folder: str, limits: Limits) -> None:
    """In a new process: a folder and a group of its own, no input, no output, bounds on memory, files and computing.

    The bound on computing ends it where nobody else does, because whoever grades was killed.
    """
    import resource

    os.setsid()
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    seconds = int(limits.total) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with suppress(OSError, ValueError):  # a limit that is lower already stays
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limits.memory), int(limits.memory)))
    with suppress(OSError, ValueError):  # /proc is Linux's
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bound = int(pages * resource.getpagesize() + limits.memory)
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _tell(outer: int, sign: bytes, kind: str, content: Any) -> None:
    """Tell on a line of its own, whatever else was written there."""
    os.write(outer, b"\n" + sign + json.dumps([kind, content]).encode() + b"\n")


def _hear(job: _Job, data: bytes, limits: Limits) -> None:
    """Take down what a process has told; no data: it has ended."""
    *lines, job.heard = (job.heard + data).split(b"\n")
    if len(job.heard) > LONGEST:
        lines, job.heard = [*lines, job.heard], b""
    for line in (line for line in lines if line):
        if not line.startswith(job.sign):
            note = f"{job.stage} writes where only the grader does: look at it"
            job.notes += [note] if note not in job.notes else []
            continue
        kind, content = json.loads(line.removeprefix(job.sign))
        if kind == "begin":
            job.stage, job.until = content, time.monotonic() + limits.seconds + GRACE
        elif kind == "note":
            job.notes.append(content)
        elif kind == "verdict":
            job.found.verdicts[content[0]] = Verdict(*content[1:])
        elif kind == "done":
            job.stage, job.done = "", True
    job.done |= not data


def _end(job: _Job) -> None:
    """End a process with all that it has started, and remove its folder."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(job.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(job.pid, signal.SIGKILL)
    os.waitpid(job.pid, 0)
    shutil.rmtree(job.folder, ignore_errors=True)


def _is_over(job: _Job, questions: Sequence[Question], *, late: bool) -> bool:
    """Whether a job needs no further process; if it does, what ended this one is left out of the next."""
    over = not job.stage or late or job.stage in job.skipped or job.stage == "its start"
    if job.stage:
        job.found.notes.append(f"{job.stage} ended the program or would not stop: " + _consequence(job, late))
        job.skipped.add(job.stage)
        if job.stage in {q.name for q in questions}:
            job.found.verdicts[job.stage] = Verdict(0, "its test ended the program or would not stop")
    if over:
        job.found.notes += [note for note in job.notes if note not in job.found.notes]
        for question in questions:
            job.found.verdicts.setdefault(question.name, Verdict(0, "not reached in the time of a submission"))
    return over


def _consequence(job: _Job, late: bool) -> str:
    return "the time of the submission is over" if late else "everything else was run without it"
