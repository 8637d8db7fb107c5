"""The bare update of chapter 6 is the package's, and the solutions of its quick exercises pass their checks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ebm_course.objectives.contrastive import contrastive
from ebm_course.samplers.substitution import substitution

NAME = "06_adversarial_training"
# Exercises 4 and 5 train a net and are run by hand.
EXERCISES = (1, 2, 3)


def stack() -> nn.Sequential:
    return nn.Sequential(
        nn.Embedding(4, 6), nn.Flatten(), nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0)
    ).double()


class Energy(nn.Module):
    """The same stack as an energy with embeddings."""

    n_values = 4

    def __init__(self, net: nn.Sequential):
        super().__init__()
        self.net = net

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        return self.net[0](x)

    def from_embeddings(self, e: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.net[1:](e)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.parametrize("seed", range(3))
def test_the_bare_update_of_algorithm_1_equals_the_package(chapter: Callable[[str], Any], seed: int):
    torch.manual_seed(seed)
    names, bare, packaged = chapter(NAME).run("bare"), stack(), stack()
    packaged.load_state_dict(bare.state_dict())
    data, start = torch.randint(4, (2, 8, 5))
    sgd = torch.optim.SGD(bare.parameters(), lr=0.1)
    negatives = names["update_once"](bare, sgd, data, start, torch.arange(4), 6)

    others = torch.tensor([[v for v in range(4) if v != u] for u in range(4)])
    energy = Energy(packaged)
    found = substitution(energy, start, n_steps=6, synonyms=others, include_current=True)
    contrastive(energy(data), energy(found.x)).value.backward()
    torch.optim.SGD(packaged.parameters(), lr=0.1 * 8).step()  # a mean of 8 where line 18 has a sum

    assert torch.equal(negatives, found.x) and not torch.equal(found.x, start)
    for one, two in zip(bare.parameters(), packaged.parameters(), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_passes_its_check_and_the_placeholder_does_not(
    chapter: Callable[[str], Any], capsys: pytest.CaptureFixture[str], number: int
):
    opened = chapter(NAME)
    names, cells = opened.run("checks"), {cell["id"]: cell.source for cell in opened.notebook.cells}
    task, fold = cells[f"06-ex{number}-try"], cells[f"06-ex{number}"].split("<summary>Solution</summary>")[1]
    capsys.readouterr()
    exec(task, names)
    assert "right" not in capsys.readouterr().out.splitlines()
    exec("\n".join(re.findall(r"```python\n(.*?)```", fold, flags=re.DOTALL)), names)
    for line in (line for line in task.splitlines() if line.startswith("check")):
        exec(line, names)
        assert capsys.readouterr().out == "right\n", line
