"""One submission, run in this very process: its cells in order, then every question, each within its time.

What happens is reported as it happens, so that whoever watches keeps it when the process has to be ended. It starts no
process: :mod:`ebm_course.grading.workers` does, and calls this inside.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any
from unittest.mock import MagicMock

from IPython.core.inputtransformer2 import TransformerManager

from ebm_course.grading.checker import Checker
from ebm_course.grading.questions import Question

Report = Callable[[str, Any], None]
"""Takes what happened, ``begin``, ``note`` or ``verdict``, and its content."""
TIMED = {"time", "timeit", "capture", "prun"}
LONGEST = 2_000
"""Signs of a message: a spreadsheet's cell holds some 30,000, and an exception may print a whole tensor."""


class TimeUp(BaseException):
    """The time of a cell or of a test is over; no ``except Exception`` of a student's catches it.

    >>> try:
    ...     try:
    ...         raise TimeUp
    ...     except Exception:
    ...         "goes on"
    ... except TimeUp:
    ...     "over"
    'over'
    """


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeUp` inside after so many seconds, and again every second where that was caught.

    >>> try:
    ...     with limited(0.01):
    ...         while True:
    ...             pass
    ... except TimeUp:
    ...     "stopped"
    'stopped'
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Magics:
    """What ``%`` and ``!`` lines call in place of IPython: timings run what they time, everything else does nothing.

    >>> names = {}
    >>> names["get_ipython"] = lambda: Magics(names)
    >>> run_cell("%pip install nothing", names)
    >>> run_cell("%time x = 1 + 1", names)
    >>> names["x"]
    2
    """

    def __init__(self, names: dict[str, Any]):
        self.names = names

    def run_line_magic(self, name: str, line: str, *_: Any) -> None:
        """``%time f()`` runs ``f()``; ``%pip install`` installs nothing."""
        if name in TIMED:
            run_cell(line, self.names)

    def run_cell_magic(self, name: str, line: str, body: str) -> None:
        """``%%time`` and its like run the cell."""
        self.run_line_magic(name, body)

    def magic(self, line: str) -> None:
        """The older way to write ``%line``."""
        self.run_line_magic(*line.lstrip("%").partition(" ")[::2])

    def __getattr__(self, name: str) -> Any:
        """Whatever else a notebook asks of IPython is there and does nothing."""
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()

    def system(self, *_: Any) -> None:
        """No command of the system is run."""

    def getoutput(self, *_: Any) -> list[str]:
        """No command of the system is run."""
        return []


def run_cell(source: str, names: dict[str, Any]) -> None:
    """Run a cell as IPython reads it, in the namespace of those before; it may wait by ``await`` as in a notebook.

    What it has started and not waited for ends with the cell.

    >>> names = {"x": 1}
    >>> run_cell("y = x + 1", names)
    >>> run_cell("import asyncio; z = await asyncio.sleep(0, y + 1)", names)
    >>> names["y"], names["z"]
    (2, 3)
    """
    cell = TransformerManager().transform_cell(source)
    try:
        code = compile(cell, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except ValueError as error:  # a zero byte, before Python 3.11.4
        raise SyntaxError(str(error)) from None
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))
    else:
        exec(code, names)


def run_submission(
    cells: Sequence[str],
    questions: Sequence[Question],
    report: Report,
    *,
    seconds: float,
    skipped: Collection[str] = (),
) -> None:
    """Run all cells, those that lacked a name once more when it is there, then grade the questions.

    Args:
        report: is told ``("begin", name)`` before each cell and question, ``("note", text)`` of a cell that stopped,
            and ``("verdict", [question, points, message])``.
        seconds: of each cell and each question.
        skipped: names of cells and questions that are left out: they ended an earlier process.

    >>> from unittest.mock import patch
    >>> cells, question = ["y = x + 1", "x = 1"], Question("q1", 2, ("assert y == 2",))
    >>> with patch.dict(sys.modules), patch.object(Checker, "resting", True):  # as its process ends, elsewhere
    ...     run_submission(cells, [question], lambda *event: print(*event), seconds=5)
    begin code cell 1
    begin code cell 2
    note code cell 1 needs 'x', defined further down: it was run again after that
    begin code cell 1
    begin q1
    verdict ['q1', 2, '']
    """
    Checker.resting = True
    module = sys.modules["__main__"] = ModuleType("__main__")
    names = module.__dict__
    names.update(get_ipython=lambda: Magics(names), display=lambda *_, **__: None)
    stopped, lacking = dict[int, str](), dict[int, str]()  # why a cell stopped, which name it lacked

    def run(k: int) -> None:
        report("begin", cell_name(k))
        stopped[k], lacking[k] = _stopped(cells[k], names, seconds)

    for k in range(len(cells)):
        if cell_name(k) not in skipped:
            run(k)
    for _ in cells:  # a chain of cells in reverse order needs as many rounds
        late = {k: name for k, name in lacking.items() if name and name in names}
        for k, name in late.items():
            report("note", f"{cell_name(k)} needs {name!r}, defined further down: it was run again after that")
            run(k)
    for k, why in sorted(stopped.items()):
        if why:
            report("note", f"{cell_name(k)} {why}")
    for question in questions:
        if question.name not in skipped:
            report("begin", question.name)
            try:
                with limited(seconds):
                    verdict = question.grade(names)
                report("verdict", [question.name, verdict.points, verdict.message[:LONGEST]])
            except TimeUp:
                report("verdict", [question.name, 0, f"its test was stopped after {seconds:g} s"])


def cell_name(k: int) -> str:
    """How messages call a code cell.

    >>> cell_name(0)
    'code cell 1'
    """
    return f"code cell {k + 1}"


def _stopped(source: str, names: dict[str, Any], seconds: float) -> tuple[str, str]:
    """Why a cell did not come to its end, and which name it lacked; both empty where it did."""
    try:
        with limited(seconds):
            run_cell(source, names)
    except TimeUp:
        return f"was stopped after {seconds:g} s", ""
    except SyntaxError as error:
        return f"is not valid Python, line {error.lineno or 1}: {error.msg}", ""
    except NameError as error:
        return f"stops with NameError: {error}", error.name or ""
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return f"stops with {type(error).__name__}: {error}"[:300], ""
    return "", ""
