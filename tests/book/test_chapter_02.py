"""The bare loop and samplers of chapter 2 are the package's, and the solutions of its exercises pass their checks."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.energies.gaussian_mixture import GaussianMixture
from ebm_course.energies.mlp import MLP
from ebm_course.energies.potts import Potts
from ebm_course.recipes.likelihood.chains import make_step
from ebm_course.runtime import Run
from ebm_course.samplers.gibbs import gibbs
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.training.fit import fit

NAME = "02_likelihood_gradients"
EXERCISES = (1, 2, 3, 4, 5)


@pytest.fixture(scope="module")
def bare(chapter: Callable[[str], Any]) -> dict[str, Any]:
    return chapter(NAME).run("bare", torch=torch)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_the_bare_gibbs_sweep_equals_the_package(bare: dict[str, Any]):
    energy = Potts.random(5, 4, coupling_std=1.0, generator=stream())
    x0 = torch.randint(4, (300, 5), generator=stream(1))
    swept = gibbs(energy, x0, n_steps=5, n_values=4, sweep=True, generator=stream(2)).x
    assert torch.equal(bare["gibbs_sweep"](energy, x0.clone(), stream(2), n_values=4), swept)


def test_the_bare_langevin_moves_equal_the_package(bare: dict[str, Any]):
    energy = GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.3)
    x0 = torch.randn(300, 2, generator=stream(1))
    rolled = langevin(energy, x0, n_steps=20, step_size=0.03, generator=stream(2)).x
    ours = bare["langevin_moves"](energy, x0, stream(2), step_size=0.03, n_steps=20)
    torch.testing.assert_close(ours, rolled)


@pytest.mark.parametrize("persistent", [False, True])
def test_the_bare_loop_with_gibbs_equals_the_package(bare: dict[str, Any], persistent: bool):
    data = torch.randint(3, (600, 6), generator=stream(1))
    chains = torch.randint(3, (200, 6), generator=stream(2)) if persistent else None
    ours, theirs = Potts(6, 3), Potts(6, 3)
    sweep = partial(gibbs, n_steps=6, n_values=3, sweep=True)
    buffer = None if chains is None else ReplayBuffer(chains)
    step = make_step(theirs, torch.optim.SGD(theirs.parameters(), lr=0.1), sweep, buffer=buffer)
    fit(step, [Batch(x) for x in data.split(100)], n_steps=6, generator=stream(3), progress=False)
    bare["learn"](ours, data.split(100), bare["gibbs_sweep"], rate=0.1, generator=stream(3), chains=chains)
    torch.testing.assert_close(flat(ours), flat(theirs))
    assert flat(ours).abs().max() > 0.01
    if buffer is not None:
        assert torch.equal(chains, buffer.states)


def test_the_bare_loop_with_langevin_equals_the_package(bare: dict[str, Any]):
    ours, theirs = MLP(2, width=16, confinement=0.5), MLP(2, width=16, confinement=0.5)
    ours.load_state_dict(theirs.state_dict())
    data, chains = torch.randn(300, 2, generator=stream(1)), torch.randn(150, 2, generator=stream(2))
    buffer, options = ReplayBuffer(chains), {"n_steps": 5, "step_size": 0.01}
    step = make_step(theirs, torch.optim.SGD(theirs.parameters(), lr=0.05), partial(langevin, **options), buffer=buffer)
    fit(step, [Batch(x) for x in data.split(100)], n_steps=3, generator=stream(3), progress=False)
    move = partial(bare["langevin_moves"], **options)
    bare["learn"](ours, data.split(100), move, rate=0.05, generator=stream(3), chains=chains)
    torch.testing.assert_close(flat(ours), flat(theirs))


@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_passes_its_check_and_the_placeholder_does_not(
    chapter: Callable[[str], Any], capsys: pytest.CaptureFixture[str], number: int
):
    opened = chapter(NAME)
    given = opened.run("given", torch=torch, run=Run(torch.device("cpu"), 0))
    names = opened.run("checks", **given)
    cells = {cell["id"]: cell.source for cell in opened.notebook.cells}
    task = cells[f"02-ex{number}-try"]
    capsys.readouterr()
    exec(task, names)
    assert "right" not in capsys.readouterr().out.splitlines()
    exec(solution(cells[f"02-ex{number}"]), names)
    for line in (line for line in task.splitlines() if line.startswith("check")):
        exec(line, names)
        assert capsys.readouterr().out == "right\n", line


def solution(text: str) -> str:
    """The code in the fold called Solution."""
    fold = text.split("<summary>Solution</summary>")[1]
    return "\n".join(re.findall(r"```python\n(.*?)```", fold, flags=re.DOTALL))
