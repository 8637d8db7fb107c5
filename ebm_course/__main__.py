"""The course on the command line: ``doctor``, ``train``, ``reproduce``, ``results``; see the files in ``commands``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ebm_course.commands import doctor, reproduce, results, train
from ebm_course.commands.choices import RefusedError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command named in ``arguments`` (by default the program's own) and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ebm_course", description="A course on energy-based models.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (doctor, train, reproduce, results):
        command.add(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except RefusedError as refusal:
        parser.error(str(refusal))


if __name__ == "__main__":
    sys.exit(main())
