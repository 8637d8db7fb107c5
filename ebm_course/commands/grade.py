"""``grade``: grade a folder of submitted notebooks into one CSV. It knows no assignment.

>>> parser = argparse.ArgumentParser()
>>> add(parser.add_subparsers())
>>> options = parser.parse_args(["grade", "no-such-folder", "--seconds", "5"])
>>> options.seconds, options.total
(5.0, 120.0)
>>> grade(options)
Traceback (most recent call last):
ebm_course.commands.choices.RefusedError: no-such-folder is no folder: expected one with submitted notebooks.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ebm_course.commands.choices import RefusedError
from ebm_course.commands.places import typed
from ebm_course.grading.assignment import Assignment, imported, read_assignment, read_assignments
from ebm_course.grading.questions import Verdict
from ebm_course.grading.submission import Submission, fingerprint, read_submission
from ebm_course.grading.table import Table
from ebm_course.grading.workers import Graded, Limits, grade_all
from ebm_course.processors import usable_processors
from ebm_course.storage import check_writable, locked

MOST = {"workers": 1_000, "seconds": 86_400.0, "total": 86_400.0, "memory": 1e6}
"""The largest limits: a thousand processes, a day, and a million GB, which is none."""
ASSIGNMENTS = Path(__file__).parents[2] / "book" / "assignments" / "autograder"


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("grade", help="grade a folder of submitted notebooks into one CSV")
    parser.add_argument("folder", type=typed, help="submissions: all *.ipynb in it and in folders below")
    parser.add_argument(
        "--assignment",
        metavar="NAME",
        help="one of book/assignments/autograder, or its folder; by default by its title",
    )
    parser.add_argument("--out", type=typed, metavar="FILE", help="the CSV, by default FOLDER/grades.csv")
    parser.add_argument("--workers", type=int, default=usable_processors(), metavar="N", help="submissions at a time")
    parser.add_argument("--seconds", type=float, default=20.0, help="a cell or the tests of a question may take")
    parser.add_argument("--total", type=float, default=120.0, metavar="SECONDS", help="a submission may take")
    parser.add_argument("--memory", type=float, default=4.0, metavar="GB", help="a submission may take")
    parser.set_defaults(run=grade)


def grade(options: argparse.Namespace) -> int:
    """Grade what is new or changed; the same command again goes on after an interruption.

    Raises:
        ValueError: the solution itself does not earn all points here, or the CSV is that of something else.
    """
    if "fork" not in dir(os):
        raise RefusedError("grading forks a process for each submission: it needs Linux, macOS, or WSL on Windows.")
    for name, most in MOST.items():
        if not 0 < (value := getattr(options, name)) <= most:  # a NaN is refused as well
            raise RefusedError(f"--{name} {value:g}: expected a number larger than 0 and at most {most:g}.")
    # 1. what was handed in, and the assignment that it answers
    paths = _submissions(options.folder)
    read, unread = _read(paths)
    assignment = _assignment(options.assignment, read)
    versions = {name: f"{fingerprint(path)}-{assignment.version}" for name, path in paths.items()}
    limits, start = Limits(options.seconds, options.total, options.memory * 1e9), time.monotonic()
    table = Table(options.out or options.folder / "grades.csv", assignment.questions, list(assignment.manual))
    check_writable(table.path)
    with locked(table.path.parent):
        # 2. what an earlier run has graded stays, and what a teacher has entered
        table.read()
        new = table.keep(versions)
        print(f"{assignment.title}: {len(paths)} submissions, {len(paths) - len(new)} graded before", flush=True)
        to_run = {name: read[name] for name in new if name in read}
        if to_run:
            _warm(assignment)
            _check_solution(assignment, limits)
        _back_up(table)
        table.write()
        # 3. files that are no notebooks
        for name in (name for name in new if name in unread):
            nothing = {question.name: Verdict(0) for question in assignment.questions}
            table.add(Graded(name, nothing, [unread[name]]), dict.fromkeys(assignment.manual, ""), versions[name])
        # 4. all others, several at a time; a row is written as soon as it is there
        graded = grade_all(to_run, assignment.questions, n_workers=options.workers, limits=limits)
        for k, found in enumerate(graded, start=1):
            answers = {name: read[found.name].written(heading) for name, heading in assignment.manual.items()}
            row = table.add(found, answers, versions[found.name])
            print(f"{k}/{len(to_run)} {found.name}: {row['points']} of {row['of']}", flush=True)
    by_hand = f"; a person grades {', '.join(assignment.manual)}" if assignment.manual else ""
    absent = len(table.rows) - len(paths)
    stay = f", {absent} of files that are not there now" if absent else ""
    print(f"{table.path}: {len(table.rows)} rows{stay}, {time.monotonic() - start:.0f} s{by_hand}")
    return 0


def _back_up(table: Table) -> None:
    """Copy a table before entered points go, and say whose: there is no other copy of them."""
    if copy := table.back_up():
        print(
            f"points that were entered no longer stand in {table.path.name}, because the file was changed or the row "
            f"damaged: {', '.join(sorted(table.dropped))}. The table as it was: {copy}",
            flush=True,
        )


def _read(paths: Mapping[str, Path]) -> tuple[dict[str, Submission], dict[str, str]]:
    """Name -> submission, and name -> why it is none."""
    read, unread = dict[str, Submission](), dict[str, str]()
    for name, path in paths.items():
        try:
            read[name] = read_submission(path)
        except ValueError as error:
            unread[name] = str(error)
        except OSError as error:
            unread[name] = f"this file cannot be read: {error.strerror}"
    return read, unread


def _submissions(folder: Path) -> dict[str, Path]:
    """Path below the folder -> file or broken link; folders, and what editors keep beside a notebook, are none."""
    if not folder.is_dir():
        raise RefusedError(f"{folder} is no folder: expected one with submitted notebooks.")
    notebooks = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() == ".ipynb" and not path.is_dir())
    found = {path.relative_to(folder).as_posix(): path for path in notebooks}
    found = {name: path for name, path in found.items() if not any(p.startswith(".") for p in Path(name).parts)}
    if not found:
        raise RefusedError(f"{folder} holds no notebooks: submissions are files *.ipynb.")
    return found


def _assignment(asked: str | None, submissions: Mapping[str, Submission]) -> Assignment:
    """The assignment asked for, by default the one whose title submissions have."""
    if asked is not None:
        known = Path(asked) if Path(asked).is_dir() else ASSIGNMENTS / asked
        try:
            return read_assignment(known)
        except FileNotFoundError as error:
            raise RefusedError(str(error)) from error
    all_of_them = read_assignments(ASSIGNMENTS)
    if not all_of_them:
        raise RefusedError("there are no assignments to grade with: run `make assignments`, or name one's folder.")
    titles = {submission.title for submission in submissions.values()}
    meant = [assignment for assignment in all_of_them if assignment.title in titles]
    if len(meant) != 1:
        found = f"those of {len(meant)} assignments" if meant else "none"
        names = ", ".join(assignment.name for assignment in all_of_them)
        raise RefusedError(f"titles of assignments in these notebooks: {found}. Name one of {names} by --assignment.")
    return meant[0]


def _warm(assignment: Assignment) -> None:
    """Do once what every submission needs: imports. Each process computes on one thread and draws to no screen.

    Torch loads parts of itself, for a second, when an optimiser takes its first step. Nothing here runs a backward
    pass: its threads would not survive a fork.
    """
    import matplotlib.pyplot as plt
    import torch

    plt.switch_backend("agg")
    for name in imported(assignment):
        with suppress(ImportError):  # the cell that needs it says so
            importlib.import_module(name)
    torch.set_num_threads(1)
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.zeros(1)
    torch.optim.SGD([weight], lr=0.1).step()


def _check_solution(assignment: Assignment, limits: Limits) -> None:
    """Nobody is to lose points for what is missing on this machine."""
    (found,) = grade_all({"solution": assignment.solution}, assignment.questions, n_workers=1, limits=limits)
    wrong = [f"{name}: {verdict.message}" for name, verdict in found.verdicts.items() if verdict.message]
    if wrong:
        raise ValueError(
            f"the solution itself loses points here, so nothing was graded. {'; '.join([*found.notes, *wrong])}. "
            "Install what is missing, give more --seconds, or run `make assignments` again."
        )
