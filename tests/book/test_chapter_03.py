"""The bare language model of chapter 3 is the package's, and the solutions of its exercises pass their checks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.samplers.ancestral import ancestral
from ebm_course.tasks.arithmetic import perfect_perplexity

NAME = "03_a_language_model_that_cannot_carry"
# Exercise 6 trains a net for half a minute and is run by hand.
EXERCISES = (1, 2, 3, 4, 5)


def test_the_bare_language_model_equals_the_package(chapter: Callable[[str], Any]):
    bare = chapter(NAME).run("bare")["BareLM"](16, 24)
    model = LSTMLanguageModel(16, width=24)
    model.load_state_dict(bare.state_dict())
    prompts = torch.full((50, 1), 2)
    x, log_q = bare.sample(prompts, 13, torch.Generator().manual_seed(0))
    drawn = ancestral(model, prompts, n_steps=13, generator=torch.Generator().manual_seed(0))
    assert torch.equal(x, drawn.x)
    torch.testing.assert_close(log_q, drawn.log_q)
    torch.testing.assert_close(bare.energy(x), model(x))
    torch.testing.assert_close(bare.energy(x), -log_q)


@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_passes_its_check_and_the_placeholder_does_not(
    chapter: Callable[[str], Any], capsys: pytest.CaptureFixture[str], number: int
):
    opened = chapter(NAME)
    names = opened.run("checks", torch=torch, exp=math.exp, log=math.log, perfect_perplexity=perfect_perplexity)
    names["ahead"] = look_aheads()
    cells = {cell["id"]: cell.source for cell in opened.notebook.cells}
    task = cells[f"03-ex{number}-try"]
    capsys.readouterr()
    exec(task, names)
    assert "right" not in capsys.readouterr().out.splitlines()
    exec(solution(cells[f"03-ex{number}"]), names)
    for line in (line for line in task.splitlines() if line.startswith("check")):
        exec(line, names)
        assert capsys.readouterr().out == "right\n", line


def solution(text: str) -> str:
    """The code in the fold called Solution."""
    fold = text.split("<summary>Solution</summary>")[1]
    return "\n".join(re.findall(r"```python\n(.*?)```", fold, flags=re.DOTALL))


def look_aheads() -> torch.Tensor:
    """Columns to be read for the leading digit, for all additions of three digits."""
    number = torch.arange(100, 1000)
    digits = torch.stack([number // power % 10 for power in (100, 10)])  # (2, 900)
    nine = digits[:, :, None] + digits[:, None] == 9  # (2, 900, 900)
    return 1 + nine[0].long() + (nine[0] & nine[1]).long()
