"""Work that several processes share: each does what no other is at and what stands ready. It knows no stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

PAUSE = 0.5
"""Seconds until a process that found nothing to do looks again."""


def take_turns(
    before: Mapping[str, Sequence[str]], *, done: Callable[[str], bool], do: Callable[[str], bool], pause: float = PAUSE
) -> None:
    """Return when all is done, by this process or by others; what fails keeps nothing else from being done.

    Args:
        before: every name, in the order of preference -> the names that have to be done before it.
        done: whether someone has done it; asked only where all before it is done.
        do: do it; False where another process is at it or has done it meanwhile.

    Raises:
        Exception: what a call of ``do`` raised first, once nothing is left that does not come after such a failure.

    >>> finished = ["b"]
    >>> take_turns({"a": ["b"], "b": []}, done=finished.__contains__, do=lambda name: finished.append(name) is None)
    >>> finished
    ['b', 'a']
    """
    left, over, failed, errors = list(before), set[str](), set[str](), list[Exception]()
    while left:
        found, worked = len(over) + len(failed), False
        for name in left:
            if failed.intersection(before[name]):
                failed.add(name)
            elif over.issuperset(before[name]):
                try:
                    worked = not done(name) and do(name)
                except Exception as error:
                    failed.add(name)
                    errors.append(error)
                    break
                if worked or done(name):
                    over.add(name)
            if worked:
                break  # what comes earlier may stand ready by now
        left = [name for name in left if name not in over | failed]
        if left and len(over) + len(failed) == found:
            time.sleep(pause)
    if errors:
        raise errors[0]
