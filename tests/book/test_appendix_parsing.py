"""The appendix on parsing: its bare code against the package, and its exercise."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ebm_course.exercises import WrongAnswer
from ebm_course.samplers.cky import cky
from ebm_course.tasks.tree_language import parses, rule_scores, tree_language, word_scores

NAME, MAX_CELLS = "appendix_parsing", 26


@pytest.fixture(scope="module")
def appendix(chapter: Callable[[str], Any]) -> Any:
    return chapter(NAME)


def test_it_is_short_and_says_first_that_it_reproduces_nothing(appendix: Any) -> None:
    assert len(appendix.notebook.cells) <= MAX_CELLS
    assert "*A worked extension, not a reproduction." in appendix.text[0].source
    text = "\n".join(cell.source for cell in appendix.text)
    tags = re.findall(r"\\tag\{([^}]+)\}", text)
    assert tags == ["A.1"]


def test_the_bare_parser_equals_the_package(appendix: Any) -> None:
    bare = appendix.run("bare")["best_tree"]
    made, (rules, log_p) = tree_language(n_train=2, n_valid=2, n_test=12, seed=3), rule_scores()
    words = word_scores(made.test)
    symbols, best = cky(words, rules, log_p, made.task.test.mask)
    for n, tokens in enumerate(made.test.tokens):
        score, brackets = bare(words[n, : len(tokens)], rules.tolist(), log_p)
        torch.testing.assert_close(score, best[n])
        places = [(i, j) for i, j in (symbols[n] >= 0).nonzero().tolist() if i < j]
        assert sorted((a, i, j) for a, i, j in brackets) == sorted((int(symbols[n, i, j]), i, j + 1) for i, j in places)


def test_the_exercise_has_the_answer_that_its_solution_gives(appendix: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (cell,) = appendix.tagged("exercise")
    text = next(c.source for c in appendix.text if "Exercise 1" in c.source)
    answer = re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert answer is not None
    names: dict[str, Any] = {"parses": parses}
    exec("from ebm_course.exercises import check", names)
    exec(cell.source.replace("n_trees = None", answer[1]), names)
    assert "not answered" not in capsys.readouterr().out
    with pytest.raises(WrongAnswer, match="they multiply"):
        exec(cell.source.replace("n_trees = None", "n_trees = (2, 3, 4)"), names)
