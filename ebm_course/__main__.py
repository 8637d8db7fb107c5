"""The course on the command line: ``doctor``, ``train``, ``reproduce``, ``results``, ``grade``; see ``commands``."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence

from ebm_course import __version__
from ebm_course.commands import doctor, grade, reproduce, results, train
from ebm_course.commands.choices import RefusedError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command named in ``arguments`` (by default the program's own) and return its exit code.

    Faults of files, values and numbers become one sentence: exit code 2 for what was typed, 1 for what went wrong
    later, 130 for an interruption.
    """
    parser = argparse.ArgumentParser(prog="python -m ebm_course", description="A course on energy-based models.")
    parser.add_argument("--version", action="version", version=f"ebm-course {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (doctor, train, reproduce, results, grade):
        command.add(commands)
    options = parser.parse_args(arguments)
    _open_streams()
    try:
        return options.run(options)
    except RefusedError as refusal:
        parser.error(str(refusal))
    except BrokenPipeError:  # the reader of our output has left, as in `results | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not (
            isinstance(error, MemoryError) or re.search("out of memory|allocate memory|not enough memory", str(error))
        ):
            raise
        told = "there is not enough memory for what was asked. Take smaller sizes, or a larger machine."
        print(f"{parser.prog} {options.command}: {told}", file=sys.stderr)
        return 1


def _open_streams() -> None:
    """Let signs that a terminal cannot show be replaced, and messages go nowhere where standard error is closed."""
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - for the rest of the program
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
