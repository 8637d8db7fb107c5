"""Chapter 1: the bare learning of a table equals the package's Potts model under the package's losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.energies.potts import Potts
from ebm_course.objectives.margin import hinge, perceptron

N_ROWS, N_ANSWERS, RATE, N_STEPS = 5, 7, 0.3, 30


def learn_with_package(table: Tensor, x: Tensor, gold: Tensor, *, margin: float | None) -> Tensor:
    """Tables after each step, of a Potts model of two tokens; the perceptron loss where there is no margin."""
    model = Potts(length=2, n_values=N_ANSWERS)
    model.fields.requires_grad_(False)
    model.couplings.data[0, :N_ROWS] = -table
    pairs = torch.cartesian_prod(torch.arange(N_ROWS), torch.arange(N_ANSWERS))
    optimizer, tables = torch.optim.SGD([model.couplings], lr=RATE), [table]
    for _ in range(N_STEPS):
        e = model(pairs).view(N_ROWS, N_ANSWERS)[x]
        e_gold = e.gather(1, gold[:, None])[:, 0]
        if margin is None:
            loss = perceptron(e_gold, e.min(1).values)
        else:
            loss = hinge(e_gold, e.scatter(1, gold[:, None], torch.inf).min(1).values, margin=margin)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        tables.append(model(pairs).view(N_ROWS, N_ANSWERS).detach())
    return torch.stack(tables)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("margin", [None, 0.0, 1.0])
def test_the_bare_table_equals_the_package_at_every_step(
    chapter: Callable[[str], Any], seed: int, margin: float | None
):
    learn_table = chapter("01_what_is_an_energy").run("bare", torch=torch)["learn_table"]
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(N_ROWS, N_ANSWERS, generator=generator)
    x = torch.randperm(N_ROWS, generator=generator)[:3]  # the other rows are not seen
    gold = torch.randint(N_ANSWERS, (3,), generator=generator)
    bare = learn_table(table, x, gold, margin=margin or 0.0, rate=RATE, n_steps=N_STEPS)
    torch.testing.assert_close(bare, learn_with_package(table, x, gold, margin=margin), atol=1e-5, rtol=0)
    unseen = torch.ones(N_ROWS, dtype=torch.bool).index_fill(0, x, False)
    assert torch.equal(bare[-1][unseen], table[unseen])
