"""Where a command writes: paths as they are typed, and which of them may not meet. It knows no recipe.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     check_apart(Path(folder) / "a.json", folder=Path(folder) / "a")
...     check_apart(Path(folder) / "a", folder=Path(folder) / "a" / "run")  # doctest: +ELLIPSIS
Traceback (most recent call last):
ebm_course.commands.choices.RefusedError: --out ... would lie where --folder ... is: name another file.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ebm_course.commands.choices import RefusedError
from ebm_course.files import read_sums
from ebm_course.storage import check_writable, real


def typed(text: str) -> Path:
    """A path as it was typed; ``~`` is the reader's home, where no shell has said so, as in ``--out=~/net``.

    >>> typed("~/runs") == Path.home() / "runs", typed("runs")
    (True, PosixPath('runs'))
    >>> typed("")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: expected a path, got an empty one, as of a variable that is not set
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty one, as of a variable that is not set")
    return Path(os.path.expanduser(text))  # of no such user: as it is


def check_apart(out: Path, *, folder: Path | None, archive: Path | None = None) -> None:
    """Refuse a file to write that is the run's folder, or above it, or the archive of its stages.

    Raises:
        OSError: the archive could not be written.
    """
    if folder and real(folder).is_relative_to(real(out)):
        raise RefusedError(f"--out {out} would lie where --folder {folder} is: name another file.")
    if archive and real(archive) == real(out):
        raise RefusedError(f"--out {out} is the archive of --stages, which it would replace: name another file.")
    if archive:
        check_writable(archive)


def check_checkpoints(folder: Path | None) -> None:
    """Refuse a folder of checkpoints that cannot be written, or whose list could not be renewed in the end.

    Args:
        folder: None where there is none to write to.

    Raises:
        OSError: nothing can be written there.
        ValueError: its ``SHA256SUMS`` is no such file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_checkpoints(Path(folder))
    ...     _ = (Path(folder) / "SHA256SUMS").write_text("nothing")
    ...     check_checkpoints(Path(folder))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...SHA256SUMS...
    """
    if folder:
        check_writable(folder / "SHA256SUMS")
        read_sums(folder / "SHA256SUMS")
