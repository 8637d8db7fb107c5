"""Questions that a program grades: the solution earns their points, plausible mistakes lose them and are told why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_the_solution_earns_every_point_and_nothing_earns_none(
    name: str, made: Callable[[str], Any], solved: Callable[[str], dict[str, Any]]
):
    for question in made(name).assignment.questions:
        verdict = question.grade(solved(name))
        assert verdict.points == question.points > 0, verdict.message
        assert question.grade({}).points == 0


def test_three_wrong_answers_at_least_are_known_of_every_question(
    name: str, made: Callable[[str], Any], wrong_answers: dict[str, dict[str, list]]
):
    known = {question: len(answers) for question, answers in wrong_answers[name].items()}
    assert known.keys() == {question.name for question in made(name).assignment.questions}
    assert min(known.values()) >= 3


def test_a_wrong_answer_loses_the_points_and_is_told_why(
    wrong: Any, made: Callable[[str], Any], solved: Callable[[str], dict[str, Any]]
):
    names = dict(solved(wrong.name))
    exec(wrong.code, names)
    (asked,) = (question for question in made(wrong.name).assignment.questions if question.name == wrong.question)
    verdict = asked.grade(names)
    assert verdict.points == 0
    assert wrong.reason in verdict.message


def test_otters_own_runner_agrees(
    name: str,
    made: Callable[[str], Any],
    solved: Callable[[str], dict[str, Any]],
    wrong_answers: dict[str, dict[str, list]],
):
    from otter.test_files.ok_test import OKTestFile

    for question in made(name).assignment.questions:
        test = OKTestFile.from_file(str(made(name).autograder / "tests" / f"{question.name}.py"))
        test.run(dict(solved(name)))
        assert test.score == test.possible == question.points, test.summary()
        names = dict(solved(name))
        exec(wrong_answers[name][question.name][0][0], names)
        test.run(names)
        assert test.score == 0
