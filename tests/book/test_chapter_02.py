"""The bare loops, samplers and score loss of chapter 2 are the package's; its first screen is what its cells show."""

from __future__ import annotations

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
from ebm_course.objectives.score_matching import denoising_score_matching
from ebm_course.recipes.likelihood.chains import make_step
from ebm_course.samplers.gibbs import gibbs
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.training.fit import fit

NAME = "02_likelihood_gradients"


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


def test_the_bare_score_loss_equals_the_package(bare: dict[str, Any]):
    energy, x = MLP(2, width=16, confinement=0.5), torch.randn(200, 2, generator=stream(1))
    noise = 0.3 * torch.randn(x.shape, generator=stream(2))
    noisy = (x + noise).requires_grad_()
    (slope,) = torch.autograd.grad(energy(noisy).sum(), noisy, create_graph=True)
    packaged = denoising_score_matching(slope, noise, noise_std=0.3).value
    ours = bare["score_loss"](energy, x, stream(2), noise_std=0.3)
    torch.testing.assert_close(ours, packaged)
    gradients = [torch.autograd.grad(loss, list(energy.parameters())[:-1]) for loss in (ours, packaged)]
    torch.testing.assert_close(*gradients)
    assert max(float(g.abs().max()) for g in gradients[0]) > 1e-4


def test_the_bare_training_by_scores_lowers_its_loss(bare: dict[str, Any]):
    energy, x = MLP(2, width=16, confinement=0.5), 0.5 * torch.randn(500, 2, generator=stream(1))
    before = bare["score_loss"](energy, x, stream(2), noise_std=0.3).detach()
    bare["train_score"](energy, x, stream(3), noise_std=0.3, n_updates=100)
    assert bare["score_loss"](energy, x, stream(2), noise_std=0.3) < 0.9 * before


def test_the_answer_on_the_first_screen_is_that_of_the_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    cells = {cell["id"]: cell for cell in opened.notebook.cells}
    rows = [line for line in cells["02-head"].source.splitlines() if line.startswith("| ")]
    assert len(rows) == 8
    outputs = {
        name: "".join(o.get("text", "") + o.get("data", {}).get("text/markdown", "") for o in cells[name].outputs)
        for name in ("02-rest", "02-bias-run", "02-recorded-table", "02-break-run")
    }
    assert "0.741; the exact gradient 0.791, the data 0.800" in rows[2] and "near A 0.791" in outputs["02-rest"]
    assert "near A 0.741" in outputs["02-rest"] and "near A is 0.800" in outputs["02-bias-run"]
    lines = outputs["02-recorded-table"].splitlines()
    verdicts = [line.split("|")[-2].strip() for line in lines if " CD-1 ends further " in line]
    assert verdicts == ["holds"] * 3 and "holds on all 3" in rows[3]
    verdicts = [line.split("|")[-2].strip() for line in lines if " PCD-1 ends nearer " in line]
    assert sorted(verdicts) == ["reverses", "reverses", "undecided"]
    assert "undecided on 1 (nearer, by a little less than matters), reverses on 2" in rows[4]
    kept = [line for line in outputs["02-break-run"].splitlines() if "kept" in line]
    assert sum("stable 0 of 3" in line for line in kept) == 2 and sum("stable 3 of 3" in line for line in kept) == 2


@pytest.mark.parametrize("ratio", [0.3, 0.4, 0.49])
def test_between_the_two_roots_a_valley_recovers_and_below_the_smaller_it_does_not(
    chapter: Callable[[str], Any], ratio: float
):
    cell = next(cell for cell in chapter(NAME).code if cell["id"] == "02-break-rule")
    names: dict[str, Any] = {"torch": torch}
    exec(cell.source.split("for step_size")[0], names)
    v, step = 0.0225, 0.0225 * ratio
    small = (v - (v * v - 2 * step * v) ** 0.5) / 2
    assert names["rests"](1.1 * small, step) and not names["rests"](0.9 * small, step)
    assert not names["rests"](v, 0.51 * v)  # beyond the bound nothing rests
