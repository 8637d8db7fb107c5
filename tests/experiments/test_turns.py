"""Shared work: what stands ready, in order of preference, and the rest where something fails."""

from __future__ import annotations

import pytest

from ebm_course.experiments.turns import take_turns

BEFORE = {"d": ["b", "c"], "c": ["a"], "b": ["a"], "a": []}


def test_what_stands_ready_is_done_in_order_of_preference() -> None:
    finished: list[str] = []
    take_turns(BEFORE, done=finished.__contains__, do=lambda name: finished.append(name) is None, pause=0)
    assert finished == ["a", "c", "b", "d"]


def test_what_another_is_at_is_passed_by_and_waited_for() -> None:
    finished, looks = list[str](), {"c": 0}

    def done(name: str) -> bool:
        if name == "c" and "a" in finished:
            looks["c"] += 1
            if looks["c"] == 5 and "c" not in finished:
                finished.append("c")  # the other has finished
        return name in finished

    take_turns(BEFORE, done=done, do=lambda name: name != "c" and finished.append(name) is None, pause=0)
    assert finished == ["a", "b", "c", "d"]


def test_what_fails_stops_what_comes_after_it_alone_and_is_told_at_the_end() -> None:
    finished: list[str] = []

    def do(name: str) -> bool:
        if name == "c":
            raise FloatingPointError("c is not finite")
        return finished.append(name) is None

    with pytest.raises(FloatingPointError, match="c is not finite"):
        take_turns(BEFORE, done=finished.__contains__, do=do, pause=0)
    assert finished == ["a", "b"]
