"""The bare noise contrast and resampling of chapter 4 are the package's, and its solutions pass their checks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.objectives.nce import residual_nce
from ebm_course.samplers.resampling import resampling
from ebm_course.tasks.arithmetic import Format, arithmetic
from ebm_course.tasks.arithmetic_score import well_formed

NAME = "04_residual_energies_by_noise_contrast"


@pytest.fixture
def bare(chapter: Callable[[str], Any]) -> dict[str, Any]:
    return chapter(NAME).run("bare")


def small_world() -> tuple[Tensor, Tensor]:
    """The clerk p and the forgetful model q over the 112 states of section 1."""
    states = [(a, b, c) for a in range(4) for b in range(4) for c in range(7)]
    p = torch.tensor([14 if a + b == c else 1 for a, b, c in states], dtype=torch.float64) / 320
    return p, p.view(4, 4, 7).mean(dim=0, keepdim=True).expand(4, 4, 7).flatten()


def populations() -> tuple[Tensor, Tensor]:
    """Rows in which every state stands as often as p and q say."""
    p, q = small_world()
    everything = torch.arange(112)
    return tuple(everything.repeat_interleave((n * x).round().long()) for n, x in ((320, p), (1280, q)))


def test_the_bare_loss_and_its_gradient_equal_the_package(bare: dict[str, Any]):
    data, noise = populations()
    results = []
    for loss in (bare["noise_contrast"], lambda d, n: residual_nce(d, n).value):
        energy = torch.randn(112, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        value = loss(energy[data], energy[noise])
        results.append((value.detach(), *torch.autograd.grad(value, energy)))
    for mine, packaged in zip(*results, strict=True):
        torch.testing.assert_close(mine, packaged, rtol=0, atol=1e-14)


def test_the_bare_descent_ends_at_log_q_minus_log_p_where_the_package_has_no_gradient(bare: dict[str, Any]):
    (p, q), (data, noise) = small_world(), populations()
    energy, losses = bare["fit_table"](data, noise, 112)
    torch.testing.assert_close(energy, (q / p).log(), rtol=0, atol=1e-9)
    assert losses[0] == pytest.approx(2 * math.log(2))
    energy = energy.requires_grad_()
    (gradient,) = torch.autograd.grad(residual_nce(energy[data], energy[noise]).value, energy)
    assert gradient.abs().max() < 1e-12


def test_the_bare_resampling_has_the_packages_law_and_sample_sizes(bare: dict[str, Any]):
    p, q = small_world()
    energy, n, n_groups = (q / p).log(), 5, 20_000
    x = torch.multinomial(q, n * n_groups, replacement=True, generator=torch.Generator().manual_seed(0))
    kept, ess = bare["resample"](x, energy, n, generator=torch.Generator().manual_seed(1))
    packaged = resampling(lambda rows: energy[rows], x, group_size=n, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ess, packaged.info["ess"])
    # what a pick is worth on average, given the groups, is the same for both; picks of a group are independent
    mine, theirs = ((energy[rows] < -1).double() for rows in (kept, packaged.x))
    difference = mine - theirs
    assert difference.mean().abs() < 5 * difference.std() / n_groups**0.5


CHECKS = {1: 1, 2: 1, 3: 3, 4: 2, 5: 1}
"""Exercise -> how many lines its check prints."""


@pytest.mark.parametrize("number", CHECKS)
def test_the_solution_passes_its_check_and_the_placeholder_does_not(
    chapter: Callable[[str], Any], capsys: pytest.CaptureFixture[str], number: int
):
    opened = chapter(NAME)
    names = opened.run("checks", torch=torch, log=math.log, **world_names())
    cells = {cell["id"]: cell.source for cell in opened.notebook.cells}
    text, task = cells[f"04-ex{number}"], cells[f"04-ex{number}-try"]
    capsys.readouterr()
    exec(task, names)
    assert all(line.startswith("not yet") for line in capsys.readouterr().out.splitlines())
    exec(solved(task, solution(text)), names)
    assert capsys.readouterr().out.splitlines() == ["right"] * CHECKS[number]


def world_names() -> dict[str, Any]:
    """What the exercises read from the chapter."""
    p, q = small_world()
    run = type("Run", (), {"generator": lambda self, name: torch.Generator().manual_seed(0)})()
    task = arithmetic(3, n_train=20, n_valid=2, n_test=2)
    world = {"p": p, "q": q, "log_ratio": (q / p).log()}
    return world | {"run": run, "task": task, "layout": Format(3), "well_formed": well_formed}


def solution(text: str) -> str:
    """The first block of code in the fold called Solution; a second one trains and is run by hand."""
    fold = text.split("<summary>Solution</summary>")[1]
    return re.findall(r"```python\n(.*?)```", fold, flags=re.DOTALL)[0]


def solved(task: str, answer: str) -> str:
    """The cell of an exercise with its placeholder, all above the first blank lines, replaced by the answer."""
    _, rest = re.split(r"\n\n+(?=check|rows_of_rung)", task, maxsplit=1)
    return f"{answer}\n{rest}"
